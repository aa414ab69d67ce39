"""The stream against plain NumPy indexing of the same data in memory."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ib_jax import data, training
from ib_jax.data import mnist, source
from ib_jax.data.access import EpochSubset

SIZE = 1437  # training digits
BATCH = 48
STEPS_PER_EPOCH = 29  # 1437 // 48, with 45 examples left over in each epoch


@pytest.fixture(scope="module")
def digits():
    return data.load("digits").train


def order(epoch):
    return jax.random.permutation(jax.random.fold_in(jax.random.key(3), epoch), SIZE)


def stream(**options):
    return data.stream(data.open_train("digits"), **{"order": order, "batch_size": BATCH, **options})


def expected(examples, steps, batch_size=BATCH):
    for step in steps:
        epoch, batch = divmod(step, STEPS_PER_EPOCH)
        rows = np.asarray(order(epoch))[batch * batch_size : (batch + 1) * batch_size]
        yield examples.inputs[rows], examples.labels[rows]


def assert_same(batches, others):
    for batch, other in itertools.zip_longest(batches, others):
        np.testing.assert_array_equal(batch[0], other[0])
        np.testing.assert_array_equal(batch[1], other[1])


def test_the_batches_are_those_of_naive_indexing_over_two_epochs_and_a_half(digits):
    batches = list(stream(num_steps=72))
    assert len(batches) == 72
    assert isinstance(batches[0], data.Split)
    assert batches[0].inputs.shape == (BATCH, 8, 8, 1)
    assert batches[0].labels.dtype == np.int32
    assert_same(batches, expected(digits, range(72)))


def test_the_batches_are_those_of_resident_training(digits):
    def record(state, batch, key):
        return state._replace(step=state.step + 1), batch

    epoch = training.epoch.make_epoch(record, num_examples=SIZE, batch_size=BATCH, num_steps=STEPS_PER_EPOCH)
    state = training.init_state(jax.random.key(3), {"w": jnp.zeros(())}, optax.sgd(0.1), 0.9)
    resident = training.Batch(jnp.asarray(digits.inputs), jnp.asarray(digits.labels))
    batches = stream(
        order=lambda epoch: training.epoch_order(state.key, epoch, SIZE),
        num_steps=2 * STEPS_PER_EPOCH,
        steps_per_call=STEPS_PER_EPOCH,
    )
    for batch in batches:
        state, taken = epoch(state, resident)
        np.testing.assert_array_equal(batch.inputs, taken.inputs)
        np.testing.assert_array_equal(batch.labels, taken.labels)


@pytest.mark.parametrize("num_threads, num_ahead", [(4, None), (1, 1), (4, 2), (3, 70)])
def test_neither_threads_nor_reading_ahead_change_anything(digits, num_threads, num_ahead):
    batches = stream(num_steps=72, num_threads=num_threads, num_ahead=num_ahead)
    assert_same(batches, expected(digits, range(72)))


@pytest.mark.parametrize("first_step", [1, 28, 29, 30, 57, 58, 71, 72])
def test_it_starts_at_any_step(digits, first_step):
    assert_same(stream(num_steps=72, first_step=first_step), expected(digits, range(first_step, 72)))


def test_a_late_start_makes_no_order_and_reads_no_row_but_its_own():
    asked, rows_read = [], []

    class Counted:
        def __len__(self):
            return 10

        def __getitem__(self, row):
            rows_read.append(row)
            return data.Split(np.full((2, 2, 1), row, np.uint8), np.int32(row))

    def counted_order(epoch):
        asked.append(epoch)
        return np.roll(np.arange(10), epoch)

    first = 5 * 10**8 + 3  # batch 3 of epoch 10 ** 8, for which the rows are not rotated
    (batch,) = data.stream(Counted(), order=counted_order, batch_size=2, first_step=first, num_steps=first + 1)
    assert asked == [10**8]
    assert rows_read == [6, 7]
    assert batch.labels.tolist() == [6, 7]
    assert batch.labels.dtype == np.int32
    assert batch.inputs.shape == (2, 2, 2, 1)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_the_shards_put_together_are_the_whole_batch(digits, count):
    shards = [list(stream(num_steps=40, first_step=20, shard=(index, count))) for index in range(count)]
    assert shards[0][0].inputs.shape == (BATCH // count, 8, 8, 1)
    whole = [
        data.Split(*(np.concatenate(fields) for fields in zip(*parts, strict=True)))
        for parts in zip(*shards, strict=True)
    ]
    assert_same(whole, expected(digits, range(20, 40)))


def test_a_run_may_go_on_with_another_number_of_processes(digits):
    before = list(stream(num_steps=10))
    after = [list(stream(num_steps=20, first_step=10, shard=(index, 2))) for index in (0, 1)]
    joined = [data.Split(*map(np.concatenate, zip(*parts, strict=True))) for parts in zip(*after, strict=True)]
    assert_same([*before, *joined], expected(digits, range(20)))


def test_stretches_are_the_steps_stacked(digits):
    stretches = list(stream(batch_size=49, num_steps=61, first_step=3, steps_per_call=29, shard=(0, 7)))
    assert [stretch.inputs.shape for stretch in stretches] == [(29, 7, 8, 8, 1)] * 2
    assert stretches[0].labels.dtype == np.int32
    assert isinstance(stretches[0], data.Split)
    steps = [(inputs[:7], labels[:7]) for inputs, labels in expected(digits, range(3, 61), 49)]
    assert_same([step for stretch in stretches for step in zip(*stretch, strict=True)], steps)


def test_a_stretch_of_one_step_keeps_its_axis():
    assert next(stream(num_steps=1, steps_per_call=1)).labels.shape == (1, BATCH)


def test_a_source_that_can_is_asked_for_a_batch_at_a_time(digits):
    class Whole(data.ArraySource):
        def __getitem__(self, row):
            raise AssertionError("asked for a single row")

    batches = data.stream(Whole(digits), order=order, batch_size=BATCH, num_steps=3)
    assert_same(batches, expected(digits, range(3)))


@pytest.mark.parametrize("subset", [False, True])
def test_a_source_that_differs_by_epoch_is_read_in_the_epoch_of_each_step(subset):
    class Tagged:
        """Inputs that tell epoch and row."""

        def __len__(self):
            return 10

        def at_epoch(self, epoch):
            rows = np.arange(10)
            return data.ArraySource(data.Split(np.stack([np.full(10, epoch), rows], -1), rows.astype(np.int32)))

    source = EpochSubset(Tagged(), np.arange(9, 1, -1)) if subset else Tagged()
    num_rows, steps_per_epoch = len(source), len(source) // 3
    order = lambda epoch: np.roll(np.arange(num_rows), epoch)
    batches = data.stream(source, order=order, batch_size=3, num_steps=11, first_step=2, num_threads=2, num_ahead=5)
    for step, batch in enumerate(batches, start=2):
        epoch, start = divmod(step, steps_per_epoch)
        rows = order(epoch)[3 * start : 3 * start + 3]
        rows = 9 - rows if subset else rows
        assert batch.inputs.tolist() == [[epoch, row] for row in rows.tolist()]
        assert batch.labels.tolist() == rows.tolist()
    assert step == 10


@pytest.mark.parametrize(
    "options, message",
    [
        ({"batch_size": 0}, "batch_size must be between 1 and the 1437 training examples, got 0"),
        ({"batch_size": 1438}, "batch_size must be between 1 and the 1437 training examples, got 1438"),
        ({"shard": (0, 5)}, "batch_size must divide over 5 processes, got 48; 50 does"),
        ({"shard": (2, 2)}, r"shard must be \(index, count\) with 0 <= index < count, got \(2, 2\)"),
        ({"shard": (-1, 2)}, r"shard must be .*, got \(-1, 2\)"),
        ({"shard": (0, 0)}, r"shard must be .*, got \(0, 0\)"),
        ({"first_step": 59}, "first_step must be between 0 and the 58 steps of the run, got 59"),
        ({"first_step": -1}, "first_step must be between 0 and the 58 steps of the run, got -1"),
        ({"steps_per_call": 0}, "steps_per_call must divide the 29 steps of an epoch, got 0"),
        ({"steps_per_call": 2}, "steps_per_call must divide the 29 steps of an epoch, got 2"),
        (
            {"steps_per_call": 29, "first_step": 28},
            "must divide the 30 steps from first_step 28 to num_steps 58, got 29",
        ),
        ({"num_threads": 0}, "num_threads must be at least 1, got 0"),
        ({"num_ahead": 0}, "num_ahead must be at least 1, got 0"),
    ],
)
def test_bad_arguments_are_refused_at_once(options, message):
    with pytest.raises(ValueError, match=message):
        stream(**{"num_steps": 58, **options})


@pytest.mark.parametrize(
    "rows, message",
    [
        (np.arange(SIZE - 1), r"order\(0\) is int64 \(1436,\); expected integers \(1437,\)"),
        (np.arange(SIZE, dtype=float), r"order\(0\) is float64 \(1437,\); expected integers"),
        (np.arange(SIZE) - 1, r"order\(0\) has rows in -1\.\.1435; expected 0\.\.1436"),
        (np.arange(SIZE) + 1, r"order\(0\) has rows in 1\.\.1437; expected 0\.\.1436"),
    ],
)
def test_a_bad_order_is_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        next(stream(order=lambda epoch: rows, num_steps=1))


@pytest.mark.slow
def test_the_real_mnist_where_it_is_prepared():
    folder = mnist.mnist_spec().prepared_dir(source.resolve_data_dir(None))
    if not folder.exists():
        pytest.skip(f"no prepared MNIST in {folder}")
    train = data.load("mnist", num_validation=10_000, seed=1).train
    opened = data.open_train("mnist", num_validation=10_000, seed=1)
    assert len(opened) == 50_000
    orders = [np.random.default_rng(epoch).permutation(50_000) for epoch in range(2)]
    batches = data.stream(
        opened, order=orders.__getitem__, batch_size=100, num_steps=550, first_step=490, num_threads=3
    )
    for step, batch in enumerate(batches, start=490):
        rows = orders[step // 500][step % 500 * 100 :][:100]
        np.testing.assert_array_equal(batch.inputs, train.inputs[rows])
        np.testing.assert_array_equal(batch.labels, train.labels[rows])
