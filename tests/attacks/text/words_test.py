"""Splitting finds the words that are meant, and gives every character back."""

import unicodedata

import hypothesis
import hypothesis.strategies as st
import pytest

from ib_jax.attacks import text
from tests.attacks.text import toy

JOINERS = "'\u2019-_*@\u200c\u200d"
MIXED = st.text(st.one_of(st.sampled_from("ab1" + JOINERS + " .\u0301\u093e\ufe0f❤🎬电ж"), st.characters(codec=None)))


def naive_words(string):
    """Character by character: a word is open after a letter, and a joiner closes it unless a letter comes."""
    spans, start, waiting = [], None, 0
    for at, char in enumerate(string):
        kind = unicodedata.category(char)[0]
        if kind in "LN":
            start, waiting = (at if start is None else start), 0
        elif start is not None and char in JOINERS:
            waiting += 1
        elif start is not None and not (kind == "M" and not waiting):
            spans.append((start, at - waiting))
            start, waiting = None, 0
    if start is not None:
        spans.append((start, len(string) - waiting))
    return [(first, string[first:last]) for first, last in spans]


@hypothesis.given(MIXED)
@hypothesis.settings(deadline=None, max_examples=400)
def test_any_text_comes_back_and_the_words_are_the_naive_ones(string):
    words = text.split(string)
    assert str(words) == string
    assert list(zip(words.starts.tolist(), words.words, strict=True)) == naive_words(string)


@hypothesis.given(MIXED, st.lists(st.tuples(st.integers(0, 50), st.text(max_size=4)), max_size=5))
@hypothesis.settings(deadline=None, max_examples=200)
def test_replacing_words_leaves_all_the_rest(string, changes):
    words = original = text.split(string)
    expected = dict(enumerate(original.words))
    for index, new in changes:
        if index < len(expected):
            assert words.with_word(index, new) == str(words.replace(index, new))
            words, expected[index] = words.replace(index, new), new
    ends = [start + len(word) for start, word in naive_words(string)]
    starts = [start for start, _ in naive_words(string)]
    between = [string[first:last] for first, last in zip([0, *ends], [*starts, len(string)], strict=True)]
    assert str(words) == between[0] + "".join(expected[at] + between[at + 1] for at in range(len(expected)))
    assert words.words == tuple(expected.values())
    assert all(str(words)[start:].startswith(word) for start, word in zip(words.starts, words.words, strict=True))
    assert str(original) == string


@pytest.mark.parametrize(
    ("string", "words"),
    [
        ("", ()),
        (" \t\n", ()),
        ("word", ("word",)),
        (
            "It\u2019s the f**k-ing well-made_one, me@home!",
            ("It\u2019s", "the", "f**k-ing", "well-made_one", "me@home"),
        ),
        ("-left 'quoted' right- __init__ @", ("left", "quoted", "right", "init")),
        ("❤️ 🎬 👨\u200d👩\u200d👧 no words 🇩🇪", ("no", "words")),
        ("बहुत अच्छी फ़िल्म थी।", ("बहुत", "अच्छी", "फ़िल्म", "थी")),
        ("电影很好\uff0c真的。", ("电影很好", "真的")),
        ("Плохой фильм…", ("Плохой", "фильм")),
        ("une e\u0301te\u0301 می\u200cروم", ("une", "e\u0301te\u0301", "می\u200cروم")),
        ("<br />3.5/10 100%", ("br", "3", "5", "10", "100")),
    ],
)
def test_the_words_of_texts_in_many_scripts(string, words):
    assert text.split(string).words == words


def test_swaps_are_the_texts_made_one_by_one():
    words = text.split(toy.some_texts(1, longest=30)[0])
    swaps = text.Swaps(words, [(at, "new") for at in range(len(words.words))])
    expected = [str(words.replace(at, "new")) for at in range(len(words.words))]
    assert list(swaps) == expected
    assert swaps[1:3] == expected[1:3]
    assert swaps[-1] == expected[-1]
    assert not text.Swaps(words, [])
