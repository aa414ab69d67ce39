"""What every exported attack guarantees. One that is not listed here fails the first test."""

import functools
import inspect

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ib_jax import attacks, losses
from ib_jax.attacks.ensemble import Ensemble
from ib_jax.types import Attack
from tests.contracts.attack_cases import ALL, FIXED, MINIMAL, WEIGHT, logits_fn, norm_of

KEY = jax.random.key(0)
LOWER, UPPER = np.array([0.0, -1.0, -9.0]), np.array([1.0, 1.0, 2.0])  # of each channel
BOUNDS = (tuple(LOWER), tuple(UPPER))


def test_every_exported_attack_is_listed():
    factories = {name for name in attacks.__all__ if _returns_an_attack(getattr(attacks, name))}
    assert {name.split()[0] for name in ALL} == factories


def _returns_an_attack(export):
    return inspect.isfunction(export) and inspect.signature(export).return_annotation in (Attack, Ensemble)


@pytest.fixture(scope="module")
def batch():
    """Inputs anywhere in the bounds, two of them at the bounds; most labels are the model's own answers."""
    low, high = (jnp.asarray(limit, jnp.float32)[None, None] for limit in (LOWER, UPPER))
    inputs = low + (high - low) * jax.random.uniform(jax.random.key(5), (8, 2, 3), jnp.float32)
    inputs = inputs.at[0].set(LOWER.astype(np.float32)).at[1].set(UPPER.astype(np.float32))
    answers = (inputs.reshape(8, 6) @ WEIGHT).argmax(-1)
    return inputs, answers.at[7].set((answers[7] + 1) % 4)


def make(name, epsilon, bounds=BOUNDS):
    return ALL[name].make(epsilon, bounds=bounds) if name in FIXED else ALL[name].make(bounds=bounds)


def attack(name, epsilon, inputs, labels, targets=None, keys=KEY):
    """Runs the one program of each attack, whatever the radius; minimal attacks ignore it."""
    radii = jnp.broadcast_to(jnp.asarray(epsilon, jnp.float32), (8,))
    return _compiled(name)(radii, losses.per_example_keys(keys, 8), inputs, labels, targets)


@functools.cache
def _compiled(name):
    return jax.jit(lambda radii, keys, *batch: make(name, radii)(keys, logits_fn, *batch))


@pytest.mark.parametrize("name", ALL)
class TestAttack:
    def test_result_lies_in_the_bounds_and_success_is_a_verdict(self, name, batch):
        for targets in (None, (batch[1] + 1) % 4) if ALL[name].targeted else (None,):
            result = attack(name, 0.3, *batch, targets)
            assert result.inputs.shape == batch[0].shape
            assert (np.asarray(result.inputs) >= LOWER).all()  # and so is no NaN
            assert (np.asarray(result.inputs) <= UPPER).all()
            assert result.success.shape == (8,)
            assert result.success.dtype == bool

    def test_same_key_same_result(self, name, batch):
        jax.tree.map(np.testing.assert_array_equal, attack(name, 0.2, *batch), attack(name, 0.2, *batch))

    def test_an_examples_result_does_not_depend_on_its_neighbours(self, name, batch):
        whole = attack(name, 0.2, *batch)
        rows = jnp.array([6, 2, 2, 7, 6, 0, 0, 6])
        part = attack(name, 0.2, batch[0][rows], batch[1][rows], keys=losses.per_example_keys(KEY, 8)[rows])
        np.testing.assert_allclose(part.inputs, whole.inputs[rows], atol=1e-5)
        np.testing.assert_array_equal(part.success, whole.success[rows])

    def test_other_precisions_and_an_empty_batch_keep_their_type(self, name):
        for shape, dtype in (((8, 2, 3), jnp.bfloat16), ((0, 2, 3), jnp.float32)):
            inputs, labels = jnp.zeros(shape, dtype), jnp.zeros(shape[0], jnp.int32)
            result = jax.eval_shape(lambda *batch: make(name, 0.1)(KEY, logits_fn, *batch), inputs, labels)
            assert (result.inputs.shape, result.inputs.dtype) == (shape, dtype)

    def test_inputs_at_bounds_that_their_precision_rounds_are_taken(self, name):
        bounds, labels = (1e-6, 0.6), jnp.zeros(8, jnp.int32)
        inputs = jnp.zeros((8, 2, 3), jnp.float32).at[:4].set(bounds[0]).at[4:].set(bounds[1])
        assert float(inputs.min()) < bounds[0] < bounds[1] < float(inputs.max())
        result = jax.eval_shape(lambda: make(name, 0.1, bounds=bounds)(KEY, logits_fn, inputs, labels))
        assert result.inputs.shape == inputs.shape

    @pytest.mark.not_under("debug_nans", reason="an input is NaN")
    def test_nan_is_refused(self, name, batch):
        with pytest.raises(ValueError, match="inputs must lie in bounds"):
            make(name, 0.1)(KEY, logits_fn, batch[0].at[0, 0].set(jnp.nan), batch[1])

    def test_bad_input_is_refused_by_name(self, name, batch):
        inputs, labels = batch
        adversary = make(name, 0.1)
        with pytest.raises(ValueError, match="inputs must lie in bounds"):
            adversary(KEY, logits_fn, inputs + 0.5, labels)
        with pytest.raises(ValueError, match="labels must be int"):
            adversary(KEY, logits_fn, inputs, labels[:3])
        with pytest.raises(ValueError, match=r"labels must lie in \[0, 4\), got -1 to 4"):
            adversary(KEY, logits_fn, inputs, labels.at[:2].set(jnp.array([-1, 4])))
        with pytest.raises(ValueError, match="inputs must be floating"):
            adversary(KEY, logits_fn, inputs.astype(jnp.uint8), labels)
        with pytest.raises(ValueError, match="lower < upper"):
            make(name, 0.1, bounds=(1.0, 0.0))(KEY, logits_fn, inputs, labels)
        with pytest.raises(ValueError, match=r"at least \d classes"):
            adversary(KEY, lambda keys, inputs: logits_fn(keys, inputs)[:, :1], inputs, labels)
        expected = r"targets must lie in \[0, 4\), got 4 to 4" if ALL[name].targeted else "targets must be None"
        with pytest.raises(ValueError, match=expected):
            adversary(KEY, logits_fn, inputs, labels, jnp.full(8, 4))


@pytest.mark.parametrize("name", FIXED)
class TestFixedRadius:
    @hypothesis.given(st.floats(0, 3, width=32), st.booleans())
    @hypothesis.settings(deadline=None, max_examples=12, suppress_health_check=list(hypothesis.HealthCheck))
    def test_result_lies_in_the_ball(self, name, batch, epsilon, targeted):
        targets = (batch[1] + 1) % 4 if targeted and FIXED[name].targeted else None
        result = attack(name, epsilon, *batch, targets)
        moved = np.asarray(result.inputs, np.float64) - np.asarray(batch[0], np.float64)
        assert norm_of(moved, FIXED[name].norm).max() <= epsilon

    def test_epsilon_zero_is_the_identity(self, name, batch):
        np.testing.assert_array_equal(attack(name, 0.0, *batch).inputs, batch[0])

    def test_a_radius_for_each_example(self, name, batch):
        radii = np.where(np.arange(8) % 2, 3.0, 0.0)
        moved = norm_of(attack(name, radii, *batch).inputs - batch[0], FIXED[name].norm)
        np.testing.assert_array_equal(moved[::2], 0.0)
        assert moved[1::2].any()

    def test_bad_radii_are_refused(self, name, batch):
        with pytest.raises(ValueError, match=r"epsilon must be at least 0, got -0\.1"):
            make(name, -0.1)(KEY, logits_fn, *batch)
        with pytest.raises(ValueError, match="epsilon must be at least 0, got nan"):
            make(name, float("nan"))(KEY, logits_fn, *batch)
        with pytest.raises(ValueError, match="epsilon must be a scalar or one radius for each"):
            make(name, jnp.ones(3))(KEY, logits_fn, *batch)


@pytest.mark.parametrize("name", ["pgd", "apgd", "square"])
def test_radii_can_be_vmapped(name, batch):
    one = lambda epsilon: make(name, epsilon)(KEY, logits_fn, *batch).inputs
    stacked = jax.jit(jax.vmap(one))(jnp.array([0.0, 0.3]))
    np.testing.assert_array_equal(stacked[0], batch[0])
    np.testing.assert_allclose(stacked[1], attack(name, 0.3, *batch).inputs, atol=1e-5)


@pytest.mark.parametrize("name", MINIMAL)
def test_a_minimal_attack_leaves_what_already_fools_the_model(name, batch):
    model = lambda keys, inputs: 9 * inputs.reshape(-1, 6) @ WEIGHT
    wrong = (model(None, batch[0]).argmax(-1) + 1) % 4
    result = jax.jit(lambda: make(name, None)(KEY, model, batch[0], wrong))()
    np.testing.assert_array_equal(result.inputs, batch[0])
    assert result.success.all()
