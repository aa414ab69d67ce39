import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ib_jax import BoundTerms, training

OPTIMIZER = optax.sgd(0.01)


def recording_step(state, batch, key):
    """Counts the step and tells which rows it saw and with which key."""
    state = state._replace(step=state.step + 1)
    return state, {"loss": jnp.float32(0), "rows": batch.inputs[:, 0], "key": jax.random.key_data(key)}


def start(seed=0):
    return training.init_state(jax.random.key(seed), {"w": jnp.zeros(())}, OPTIMIZER, 0.9)


def rows_seen(num_steps, num_calls, num_examples=11, batch_size=3, seed=0):
    run = jax.jit(
        training.make_epoch(recording_step, num_examples=num_examples, batch_size=batch_size, num_steps=num_steps)
    )
    data = training.Batch(jnp.arange(num_examples)[:, None], jnp.arange(num_examples))
    state, seen, keys = start(seed), [], []
    for _ in range(num_calls):
        state, metrics = run(state, data)
        seen.append(metrics["rows"])
        keys.append(metrics["key"])
    return np.concatenate(seen), np.concatenate(keys)


def test_an_epoch_visits_each_example_at_most_once_in_full_batches():
    seen, keys = rows_seen(num_steps=3, num_calls=4)
    assert seen.shape == (12, 3)
    epochs = seen.reshape(4, 9)
    for epoch in epochs:
        assert len(set(epoch)) == 9
    assert len({tuple(epoch) for epoch in epochs}) == 4  # each epoch in its own order
    assert set(np.unique(epochs)) == set(range(11))  # what one epoch leaves over, another sees
    assert len({tuple(key) for key in keys}) == 12  # noise of its own at every step


def test_the_order_does_not_depend_on_how_the_epoch_is_cut_up():
    whole = rows_seen(num_steps=3, num_calls=2)
    for got, expected in zip(rows_seen(num_steps=1, num_calls=6), whole, strict=True):
        np.testing.assert_array_equal(got, expected)
    assert not np.array_equal(rows_seen(3, 2, seed=1)[0], whole[0])


def test_inputs_are_prepared_inside_the_loop():
    def loss_fn(params, keys, inputs, labels):
        assert inputs.dtype == jnp.float32
        return BoundTerms(*[inputs.sum(-1) * (1 + 0 * params["w"])] * 2)

    step = training.make_train_step(loss_fn, OPTIMIZER)
    run = training.make_epoch(
        step, num_examples=4, batch_size=4, num_steps=1, prepare=lambda inputs: inputs.astype(jnp.float32) / 255
    )
    data = training.Batch(jnp.full((4, 2), 255, jnp.uint8), jnp.zeros(4, jnp.int32))
    _, metrics = jax.jit(run)(start(), data)
    np.testing.assert_allclose(metrics["loss"], [2.0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "batch_size must be between 1 and the 10 training examples, got 0"),
        ({"batch_size": 11}, "batch_size must be between 1 and the 10 training examples, got 11"),
        ({"num_shards": 8, "batch_size": 9}, "batch_size must divide over 8 devices, got 9; 8 does"),
        ({"num_steps": 4}, "num_steps must divide the 5 steps of an epoch, got 4"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        training.make_epoch(recording_step, **({"num_examples": 10, "batch_size": 2, "num_steps": 5} | settings))
