"""Models whose answer for one example depends on its neighbours, and those whose does not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ib_jax import DiagGaussian, evaluation

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
INPUTS = jnp.asarray(RNG.uniform(size=(33, 6)), jnp.float32)
WEIGHT = jnp.asarray(RNG.normal(size=(6, 3)), jnp.float32)


def dense(keys, inputs):
    return jax.nn.relu(inputs @ WEIGHT @ WEIGHT.T) @ WEIGHT


def deep(keys, inputs):
    for _ in range(20):
        inputs = jax.nn.relu(inputs @ jnp.eye(6)) + 0.3 * jnp.tanh(inputs @ WEIGHT @ WEIGHT.T)
    return inputs @ WEIGHT


bottleneck = evaluation.sampled_logits_fn(lambda x: DiagGaussian(x, 0.5 * jnp.ones_like(x)), lambda z: z @ WEIGHT)


def dropout(keys, inputs):
    kept = jax.vmap(lambda key: jax.random.bernoulli(key, 0.5, (6,)))(keys)
    return dense(keys, jnp.where(kept, inputs, 0.0))


def batch_norm(keys, inputs):
    return (inputs - inputs.mean(0, keepdims=True)) / (inputs.std(0, keepdims=True) + 1e-5) @ WEIGHT


def noise_by_position(keys, inputs):
    return dense(keys, inputs) + 0.01 * jax.random.normal(keys[0], (len(inputs), 3))


def fixed_noise_by_position(keys, inputs):
    return dense(keys, inputs) + 0.01 * jax.random.normal(KEY, (len(inputs), 3))


def one_alone(place):
    """One example alone depends on the others, wherever it stands."""

    def model(keys, inputs):
        it = (inputs == INPUTS[place][None]).all(-1, keepdims=True)
        return dense(keys, inputs) + jnp.where(it, inputs.mean(), 0.0)

    return model


@pytest.mark.parametrize("model", [batch_norm, noise_by_position, fixed_noise_by_position], ids=lambda m: m.__name__)
@pytest.mark.parametrize("size", [2, 3, 33])
def test_what_depends_on_the_batch_is_found(model, size):
    finding = evaluation.check_batch(KEY, model, INPUTS[:size])
    assert finding.check == "batch"
    assert finding.evidence["share_differ"] == 1.0
    assert f"{size} of {size} examples" in finding.message


@pytest.mark.parametrize("place", [0, 16, 32])
def test_one_example_that_depends_on_the_others_is_found(place):
    assert evaluation.check_batch(KEY, one_alone(place), INPUTS).evidence["share_differ"] == 1 / 33


@pytest.mark.parametrize("model", [dense, deep, bottleneck, dropout])
@pytest.mark.parametrize("size", [2, 33])
def test_examples_by_themselves_are_fine(model, size):
    assert evaluation.check_batch(KEY, model, INPUTS[:size]) is None


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_rounding_is_no_dependence(dtype, scale):
    """As from sums in another order for another place in the batch."""

    def model(keys, inputs):
        rounding = jnp.where(jnp.arange(len(inputs)) % 2, 1.0, 1.0 - float(jnp.finfo(dtype).eps))[:, None]
        return (scale * dense(keys, inputs) * rounding).astype(dtype)

    assert evaluation.check_batch(KEY, model, INPUTS) is None
    single = lambda keys, inputs: (
        dense(keys, inputs) * (1.0 + 1e-6 * jnp.arange(len(inputs), dtype=jnp.float32)[:, None])
    )
    assert evaluation.check_batch(KEY, single, INPUTS) is None
    assert (
        evaluation.check_batch(KEY, lambda keys, inputs: single(keys, inputs) * 1e-20, INPUTS, tolerance=0) is not None
    )


def test_a_batch_of_one_says_nothing():
    assert evaluation.check_batch(KEY, batch_norm, INPUTS[:1]) is None


def test_check_model_looks_for_it():
    labels = batch_norm(None, INPUTS).argmax(-1)
    assert [finding.check for finding in evaluation.check_model(KEY, batch_norm, INPUTS, labels)] == ["batch"]


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"tolerance must be a share in \[0, 1\), got 1"):
        evaluation.check_batch(KEY, dense, INPUTS, tolerance=1)
