"""Classes, probabilities, tokens and settings: what is taken, and what is said of each kind of mistake."""

import numpy as np
import pytest

from ib_jax.attacks import text
from ib_jax.attacks.text.answers import classes
from tests.data.labelled import Column

TEXTS = ["a good film", "a bad film"]


def score(texts, models):
    return np.tile([0.1, 0.9], (len(texts), 1))


def run(labels=(1, 1), score=score, judge=None, models=None):
    return text.TextRunner(text.deep_word_bug(stop_words=()), score, judge)(0, TEXTS, labels, models)


@pytest.mark.parametrize(
    "labels", [[1, 0], (1, 0), np.array([1, 0], np.uint8), np.array([1, 0], object), Column(np.array([1, 0]))]
)
def test_classes_are_taken_by_position(labels):
    found = classes("labels", labels, 2)
    assert found.tolist() == [1, 0]
    assert found.dtype.kind in "iu"


def test_of_no_text_any_empty_list_has_the_classes():
    assert classes("labels", [], 0).dtype.kind == "i"


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([1, float("nan")], r"float64 \[2\], nan at position 1; drop the rows without a class"),
        ([1, None], r"object \[2\], None at position 1; drop the rows without a class"),
        ([1.0, 0.0], r"float64 \[2\], 1.0 at position 0; convert them to int"),
        ([1, 0.5], r"float64 \[2\], 0.5 at position 1; classes are whole numbers from 0"),
        ([1, float("inf")], r"float64 \[2\], inf at position 1; classes are whole numbers from 0"),
        (["neg", "pos"], r"<U3 \[2\], 'neg' at position 0; number the classes from 0"),
        ([True, False], r"bool \[2\], True at position 0; convert them to int"),
        ([1, 2**70], r"object \[2\], 1180591620717411303424 at position 1; classes are whole numbers from 0"),
        ([1, 10**400], r"object \[2\], 10{56}\.\.\. at position 1; classes are whole numbers from 0"),
        ([[1], [1, 2]], "rows of different lengths; give one whole number for each text"),
        ([[0, 1], [1, 0]], r"int64 \[2, 2\]; give one whole number for each text"),
        ({0: 1, 1: 1}, r"object \[\]; give one whole number for each text"),
    ],
)
@pytest.mark.parametrize("name", ["labels", "models"])
def test_what_is_no_class_is_named(name, labels, message):
    with pytest.raises(ValueError, match=rf"^{name} must be int \[2\], got {message}$"):
        run(labels) if name == "labels" else run(models=labels)


@pytest.mark.parametrize("name", ["score", "judge"])
@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda texts: (score(texts, None), texts), "got tuple of 2; return the probabilities alone"),
        (lambda texts: {"logits": score(texts, None)}, "got dict of 1; return the probabilities alone"),
        (lambda texts: None, r"got \[\]"),
        (lambda texts: "positive", "got str 'positive'; return the probabilities alone"),
        (lambda texts: [["a", "b"]] * len(texts), r"got list \[\['a', 'b'\], \['a', 'b'\]\]"),
        (lambda texts: [[1.0], [0.5, 0.5]], r"got list \[\[1.0\], \[0.5, 0.5\]\]"),
        (lambda texts: score(texts, None)[:1], r"got \[1, 2\]"),
        (
            lambda texts: np.array([[5, 2]] * len(texts)),
            r"got \[5.0, 2.0\] for 'a good film'; put logits through a soft",
        ),
        (lambda texts: score(texts, None) * [np.nan, 1], r"got \[nan, 0.9\] for 'a good film'"),
        (lambda texts: np.array([[0.5, 0.5], [2.0, -1.0]]), r"got \[2.0, -1.0\] for 'a bad film'"),
    ],
)
def test_what_are_no_probabilities_is_named(name, answer, message):
    with pytest.raises(ValueError, match=f"^{name} must return .*{message}") as raised:
        run(**{name: lambda texts, models: answer(texts)})
    assert "\n" not in str(raised.value)


def test_lists_and_hard_decisions_are_probabilities():
    assert [one.prediction_before for one in run(score=lambda texts, models: [[0, 1]] * len(texts))] == [1, 1]


def test_the_number_of_classes_stays():
    def grows(texts, models):
        return np.tile([0.1, 0.9] if texts == TEXTS else [0.1, 0.9, 0.0], (len(texts), 1))

    with pytest.raises(ValueError, match=r"^score must return \[6, 2\], the classes it had before, got \[6, 3\]"):
        run(score=grows)
    with pytest.raises(ValueError, match=r"^judge must return \[2, 2\], the classes it had before, got \[2, 3\]"):
        run(judge=lambda texts, models: np.tile([0.1, 0.9, 0.0], (len(texts), 1)))


def tokenise(texts):
    return [np.array([len(word) for word in one.split()], np.int32) for one in texts]


def pool(tokenise=tokenise, apply_fn=lambda tokens: np.stack([tokens.max(-1)] * 3, -1), lengths=(4,)):
    return text.Pool(tokenise, apply_fn, batch_size=2, lengths=lengths)


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ({"input_ids": [[1], [2]]}, r"tokens, int \[n\] of each text, got dict; return its token numbers"),
        (None, r"tokens, int \[n\] of each text, got NoneType"),
        ([[1], [1.5]], r"tokens, int32 \[n\] of each text, got float64 \[1\] for text 1"),
        ([["a"], [1]], r"got <U1 \[1\] for text 0"),
        ([1, 2], r"got int64 \[\] for text 0"),
        ([[1], [2**40]], "got numbers from 1099511627776 to 1099511627776 for text 1"),
        ([[1], [[1], [1, 2]]], r"got list \[\[1\], \[1, 2\]\] for text 1"),
    ],
)
def test_what_are_no_tokens_is_named(tokens, message):
    with pytest.raises(ValueError, match=f"^tokenise must return .*{message}"):
        pool(lambda texts: tokens)(TEXTS)


def test_tokens_are_taken_by_position():
    tokens = Column(np.array([[3], [5]]))
    assert pool(lambda texts: tokens)(TEXTS)[:, 0].tolist() == [3, 5]


@pytest.mark.parametrize(
    ("apply_fn", "message"),
    [
        # As many outputs as rows: they would pass for a batch.
        (lambda tokens: (tokens, tokens), r"\[2, \.\.\.\], got tuple of 2; return one array"),
        (lambda tokens: {"logits": tokens}, r"\[2, \.\.\.\], got dict of 1; return one array"),
        (lambda tokens: tokens, r"rows of one shape, whatever the length of its tokens, got \[1\] and \[4\]"),
    ],
)
def test_what_is_no_batch_of_answers_is_named(apply_fn, message):
    with pytest.raises(ValueError, match=f"^apply_fn must return {message}"):
        pool(apply_fn=apply_fn, lengths=(1, 4))(["a", "a b"])


def test_the_answer_to_no_text_has_the_shape_of_any_other():
    for asked_before in ([], TEXTS):
        answer = pool()
        expected = answer(TEXTS)
        answer = pool()
        if asked_before:
            answer(asked_before)
        none = answer([])
        assert none.shape == (0, 3)
        assert none.dtype == expected.dtype
        assert answer.num_asked == len(asked_before)
        np.testing.assert_array_equal(answer(TEXTS), expected)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: text.deep_word_bug(max_queries=2.5), "max_queries must be a whole number, got 2.5"),
        (lambda: text.TextRunner(text.deep_word_bug(), score, max_requests="9"), "max_requests must be a whole number"),
        (lambda: text.Pool(tokenise, None, batch_size=2.0, lengths=[4]), "batch_size must be a whole number, got 2.0"),
        (lambda: text.targeted("pos"), "target must be a whole number, got 'pos'"),
        (lambda: text.deep_word_bug(constraints=text.edit_distance(3)), "constraints must be Constraints, got <func"),
    ],
)
def test_settings_of_another_kind_are_named(make, message):
    with pytest.raises(TypeError, match=message):
        make()
