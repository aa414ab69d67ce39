"""Batches that are handed over: `make_stretch` takes the steps of `make_epoch`, and `feed` loses none."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ib_jax import BoundTerms, training

RNG = np.random.default_rng(0)
SIZE, BATCH, STEPS = 23, 4, 5  # three examples are left over in each epoch
DATA = training.Batch(RNG.integers(0, 256, (SIZE, 3), np.uint8), RNG.normal(size=SIZE).astype(np.float32))
OPTIMIZER = optax.adam(0.05)


def loss_fn(params, keys, inputs, labels):
    noise = 0.1 * jax.vmap(jax.random.normal)(keys)
    loss = jnp.square(inputs @ params["w"] + noise - labels)
    return BoundTerms(loss, loss)


def prepare(inputs):
    return inputs.astype(jnp.float32) / 255.0


STEP = training.make_train_step(loss_fn, OPTIMIZER)
EPOCH = jax.jit(training.make_epoch(STEP, num_examples=SIZE, batch_size=BATCH, num_steps=STEPS, prepare=prepare))
STRETCH = jax.jit(training.make_stretch(STEP, prepare=prepare))


def start():
    return training.init_state(jax.random.key(7), {"w": jnp.zeros(3)}, OPTIMIZER, 0.9)


def batches(state, num_steps):
    """The next steps' batches, stacked; by naive indexing."""
    rows = []
    for step in range(int(state.step), int(state.step) + num_steps):
        order = np.asarray(training.epoch_order(state.key, step // STEPS, SIZE))
        rows.append(order[step % STEPS * BATCH :][:BATCH])
    return training.Batch(*(field[np.array(rows)] for field in DATA[:2]))


@pytest.mark.parametrize("begin_resident", [0, 1])
@pytest.mark.parametrize("num_steps", [5, 1, 15])
def test_a_stretch_takes_the_steps_that_an_epoch_takes(begin_resident, num_steps):
    resident, losses = start(), []
    for _ in range(4):
        resident, metrics = EPOCH(resident, DATA)
        losses.extend(metrics["loss"].tolist())
    state, handed = start(), []
    for _ in range(begin_resident):  # from there the other goes on, in the middle of the run
        state, _ = EPOCH(state, DATA)
    while int(state.step) < 4 * STEPS:
        num_steps = min(num_steps, 4 * STEPS - int(state.step))
        state, metrics = STRETCH(state, batches(state, num_steps))
        assert metrics["loss"].shape == (num_steps,)
        handed.extend(metrics["loss"].tolist())
    np.testing.assert_allclose(handed, losses[begin_resident * STEPS :], rtol=1e-5)
    for got, expected in zip(jax.tree.leaves(state.params), jax.tree.leaves(resident.params), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5)
    assert int(state.step) == int(resident.step) == 20


def stretches(count, rows=8, taken=None):
    for index in range(count):
        if taken is not None:
            taken.append(index)
        inputs = np.arange(3 * rows * 2, dtype=np.float32).reshape(3, rows, 2) + 1000 * index
        yield training.Batch(inputs, np.full((3, rows), index, np.int32))


@pytest.mark.parametrize("count", [0, 1, 2, 7])
@pytest.mark.parametrize("depth", [1, 2, 5])
def test_all_is_handed_over_in_order(count, depth):
    fed = list(training.feed(stretches(count), depth=depth))
    devices = jax.local_device_count()
    assert len(fed) == count
    for got, expected in zip(fed, stretches(count), strict=True):
        assert isinstance(got, training.Batch)
        assert got.inputs.shape == (devices, 3, 8 // devices, 2)
        for device in range(devices):  # the first device has the first rows
            rows = slice(device * 8 // devices, (device + 1) * 8 // devices)
            np.testing.assert_array_equal(got.inputs[device], expected.inputs[:, rows])
            np.testing.assert_array_equal(got.labels[device], expected.labels[:, rows])


@pytest.mark.parametrize("depth", [1, 3])
def test_as_many_are_ahead_as_was_asked_for(depth):
    taken = []
    fed = training.feed(stretches(6, taken=taken), depth=depth)
    assert not taken
    for number in range(6):
        next(fed)
        assert len(taken) == min(6, number + 1 + depth)
    assert next(fed, None) is None


def test_rows_are_dealt_out_over_the_devices(monkeypatch):
    monkeypatch.setattr(jax, "local_device_count", lambda: 4)
    monkeypatch.setitem(training.feed.__globals__, "scatter", lambda tree: tree)
    (got,) = training.feed(stretches(1))
    (whole,) = stretches(1)
    assert got.inputs.shape == (4, 3, 2, 2)
    for device in range(4):
        np.testing.assert_array_equal(got.inputs[device], whole.inputs[:, 2 * device : 2 * device + 2])
        np.testing.assert_array_equal(got.labels[device], whole.labels[:, 2 * device : 2 * device + 2])


def test_bad_arguments_are_refused(monkeypatch):
    with pytest.raises(ValueError, match="depth must be at least 1, got 0"):
        next(training.feed(stretches(2), depth=0))
    monkeypatch.setattr(jax, "local_device_count", lambda: 3)
    with pytest.raises(ValueError, match="a batch's share must divide over 3 local devices, got 8 rows"):
        next(training.feed(stretches(2)))
