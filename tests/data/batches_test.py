"""Every example once and in order, against slices of the arrays."""

import contextlib
import itertools
import threading
import time

import numpy as np
import pytest

from ib_jax import data
from ib_jax.data import cifar10, source


def numbered(size):
    return data.ArraySource(data.Split(np.arange(2 * size).reshape(size, 2), np.arange(size, dtype=np.int32)))


@pytest.mark.parametrize("num_threads, num_ahead", [(1, None), (3, None), (4, 1), (2, 50)])
@pytest.mark.parametrize("size, batch_size", [(23, 5), (20, 5), (4, 5), (1, 1), (7, 1)])
def test_every_example_comes_once_and_in_order(size, batch_size, num_threads, num_ahead):
    source = numbered(size)
    found = list(data.batches(source, batch_size, num_threads=num_threads, num_ahead=num_ahead))
    starts = range(0, size, batch_size)
    for batch, start in itertools.zip_longest(found, starts):
        assert isinstance(batch, data.Split)
        for field, whole in zip(batch, source.examples, strict=True):
            np.testing.assert_array_equal(field, whole[start : start + batch_size])


def test_an_empty_source_has_no_batch():
    assert list(data.batches(numbered(0), 5)) == []


def test_a_source_of_single_rows_will_do():
    class Plain:
        def __len__(self):
            return 7

        def __getitem__(self, row):
            return data.Split(np.full((2, 2, 1), row, np.uint8), np.int32(row))

    first, second = data.batches(Plain(), 4)
    assert first.inputs.shape == (4, 2, 2, 1)
    assert second.labels.tolist() == [4, 5, 6]
    assert second.labels.dtype == np.int32


def test_processes_may_share_a_split():
    shares = [data.Subset(numbered(23), np.arange(23)[index::3]) for index in range(3)]
    read = [batch.labels.tolist() for share in shares for batch in data.batches(share, 4)]
    assert sorted(itertools.chain(*read)) == list(range(23))


@pytest.mark.parametrize("name, split, field", [("digits", "test", "test"), ("digits", "held_out", "validation")])
def test_the_splits_are_those_that_load_gives(name, split, field):
    options = {"num_validation": 300, "seed": 4}
    expected = getattr(data.load(name, **options), field)
    read = data.batches(data.open_split(name, split, **options), 128)
    for whole, parts in zip(expected, zip(*read, strict=True), strict=True):
        np.testing.assert_array_equal(np.concatenate(parts), whole)


def wait_until(condition):
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_threads_start_with_the_first_batch_and_end_when_the_iterator_is_closed():
    before = set(threading.enumerate())
    with contextlib.closing(data.batches(numbered(100), 1, num_threads=3)) as read:
        assert set(threading.enumerate()) <= before  # another test's may be ending
        next(read)
        assert set(threading.enumerate()) - before
    wait_until(lambda: set(threading.enumerate()) <= before)


def test_damage_arrives_as_it_is():
    class Damaged:
        def __len__(self):
            return 100

        def __getitem__(self, row):
            raise data.DatasetCorruptError(f"row {row} is damaged")

    with pytest.raises(data.DatasetCorruptError, match="row 0 is damaged"):
        next(data.batches(Damaged(), 5))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"num_threads": 0}, "num_threads must be at least 1, got 0"),
        ({"num_ahead": 0}, "num_ahead must be at least 1, got 0"),
    ],
)
def test_bad_arguments_are_refused_at_once(options, message):
    with pytest.raises(ValueError, match=message):
        data.batches(numbered(3), **{"batch_size": 2, **options})


@pytest.mark.slow
def test_the_real_cifar10_where_it_is_prepared():
    folder = cifar10.cifar10_spec().prepared_dir(source.resolve_data_dir(None))
    if not folder.exists():
        pytest.skip(f"no prepared CIFAR-10 in {folder}")
    loaded = data.load("cifar10", num_validation=5_000, seed=1)
    for split, expected in (("train", loaded.train), ("held_out", loaded.validation), ("test", loaded.test)):
        opened = data.open_split("cifar10", split, num_validation=5_000, seed=1)
        read = list(data.batches(opened, 768, num_threads=2))
        for whole, parts in zip(expected, zip(*read, strict=True), strict=True):
            np.testing.assert_array_equal(np.concatenate(parts), whole)
