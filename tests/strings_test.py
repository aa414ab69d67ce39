"""Texts are taken by position, and what is no text is refused in one line that says where and what to do."""

import numpy as np
import pytest

from ib_jax.attacks import text
from ib_jax.strings import text_list
from tests.data.labelled import Column


def score(texts, models):
    positive = np.array([0.9 if "good" in one else 0.2 for one in texts])
    return np.stack([1 - positive, positive], -1)


def pool(texts):
    tokenise = lambda asked: [np.array([len(word) for word in one.split()], np.int32) for one in asked]
    return text.Pool(tokenise, lambda tokens: tokens.max(-1), batch_size=2, lengths=[4])(texts)


TAKERS = {
    "runner": lambda texts: text.TextRunner(text.deep_word_bug(stop_words=()), score)(0, texts, [1, 1]),
    "pool": pool,
}
MISSING = type("NAType", (), {"__repr__": lambda self: "<NA>", "__eq__": lambda self, other: self, "__hash__": id})


@pytest.mark.parametrize("take", TAKERS.values(), ids=TAKERS)
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (("premise", "hypothesis"), r"got \('premise', 'hypothesis'\) at position 1; join its parts into one string"),
        (["premise", "hypothesis"], r"got \['premise', 'hypothesis'\] at position 1; join its parts"),
        (float("nan"), "got nan at position 1; drop the rows without a text"),
        (np.float32("nan"), r"got np.float32\(nan\) at position 1; drop the rows without a text"),
        (None, "got None at position 1; drop the rows without a text"),
        (MISSING(), "got <NA> at position 1; drop the rows without a text"),
        (b"a film", r"got b'a film' at position 1; decode it, as by .decode\('utf-8'\)"),
        (3, "got 3 at position 1; write it as a string"),
        (np.arange(300).reshape(100, 3), r"got array\(\[\[.{0,60} at position 1; join its parts"),
        (("a" * 500, "b"), r"got \('a{40,60}\.\.\. at position 1; join its parts"),
    ],
)
def test_what_is_no_text_is_named_with_its_position_and_a_remedy(take, value, message):
    with pytest.raises(TypeError, match=rf"^texts must be strings, {message}") as raised:
        take(["a good film", value])
    assert "\n" not in str(raised.value)


class Table(Column):
    ndim = 2


@pytest.mark.parametrize("take", TAKERS.values(), ids=TAKERS)
@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("ab", "got one string, 'ab'; put it in a list"),
        (b"ab", "got one string, b'ab'; put it in a list"),
        (None, "got NoneType; hand over one list, or column"),
        ({"a": 0, "b": 1}, "got dict; hand over"),
        ({"a", "b"}, "got set; hand over"),
        (Table(["text", "label"]), r"got Table \[2\]; hand over"),
        (np.array([["a", "b"]]), r"got ndarray \[1, 2\]; hand over one list, or column, of texts, pairs joined"),
        (np.array("ab"), r"got ndarray \[\]; hand over"),
    ],
)
def test_what_is_no_sequence_of_texts_is_named(take, texts, message):
    with pytest.raises(TypeError, match=f"^texts must be a sequence of strings, {message}"):
        take(texts)


@pytest.mark.parametrize("texts", [("a", "b"), np.array(["a", "b"]), iter(["a", "b"]), Column(["a", "b"])])
def test_any_sequence_of_texts_is_taken_in_its_order_as_plain_strings(texts):
    found = text_list(texts)
    assert found == ["a", "b"]
    assert {type(one) for one in found} == {str}


def test_one_word_is_no_list_of_replacements():
    taken = text.synonym_swaps(lambda word, part: "fine")(0, text.split("good"))
    with pytest.raises(TypeError, match="synonyms must give a sequence of strings, got one, 'fine' for 'good'"):
        taken(0)
    names = text.synonym_swaps(lambda word, part: (), named_entities={"London": "Paris"})(0, text.split("London"))
    with pytest.raises(TypeError, match="named_entities must give a sequence of strings, got one, 'Paris'"):
        names(0)


def test_tags_are_taken_by_position():
    tagger = lambda words: Column(["n", None])
    swaps = text.synonym_swaps(lambda word, part: ("fine",), tagger=tagger)(0, text.split("good to"))
    assert [swaps(0), swaps(1)] == [("fine",), ()]


def test_words_and_stop_words_are_strings():
    with pytest.raises(TypeError, match=r"text must be a string, got \('a', 'b'\); join its parts"):
        text.split(("a", "b"))
    with pytest.raises(TypeError, match="stop_words must be strings, got nan"):
        text.no_stop_words(["the", float("nan")])
