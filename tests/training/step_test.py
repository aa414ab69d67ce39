import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ib_jax import BoundTerms, training

PARAMS = {"w": jnp.array([0.5, -1.0]), "b": jnp.array(0.2)}
INPUTS = jax.random.normal(jax.random.key(0), (8, 2))
LABELS = (jnp.arange(8) % 2).astype(jnp.float32)

not_under_strict = pytest.mark.not_under("strict", reason="optax itself; a train step gives it JAX's own promotion")


def loss_fn(params, keys, inputs, labels):
    noise = jax.vmap(lambda key: jax.random.normal(key))(keys)
    loss = jnp.square(inputs @ params["w"] + params["b"] + 0.1 * noise - labels)
    return BoundTerms(loss, 2 * loss, None)


def train(optimizer, num_steps, average_decay=0.9):
    step = jax.jit(training.make_train_step(loss_fn, optimizer, average_decay=average_decay))
    state = training.init_state(jax.random.key(1), PARAMS, optimizer, average_decay)
    history = []
    for i in range(num_steps):
        state, metrics = step(state, training.Batch(INPUTS, LABELS), jax.random.key(i))
        history.append((state, metrics))
    return history


def test_a_step_follows_the_gradient_of_the_mean_loss():
    ((state, metrics),) = train(optax.sgd(0.1), 1)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(0), jnp.arange(8, dtype=jnp.uint32))
    noise = np.asarray(jax.vmap(lambda key: jax.random.normal(key))(keys), np.float64)
    x, w = np.asarray(INPUTS, np.float64), np.array([0.5, -1.0])
    residual = x @ w + 0.2 + 0.1 * noise - np.asarray(LABELS)
    np.testing.assert_allclose(state.params["w"], w - 0.1 * 2 * (residual[:, None] * x).mean(0), rtol=1e-5)
    np.testing.assert_allclose(state.params["b"], 0.2 - 0.1 * 2 * residual.mean(), rtol=1e-5)
    np.testing.assert_allclose(metrics["loss"], np.square(residual).mean(), rtol=1e-5)
    np.testing.assert_allclose(metrics["distortion"], 2 * np.square(residual).mean(), rtol=1e-5)
    assert set(metrics) == {"loss", "distortion"}
    assert int(state.step) == 1


def test_weights_make_a_weighted_mean_and_a_mask_leaves_examples_out():
    def first_step(inputs, labels, weights):
        step = training.make_train_step(loss_fn, optax.sgd(0.1))
        state = training.init_state(jax.random.key(1), PARAMS, optax.sgd(0.1), 0.999)
        return step(state, training.Batch(inputs, labels, weights), jax.random.key(0))

    state, metrics = first_step(INPUTS, LABELS, jnp.arange(8.0))
    (plain,) = train(optax.sgd(0.1), 1)
    each = [first_step(INPUTS, LABELS, jnp.eye(8)[i]) for i in range(8)]
    weights = np.arange(8) / 28
    expected = sum(w * np.asarray(one.params["w"], np.float64) for w, (one, _) in zip(weights, each, strict=True))
    np.testing.assert_allclose(state.params["w"], expected, rtol=1e-5)
    np.testing.assert_allclose(metrics["loss"], weights @ np.array([m["loss"] for _, m in each]), rtol=1e-5)
    even, _ = first_step(INPUTS, LABELS, jnp.full(8, 3.0))
    np.testing.assert_allclose(even.params["w"], plain[0].params["w"], rtol=1e-6)
    masked, metrics = first_step(INPUTS, LABELS.at[5:].set(1000), jnp.arange(8) < 5)
    np.testing.assert_allclose(masked.params["w"], first_step(INPUTS, LABELS, jnp.arange(8) < 5)[0].params["w"])
    assert np.isfinite(metrics["loss"])


def test_the_average_is_debiased():
    history = train(optax.sgd(0.1), 5)
    steps = [np.asarray(state.params["w"], np.float64) for state, _ in history]
    weights = 0.1 * 0.9 ** np.arange(4, -1, -1.0)
    expected = np.tensordot(weights, steps, 1) / weights.sum()
    np.testing.assert_allclose(training.averaged_params(history[-1][0], 0.9)["w"], expected, rtol=1e-5)
    np.testing.assert_allclose(training.averaged_params(history[0][0], 0.9)["w"], steps[0], rtol=1e-5)


@not_under_strict
def test_paper_adam_is_adam_with_a_staircase():
    """Against Adam written out in NumPy, with a decay after every second step."""
    optimizer = training.paper_adam(0.1, steps_per_decay=2, decay_rate=0.5)
    params, state = jnp.array([1.0, -2.0]), optimizer.init(jnp.array([1.0, -2.0]))
    p, m, v = np.array([1.0, -2.0]), np.zeros(2), np.zeros(2)
    for t in range(1, 6):
        gradient = np.array([0.3 * t, -0.7])
        updates, state = optimizer.update(jnp.asarray(gradient, jnp.float32), state, params)
        params = optax.apply_updates(params, updates)
        m, v = 0.5 * m + 0.5 * gradient, 0.999 * v + 0.001 * gradient**2
        rate = 0.1 * 0.5 ** ((t - 1) // 2)
        p = p - rate * (m / (1 - 0.5**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        np.testing.assert_allclose(params, p, rtol=1e-5)


@not_under_strict
def test_weight_decay_is_decoupled():
    optimizer = training.paper_adam(0.1, steps_per_decay=10, weight_decay=0.5)
    params = jnp.array([2.0])
    updates, _ = optimizer.update(jnp.zeros(1), optimizer.init(params), params)
    np.testing.assert_allclose(updates, [-0.1 * 0.5 * 2.0], rtol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate must be positive, got 0.0"),
        ({"steps_per_decay": 0}, "steps_per_decay must be at least 1, got 0"),
        ({"decay_rate": 1.5}, r"decay_rate must be in \(0, 1\], got 1.5"),
        ({"weight_decay": -1.0}, "weight_decay must be at least 0, got -1.0"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        training.paper_adam(**({"learning_rate": 0.1, "steps_per_decay": 2} | settings))
    with pytest.raises(ValueError, match=r"average_decay must be in \[0, 1\), got 1.0"):
        training.make_train_step(loss_fn, optax.sgd(0.1), average_decay=1.0)
