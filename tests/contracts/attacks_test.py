"""What every exported attack guarantees. One that is not listed here fails the first test."""

import functools

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ib_jax import DiagGaussian, attacks, losses

ATTACKS = {
    f"{name}_{norm}": functools.partial(make, norm=norm, **settings)
    for norm in ("linf", "l2")
    for name, make, settings in [
        ("fgsm", attacks.fgsm, {"num_eot_samples": 3}),
        ("pgd", attacks.pgd, {"num_steps": 7, "num_eot_samples": 3}),
        ("pgd_from_the_input", attacks.pgd, {"num_steps": 3, "random_start": False}),
    ]
}
KEY = jax.random.key(0)


def test_every_exported_attack_is_listed():
    assert {name.split("_")[0] for name in ATTACKS} == set(attacks.__all__)


TINY = np.random.default_rng(3).normal(size=(6, 3)).astype(np.float32)


def logits_fn(keys, inputs):
    """A stochastic classifier of [B, 2, 3] inputs: the code is noisy, and the noise is the example's own."""
    mean = inputs.reshape(-1, 6) @ jnp.asarray(TINY, inputs.dtype)
    return 3 * losses.sample(keys, DiagGaussian(mean, jnp.full_like(mean, 0.5)))[0]


def norm_of(perturbation, norm):
    flat = np.asarray(perturbation, np.float64).reshape(len(perturbation), -1)
    return np.abs(flat).max(-1, initial=0.0) if norm.endswith("linf") else np.linalg.norm(flat, axis=-1)


@pytest.fixture(scope="module")
def batch():
    inputs = jax.random.uniform(jax.random.key(5), (8, 2, 3))
    return inputs.at[0].set(0.0).at[1].set(1.0), jnp.arange(8) % 3


@functools.cache
def compiled(name, **settings):
    """One program for each attack and setting, whatever the radius and the batch."""
    make = functools.partial(ATTACKS[name], **settings)
    return jax.jit(lambda epsilon, *batch, key=KEY: make(epsilon)(key, logits_fn, *batch))


@pytest.mark.parametrize("name", ATTACKS)
class TestAttack:
    @hypothesis.given(st.floats(0, 3, width=32), st.booleans())
    @hypothesis.settings(deadline=None, max_examples=12, suppress_health_check=list(hypothesis.HealthCheck))
    def test_result_lies_in_the_ball_and_in_the_bounds(self, name, batch, epsilon, targeted):
        inputs, labels = batch
        targets = (labels + 1) % 3 if targeted else None
        result = compiled(name)(epsilon, inputs, labels, targets)
        assert norm_of(result.inputs - inputs, name).max() <= epsilon + 1e-6 + 1e-6 * epsilon
        assert result.inputs.min() >= 0.0
        assert result.inputs.max() <= 1.0
        assert result.success.shape == (8,)
        assert result.success.dtype == bool

    def test_epsilon_zero_is_the_identity(self, name, batch):
        np.testing.assert_array_equal(compiled(name)(0.0, *batch, None).inputs, batch[0])

    def test_same_key_same_result_under_jit_and_without(self, name, batch):
        plain, jitted = ATTACKS[name](0.2)(KEY, logits_fn, *batch), compiled(name)(0.2, *batch, None)
        np.testing.assert_allclose(plain.inputs, jitted.inputs, atol=1e-6)
        np.testing.assert_array_equal(compiled(name)(0.2, *batch, None).inputs, jitted.inputs)

    def test_an_examples_result_does_not_depend_on_its_neighbours(self, name, batch):
        inputs, labels = batch
        keys = losses.per_example_keys(KEY, 8)
        whole = compiled(name)(0.2, inputs, labels, None)
        rows = jnp.array([6, 2, 2])
        part = compiled(name)(0.2, inputs[rows], labels[rows], None, key=keys[rows])
        np.testing.assert_allclose(part.inputs, whole.inputs[rows], atol=1e-6)
        np.testing.assert_array_equal(part.success, whole.success[rows])

    def test_a_radius_for_each_example(self, name, batch):
        inputs, labels = batch
        radii = jnp.where(jnp.arange(8) % 2, 0.3, 0.0)
        moved = norm_of(compiled(name)(radii, inputs, labels, None).inputs - inputs, name)
        np.testing.assert_array_equal(moved[::2], 0.0)
        assert (moved[1::2] > 0).all()
        assert (moved <= 0.3 + 1e-5).all()

    def test_radii_can_be_vmapped(self, name, batch):
        stacked = jax.vmap(lambda epsilon: compiled(name)(epsilon, *batch, None).inputs)(jnp.array([0.0, 0.3]))
        np.testing.assert_array_equal(stacked[0], batch[0])
        np.testing.assert_allclose(stacked[1], compiled(name)(0.3, *batch, None).inputs, atol=1e-6)

    def test_bounds_of_each_channel(self, name, batch):
        lower, upper = (0.0, -1.0, -9.0), (1.0, 1.0, 2.0)
        result = compiled(name, bounds=(lower, upper))(5.0, *batch, None).inputs
        assert (result >= jnp.array(lower)).all()
        assert (result <= jnp.array(upper)).all()

    def test_bfloat16_inputs_stay_bfloat16(self, name, batch):
        inputs = batch[0].astype(jnp.bfloat16)
        bounds = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
        result = compiled(name, bounds=bounds)(0.2, inputs, batch[1], None).inputs
        assert result.dtype == jnp.bfloat16
        assert norm_of(result - inputs, name).max() <= 0.2 + 0.01

    def test_an_empty_batch(self, name):
        result = compiled(name)(0.1, jnp.zeros((0, 2, 3)), jnp.zeros(0, jnp.int32), None)
        assert result.inputs.shape == (0, 2, 3)

    def test_bad_input_is_refused_by_name(self, name, batch):
        make, (inputs, labels) = ATTACKS[name], batch
        with pytest.raises(ValueError, match=r"epsilon must be at least 0, got -0\.1"):
            make(-0.1)(KEY, logits_fn, inputs, labels)
        for bad in (inputs.at[0, 0].set(jnp.nan), inputs + 0.5):
            with pytest.raises(ValueError, match="inputs must lie in bounds"):
                make(0.1)(KEY, logits_fn, bad, labels)
        with pytest.raises(ValueError, match="labels must be int"):
            make(0.1)(KEY, logits_fn, inputs, labels[:3])
        with pytest.raises(ValueError, match="inputs must be floating"):
            make(0.1)(KEY, logits_fn, inputs.astype(jnp.uint8), labels)
        with pytest.raises(ValueError, match="lower < upper"):
            make(0.1, bounds=(1.0, 0.0))(KEY, logits_fn, inputs, labels)
        with pytest.raises(ValueError, match="epsilon must be a scalar or one radius for each"):
            make(jnp.ones(3))(KEY, logits_fn, inputs, labels)
