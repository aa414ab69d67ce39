"""Batch statistics: against NumPy, in the train step, over microbatches, and in no gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ib_jax import models, training
from ib_jax.models.normalise import Normalise
from ib_jax.types import BoundTerms

RNG = np.random.default_rng(0)
IMAGES = jnp.asarray(RNG.uniform(size=(8, 8, 8, 3)), jnp.float32)
LABELS = jnp.arange(8) % 2
MODEL = models.make_classifier(models.WideResNetEncoder(10, 1, norm="batch", scale="zero"), num_classes=2)


def loss_fn(params, keys, inputs, labels):
    encoding, statistics = MODEL.encode_train(params, inputs, keys)
    loss = optax.softmax_cross_entropy_with_integer_labels(MODEL.decode(params, encoding.mean), labels)
    return BoundTerms(loss, loss), statistics


@pytest.fixture(scope="module")
def params():
    return MODEL.init(jax.random.key(0), IMAGES)


def test_it_normalises_by_the_batch_in_training_and_by_running_statistics_otherwise():
    hidden = jnp.asarray(RNG.normal(3.0, 2.0, size=(5, 4, 4, 2)), jnp.float32)
    module = Normalise("batch", momentum=0.75)
    variables = module.init(jax.random.key(0), hidden, train=False)
    found, moved = module.apply(variables, hidden, train=True, mutable=["batch_stats"])
    hidden = np.asarray(hidden)
    mean, variance = np.mean(hidden, (0, 1, 2)), np.var(hidden, (0, 1, 2))
    np.testing.assert_allclose(found, (hidden - mean) / np.sqrt(variance + 1e-5), atol=1e-4)
    running = jax.device_get(moved["batch_stats"]["BatchNorm_0"])
    np.testing.assert_allclose(running["mean"], 0.25 * mean, rtol=1e-4)
    np.testing.assert_allclose(running["var"], 0.75 + 0.25 * variance, rtol=1e-4)
    kept = {**variables, **moved}
    wanted = (hidden - running["mean"]) / np.sqrt(running["var"] + 1e-5)
    np.testing.assert_allclose(module.apply(kept, hidden, train=False), wanted, atol=1e-4)


def test_the_step_moves_the_statistics_and_the_gradient_leaves_them(params):
    gradient = jax.jit(training.make_gradient(loss_fn))
    slope, _, statistics = gradient(params, training.Batch(IMAGES, LABELS), jax.random.key(1))
    assert all(not leaf.any() for leaf in jax.tree.leaves(slope["batch_stats"]))
    assert any(leaf.any() for leaf in jax.tree.leaves(slope["encoder"]))
    optimizer = optax.adamw(1e-2, weight_decay=0.5)  # decays whatever it is given, the statistics too
    step = jax.jit(training.make_train_step(loss_fn, optimizer, average_decay=0.0))
    state = training.init_state(jax.random.key(2), params, optimizer, 0.0)
    state, _ = step(state, training.Batch(IMAGES, LABELS), jax.random.key(1))
    for found, wanted in zip(
        jax.tree.leaves(state.params["batch_stats"]), jax.tree.leaves(statistics["batch_stats"]), strict=True
    ):
        np.testing.assert_allclose(found, wanted, rtol=1e-6)
    # Averaging is off, so there is no second copy to keep, and what is evaluated are the parameters.
    assert not jax.tree.leaves(state.average.ema)
    assert training.averaged_params(state, 0.0) is state.params


@pytest.mark.standard
def test_the_statistics_of_microbatches_are_averaged(params):
    batch, key = training.Batch(IMAGES, LABELS), jax.random.key(1)
    _, _, found = jax.jit(training.make_gradient(loss_fn, num_microbatches=2))(params, batch, key)
    halves = [MODEL.encode_train(params, part, None)[1] for part in (IMAGES[:4], IMAGES[4:])]
    wanted = jax.tree.map(lambda *leaves: sum(leaves) / 2, *halves)
    for mine, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-6)


def test_a_network_without_statistics_has_none():
    plain = models.make_classifier(models.WideResNetEncoder(10, 1), num_classes=2)
    shapes = jax.eval_shape(plain.init, jax.random.key(0), IMAGES)
    assert "batch_stats" not in shapes
    assert jax.eval_shape(lambda p: plain.encode_train(p, IMAGES, None)[1], shapes) == {}
