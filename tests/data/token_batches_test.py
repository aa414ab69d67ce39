"""Padded batches against what they are to be, written naively, for many sizes."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ib_jax import data
from tests.data.labelled import Column

LENGTHS = st.lists(st.integers(1, 20), min_size=1, max_size=4)


@st.composite
def texts_and_lengths(draw):
    lengths = draw(LENGTHS)
    sizes = draw(st.lists(st.integers(0, max(lengths)), max_size=30))
    return sizes, lengths


def smallest_that_fits(size, lengths):
    return min(length for length in lengths if length >= size)


@settings(max_examples=150, deadline=None)
@given(texts_and_lengths(), st.integers(1, 7))
def test_evaluation_batches(case, batch_size):
    sizes, lengths = case
    texts = [np.arange(size) + 100 * row for row, size in enumerate(sizes)]
    batches = list(data.token_batches(texts, batch_size=batch_size, lengths=lengths))
    order = np.concatenate([batch.rows for batch in batches]) if batches else []
    # Python's sort is stable, so equal sizes stay in order.
    assert list(order) == sorted(range(len(texts)), key=lambda row: sizes[row])
    for batch in batches:
        assert batch.tokens.dtype == np.int32
        (length,) = {smallest_that_fits(sizes[row], lengths) for row in batch.rows}
        assert batch.tokens.shape == (batch_size, length)
        for place in range(batch_size):
            row = batch.rows[min(place, len(batch.rows) - 1)]
            assert batch.tokens[place].tolist() == [*texts[row], *[-1] * (length - sizes[row])]
    for before, after in itertools.pairwise(batches):
        assert len(before.rows) == batch_size or after.tokens.shape[1] > before.tokens.shape[1]


@settings(max_examples=150, deadline=None)
@given(texts_and_lengths().filter(lambda case: case[0]), st.integers(1, 7), st.integers(0, 3), st.integers(0, 3))
def test_training_batches(case, batch_size, seed, epoch):
    sizes, lengths = case
    batch_size = min(batch_size, len(sizes))
    batches = data.bucketed_epoch(sizes, batch_size=batch_size, lengths=lengths, seed=seed, epoch=epoch)
    assert [len(batch.rows) for batch in batches] == [batch_size] * (len(sizes) // batch_size)
    rows = np.concatenate([batch.rows for batch in batches])
    # Each text once, but for the last of the shuffle.
    permutation = np.random.default_rng([seed, epoch]).permutation(len(sizes))
    assert sorted(rows) == sorted(permutation[: len(rows)])
    assert {batch.length for batch in batches} <= set(lengths)
    padded_further = 0
    for batch in batches:
        own = [smallest_that_fits(sizes[row], lengths) for row in batch.rows]
        assert max(own) <= batch.length
        padded_further += sum(length < batch.length for length in own)
    assert padded_further <= (len(set(lengths)) - 1) * (batch_size - 1)  # what is left over of each bucket


def test_epochs_and_seeds_differ_and_repeat():
    sizes = np.arange(1, 101)

    def flat(seed, epoch):
        batches = data.bucketed_epoch(sizes, batch_size=8, lengths=[30, 60, 100], seed=seed, epoch=epoch)
        return np.concatenate([batch.rows for batch in batches]).tolist(), [batch.length for batch in batches]

    runs = [flat(seed, epoch) for seed in (0, 1) for epoch in (0, 1)]
    assert all(one[0] != other[0] for one, other in itertools.combinations(runs, 2))
    assert flat(1, 0) == runs[2]
    assert runs[0][1] != sorted(runs[0][1])  # the batches are shuffled, too
    left_out = {row for epoch in range(30) for row in set(range(100)) - set(flat(0, epoch)[0])}
    assert any(row < 30 for row in left_out)
    assert any(row >= 60 for row in left_out)


def test_texts_are_taken_by_position():
    tokens = Column([np.arange(3), np.arange(1), np.arange(2)])
    assert data.pad_tokens(tokens, 3).tolist() == [[0, 1, 2], [0, -1, -1], [0, 1, -1]]
    (batch,) = data.token_batches(tokens, batch_size=3, lengths=[3])
    assert batch.rows.tolist() == [1, 2, 0]
    assert batch.tokens.tolist() == [[0, -1, -1], [0, 1, -1], [0, 1, 2]]
    sizes = Column(np.array([3, 9, 4, 2, 8]))
    batches = data.bucketed_epoch(sizes, batch_size=2, lengths=[4, 16], seed=0, epoch=0)
    assert [batch.length for batch in batches] == [4, 16]


def test_of_no_text_there_is_no_batch():
    assert data.pad_tokens([], 3).shape == (0, 3)
    assert list(data.token_batches([], batch_size=2, lengths=[3])) == []
    with pytest.raises(ValueError, match="batch_size must be at most the 0 texts, got 2"):
        data.bucketed_epoch([], batch_size=2, lengths=[3], seed=0, epoch=0)


def test_what_are_no_tokens_is_named():
    for take in (lambda one: data.pad_tokens(one, 9), lambda one: data.token_batches(one, batch_size=1, lengths=[9])):
        with pytest.raises(TypeError, match=r"token_lists must hold int \[n\], got <U6 \[\] for text 0; a tokeniser"):
            take(["a film"])
        with pytest.raises(TypeError, match=r"token_lists must hold int \[n\], got float64 \[1\] for text 1"):
            take([[1], [1.5]])
    with pytest.raises(TypeError, match=r"num_tokens must be int \[N\], got float64 \[2\]"):
        data.bucketed_epoch([3, float("nan")], batch_size=1, lengths=[9], seed=0, epoch=0)


def test_padding_refuses_a_longer_text():
    assert data.pad_tokens([], 4).shape == (0, 4)
    with pytest.raises(ValueError, match="length is 2, but text 1 has 3 tokens"):
        data.pad_tokens([np.arange(2), np.arange(3)], 2)


@pytest.mark.parametrize(
    "make",
    [
        lambda **given: data.token_batches([np.arange(3), np.arange(9)], **given),
        lambda **given: data.bucketed_epoch([3, 9], seed=0, epoch=0, **given),
    ],
)
def test_what_is_refused(make):
    with pytest.raises(ValueError, match="lengths goes up to 8, but text 1 has 9 tokens"):
        make(batch_size=1, lengths=[8, 4])
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        make(batch_size=0, lengths=[16])
    with pytest.raises(ValueError, match=r"lengths is \[0, 16\]; expected numbers of at least 1"):
        make(batch_size=1, lengths=[0, 16])
    with pytest.raises(ValueError, match=r"lengths is \[\]"):
        make(batch_size=1, lengths=[])


def test_a_training_batch_larger_than_the_set_is_refused():
    with pytest.raises(ValueError, match="batch_size must be at most the 2 texts, got 3"):
        data.bucketed_epoch([3, 9], batch_size=3, lengths=[16], seed=0, epoch=0)
