"""The threads of the stream: when they start, when they end, and that they say nothing."""

import contextlib
import subprocess
import sys
import threading
import time

import jax
import numpy as np
import pytest

from ib_jax import data

SIZE, BATCH = 1437, 48  # training digits, 29 batches of them in an epoch


@pytest.fixture
def started():
    """Asks for the threads that the test has started and that are alive."""
    before = set(threading.enumerate())
    return lambda: set(threading.enumerate()) - before


def wait_until(condition):
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def order(epoch):
    return jax.random.permutation(jax.random.fold_in(jax.random.key(3), epoch), SIZE)


def stream(**options):
    return data.stream(data.open_train("digits"), **{"order": order, "batch_size": BATCH, **options})


def test_each_order_is_made_once_for_all_threads():
    asked = []

    def counted(epoch):
        asked.append(epoch)
        time.sleep(0.01)
        return order(epoch)

    assert len(list(stream(order=counted, num_steps=87, num_threads=8))) == 87
    assert sorted(asked) == [0, 1, 2]


@pytest.mark.parametrize("steps_per_call", [None, 29])
@pytest.mark.parametrize("close", [True, False], ids=["closed", "dropped"])
def test_the_threads_end_when_the_iterator_is_left_early(close, steps_per_call, started):
    batches = stream(num_steps=290, steps_per_call=steps_per_call, num_threads=3)
    next(batches)
    assert started()
    if close:
        batches.close()
        assert next(batches, "over") == "over"
    else:
        del batches
    wait_until(lambda: not started())


def test_the_threads_end_with_the_steps(started):
    batches = stream(num_steps=4)
    assert len(list(batches)) == 4
    wait_until(lambda: not started())


def test_the_threads_end_when_a_read_fails_and_the_error_arrives_as_it_is(started):
    class Damaged:
        def __len__(self):
            return 100

        def __getitem__(self, row):
            raise data.DatasetCorruptError(f"row {row} is damaged")

    batches = data.stream(Damaged(), order=lambda epoch: np.arange(100), batch_size=5, num_steps=20)
    with pytest.raises(data.DatasetCorruptError, match="row 0 is damaged") as held:
        next(batches)
    assert held.tb is not None  # and with it every frame of the read
    wait_until(lambda: not started())


def test_no_thread_is_started_before_the_first_batch(started):
    with contextlib.closing(stream(num_steps=10)):
        assert not started()


@pytest.mark.standard
def test_it_prints_nothing_and_needs_no_flags():
    code = """
import numpy as np
from ib_jax import data
source = data.ArraySource(data.Split(np.zeros((9, 2)), np.zeros(9, np.int32)))
for num_ahead in (None, 1):
    batches = data.stream(source, order=lambda epoch: np.arange(9), batch_size=3, num_steps=9, num_threads=4,
                          num_ahead=num_ahead, steps_per_call=3)
    assert len(list(batches)) == 3
next(data.stream(source, order=lambda epoch: np.arange(9), batch_size=3, num_steps=9))
"""
    result = subprocess.run(
        [sys.executable, "-W", "ignore::EncodingWarning", "-c", code], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
