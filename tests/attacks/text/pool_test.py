"""The pool answers as the function would text by text, through few shapes and without asking twice."""

import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ib_jax.attacks import text
from tests.attacks.text import toy

LENGTHS = (4, 8, 32)
TABLE = np.random.default_rng(0).normal(size=(256, 3)).astype(np.float32)


class Tokenise:
    """A token for each word, in small letters, so that texts which differ in case have the same tokens."""

    def __init__(self):
        self.asked = []

    def __call__(self, texts):
        self.asked += texts
        return [np.array([sum(word.encode()) % 256 for word in one.lower().split()], np.int32) for one in texts]


class Apply:
    """A jitted mean of embeddings, and a note of every batch's shape."""

    def __init__(self):
        self.batches, self.traces = [], 0
        self._run = jax.jit(self._mean)

    def _mean(self, tokens):
        self.traces += 1
        rows = jnp.where((tokens >= 0)[..., None], jnp.asarray(TABLE)[tokens], 0)
        return jnp.tanh(rows).sum(1) / jnp.maximum((tokens >= 0).sum(1, keepdims=True), 1).astype(jnp.float32)

    def __call__(self, tokens):
        assert tokens.dtype == np.int32
        self.batches.append(np.array(tokens))
        return self._run(tokens)


def pool(batch_size=5, lengths=LENGTHS, **settings):
    tokenise, apply_fn = Tokenise(), Apply()
    return text.Pool(tokenise, apply_fn, batch_size=batch_size, lengths=lengths, **settings), tokenise, apply_fn


def expected(texts):
    rows = [np.tanh(TABLE[tokens]).sum(0) / max(1, len(tokens)) for tokens in Tokenise()(texts)]
    return np.stack(rows)


def test_answers_are_those_of_each_text_alone_in_order():
    texts = toy.some_texts(40, seed=2)
    answer, _, apply_fn = pool()
    np.testing.assert_allclose(answer(texts), expected(texts), atol=1e-6)
    assert {batch.shape for batch in apply_fn.batches} <= {(5, length) for length in LENGTHS}
    assert apply_fn.traces == len({batch.shape for batch in apply_fn.batches})
    for batch in apply_fn.batches:
        used = (batch >= 0).sum(1)
        shorter = max([length for length in LENGTHS if length < batch.shape[1]], default=0)
        assert used.min() > shorter or batch.shape[1] == LENGTHS[0]
        assert all(
            (row[:count] >= 0).all() and (row[count:] == -1).all() for row, count in zip(batch, used, strict=True)
        )


def test_nothing_is_tokenised_or_computed_twice():
    answer, tokenise, apply_fn = pool()
    texts = ["a film", "A Film", "a film", "plot"]
    first = answer(texts)
    assert tokenise.asked == ["a film", "A Film", "plot"]
    assert (answer.num_asked, answer.num_computed, len(apply_fn.batches)) == (4, 2, 1)
    np.testing.assert_array_equal(answer([*texts, "a FILM"])[:4], first)
    assert tokenise.asked == ["a film", "A Film", "plot", "a FILM"]
    assert (answer.num_asked, answer.num_computed, len(apply_fn.batches)) == (9, 2, 1)


def test_an_answer_does_not_depend_on_what_else_is_asked():
    texts = toy.some_texts(40, seed=2)
    whole = pool()[0](texts)
    for order in (range(39, -1, -1), range(0, 40, 7)):
        np.testing.assert_array_equal(pool()[0]([texts[at] for at in order]), whole[list(order)])


def test_threads_work_at_batches_of_different_lengths_at_once_and_change_no_answer():
    texts, lengths, two = [f"{word} film" + " x" * more for word in "abcd" for more in (0, 4)], [], threading.Barrier(2)

    def together(tokens):
        lengths.append(tokens.shape[1])
        two.wait(timeout=20)  # raises if a batch is alone at work
        return Apply()(tokens)

    answer = text.Pool(Tokenise(), together, batch_size=2, lengths=LENGTHS, num_threads=2)
    np.testing.assert_array_equal(answer(texts), text.Pool(Tokenise(), Apply(), batch_size=2, lengths=LENGTHS)(texts))
    # Two that meet a new length together would compile its program twice.
    assert set(lengths[:2]) == {4, 8}
    assert sorted(lengths) == [4, 4, 8, 8]


@pytest.mark.parametrize("max_cached", [0, 700, 5000])
def test_a_bounded_memory_forgets_but_stays_right(max_cached):
    answer, tokenise, _ = pool(max_cached=max_cached)
    texts = [f"text {chr(97 + at)}" for at in range(10)]
    for _ in range(3):
        np.testing.assert_allclose(answer(texts), expected(texts), atol=1e-6)
    assert answer._answers._held <= max_cached
    assert answer._key_of._held <= max_cached
    # The last two of 700 bytes are still there when the ten are asked about again.
    assert len(tokenise.asked) == {0: 30, 700: 26, 5000: 10}[max_cached]
    assert answer.num_computed == len(tokenise.asked)


def test_what_was_used_last_is_kept():
    answer, tokenise, _ = pool(max_cached=900)  # three entries
    answer(["a", "b", "c"])
    answer(["a"])
    answer(["d"])
    del tokenise.asked[:]
    answer(["a", "c", "d", "b"])
    assert tokenise.asked == ["b"]


def test_answers_of_any_shape():
    answer = text.Pool(Tokenise(), lambda tokens: np.ones((2, 4, 5)) * tokens.shape[1], batch_size=2, lengths=[3, 9])
    assert answer(["a b c d", "a", ""])[:, 0, 0].tolist() == [9, 3, 3]
    scalar = text.Pool(Tokenise(), lambda tokens: (tokens >= 0).sum(1), batch_size=2, lengths=[3])
    assert scalar(["a", "a b", "b"]).tolist() == [1, 2, 1]


def test_what_is_wrong_is_named():
    for settings, message in (
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"lengths": ()}, r"lengths must be one or more whole numbers from 1 up, got \[\]"),
        ({"lengths": (0, 4)}, r"lengths must be one or more whole numbers from 1 up, got \[0, 4\]"),
        ({"max_cached": -1}, "max_cached must be at least 0 bytes, got -1"),
        ({"num_threads": 0}, "num_threads must be at least 1, got 0"),
    ):
        with pytest.raises(ValueError, match=message):
            pool(**settings)
    answer, _, _ = pool()
    with pytest.raises(ValueError, match="at most 32 tokens, the greatest of lengths, got 33"):
        answer(["a " * 33])
    with pytest.raises(ValueError, match="tokens for each of 2 texts, got 0"):
        text.Pool(lambda texts: [], Apply(), batch_size=2, lengths=[4])(["a", "b"])
    with pytest.raises(ValueError, match=r"apply_fn must return \[2, \.\.\.\], got \[1, 3\]"):
        text.Pool(Tokenise(), lambda tokens: np.ones((1, 3)), batch_size=2, lengths=[4])(["a"])


def test_it_drives_an_attack():
    """Pool, head and runner as they are meant to be put together: many models on one backbone."""
    answer, _, _ = pool(batch_size=16, lengths=(32,))
    heads = np.random.default_rng(1).normal(size=(2, 3, 2))

    def score(texts, models):
        logits = np.einsum("nd,ndc->nc", answer(texts), 9 * heads[models])
        powers = np.exp(logits - logits.max(-1, keepdims=True))
        return powers / powers.sum(-1, keepdims=True)

    texts = toy.some_texts(6, seed=4)
    models = np.repeat([0, 1], 6)
    labels = score(texts * 2, models).argmax(-1)
    results = text.TextRunner(text.deep_word_bug(), score)(0, texts * 2, labels, models)
    assert any(result.success for result in results)
    assert answer.num_computed < 0.75 * answer.num_asked  # the two heads asked many of the same texts
    alone = text.TextRunner(text.deep_word_bug(), score)(0, texts, labels[:6], models[:6])
    assert alone == results[:6]
