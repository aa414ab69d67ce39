"""Carlini-Wagner against closed forms, and the mistakes other libraries made."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ib_jax import attacks, losses

RNG = np.random.default_rng(2)
WEIGHT = RNG.normal(size=(6, 4))
INPUTS = RNG.uniform(0.3, 0.7, size=(8, 6)).astype(np.float32)
KEY = jax.random.key(0)


def affine(keys, inputs):
    return inputs @ jnp.asarray(WEIGHT, jnp.float32)


LABELS = np.asarray(affine(None, INPUTS).argmax(-1))


@functools.cache
def attack(**settings):
    settings = {"num_steps": 300, "num_binary_steps": 6, "initial_const": 0.1, "bounds": (-4.0, 5.0)} | settings
    return jax.jit(lambda *batch: attacks.carlini_wagner(**settings)(KEY, affine, *batch))


def distances(result):
    return np.linalg.norm(np.asarray(result.inputs, np.float64) - INPUTS, axis=-1)


def test_an_affine_softmax_model_is_reached_at_its_exact_distance():
    logits = INPUTS.astype(np.float64) @ WEIGHT
    exact = np.full(len(INPUTS), np.inf)
    for row, label in enumerate(LABELS):
        for other in set(range(4)) - {label}:
            gap, slope = logits[row, label] - logits[row, other], WEIGHT[:, label] - WEIGHT[:, other]
            exact[row] = min(exact[row], gap / np.linalg.norm(slope))
    result = attack()(jnp.asarray(INPUTS), jnp.asarray(LABELS))
    assert result.success.all()
    np.testing.assert_allclose(distances(result), exact, rtol=0.01)
    assert (distances(result) >= exact - 1e-5).all()


def test_a_target_is_reached_and_costs_at_least_as_much():
    free = distances(attack()(jnp.asarray(INPUTS), jnp.asarray(LABELS)))
    for target in (0, 3):  # class 0 as well as any other
        result = attack()(jnp.asarray(INPUTS), jnp.asarray(LABELS), jnp.full(8, target))
        np.testing.assert_array_equal(affine(None, result.inputs).argmax(-1), target)
        away = target != LABELS
        assert (distances(result)[away] >= free[away] * 0.99).all()
        np.testing.assert_array_equal(distances(result)[~away], 0.0)  # it answers so already


def test_confidence_is_a_lead_in_logits():
    result = attack(confidence=2.0)(jnp.asarray(INPUTS), jnp.asarray(LABELS))
    lead = -losses.margin(affine(None, result.inputs), jnp.asarray(LABELS))
    np.testing.assert_allclose(lead, 2.0, rtol=0.02)
    assert (lead >= 2.0 - 1e-4).all()


def test_negative_logits_are_no_obstacle():
    """Masking the true class with 0 in place of minus infinity loses where all logits are negative."""
    shifted = lambda keys, inputs: affine(keys, inputs) - 100.0
    settings = {"num_steps": 300, "num_binary_steps": 6, "initial_const": 0.1, "bounds": (-4.0, 5.0)}
    batch = jnp.asarray(INPUTS), jnp.asarray(LABELS)
    result = jax.jit(lambda: attacks.carlini_wagner(**settings)(KEY, shifted, *batch))()
    assert result.success.all()
    np.testing.assert_allclose(distances(result), distances(attack()(*batch)), rtol=0.01)


def test_inputs_at_the_bounds_are_finite_and_can_move():
    line = lambda keys, inputs: jnp.concatenate([inputs, 1.0 - inputs], -1)
    inputs, labels = jnp.array([[1.0], [0.0]]), jnp.array([0, 1])
    result = jax.jit(lambda: attacks.carlini_wagner(num_steps=200)(KEY, line, inputs, labels))()
    assert result.success.all()
    np.testing.assert_allclose(result.inputs, 0.5, atol=0.01)


def test_what_was_pushed_beyond_a_bound_returns():
    line = lambda keys, inputs: jnp.concatenate([inputs, 1.0 - inputs], -1)
    attack = attacks.carlini_wagner(num_steps=200)
    problem = attack.problem(KEY, line, jnp.array([[1.0], [0.0]]), jnp.array([0, 1]))
    state = jax.jit(lambda: attack.start(line, problem))()._replace(point=jnp.array([[1.0], [-1.0]]))
    moved = jax.jit(lambda state: attack.step(attack.settings, line, problem, state))(state).point
    assert (jnp.abs(moved) < 1.0).all()


def test_where_nothing_is_found_the_input_comes_back():
    stubborn = lambda keys, inputs: jnp.stack([jnp.ones(len(inputs)), 0.0 * inputs.sum(-1)], -1)
    result = attacks.carlini_wagner(num_steps=5, num_binary_steps=2)(
        KEY, stubborn, jnp.asarray(INPUTS), jnp.zeros(8, jnp.int32)
    )
    assert not result.success.any()
    np.testing.assert_array_equal(result.inputs, INPUTS)


def test_the_constant_is_searched_for_each_example():
    """Per-example binary search by hand: the margin falls only if c times the slope beats the distance's pull."""
    bundle = attacks.carlini_wagner(num_steps=4, num_binary_steps=5, initial_const=1.0, abort_early=False)
    hard = lambda keys, inputs: jnp.stack([jnp.full(len(inputs), 1.0), inputs[:, 0]], -1)
    problem = bundle.problem(KEY, hard, jnp.array([[0.2]]), jnp.array([0]))
    state, consts = bundle.start(hard, problem), []
    for _ in range(20):
        state = bundle.step(bundle.settings, hard, problem, state)
        consts.append(float(state.const[0]))
    np.testing.assert_allclose(consts[3::4], [10.0, 100.0, 1e3, 1e4, 1e5], rtol=1e-5)  # never found
    assert (np.diff(consts[:3]) == 0).all()


def test_c_is_in_logits_per_squared_unit_where_that_is_said():
    """The best d has d^2 + c s (0.2 - 2 d) least, so d = c s, and 0.1 is what it takes: at c = 0.1 not with s = 1/2."""
    inputs, labels, found = jnp.array([[0.6]]), jnp.array([0]), []
    made = attacks.carlini_wagner(const_per="nat", num_steps=100, num_binary_steps=1, initial_const=0.1)
    for scale in (0.5, 4.0):  # of the logits
        logits_fn = lambda keys, x: scale * jnp.concatenate([x, 1.0 - x], -1)  # noqa: B023
        found.append(bool(made(KEY, logits_fn, inputs, labels).success[0]))
    assert found == [False, True]


def test_bad_settings_are_refused():
    for name, value, message in [
        ("num_steps", 0, "at least 1, got 0"),
        ("num_binary_steps", 0, "at least 1, got 0"),
        ("learning_rate", 0.0, "positive, got 0"),
        ("initial_const", -1.0, "positive, got -1"),
        ("confidence", -1.0, "at least 0, got -1"),
    ]:
        with pytest.raises(ValueError, match=f"{name} must be {message}"):
            attacks.carlini_wagner(**{name: value})
