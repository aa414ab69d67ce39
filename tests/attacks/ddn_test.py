"""DDN against the known distances of an affine model and a naive loop."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ib_jax.attacks.ddn import ddn
from tests.attacks.affine import (
    BATCH,
    BIAS,
    CLASSES,
    FAR,
    INPUTS,
    KEY,
    LABELS,
    SIZE,
    TWO,
    WEIGHT,
    affine,
    attack_affine,
    distance_to_win,
    distances,
    norm_of,
)

affine_attack = functools.partial(attack_affine, ddn)


@pytest.mark.parametrize("bounds", [FAR, (0.2, 0.8)], ids=str)
def test_affine_distances_are_known(bounds):
    result = affine_attack(bounds=bounds)
    found, expected = norm_of(result.inputs - INPUTS, "l2"), distances("l2", bounds)
    assert result.success.all()
    assert (found > expected * (1 - 1e-4)).all()
    assert (found < 1.03 * expected).all()
    if bounds != FAR:
        assert np.mean(expected > 1.01 * distances("l2")) > 0.2


def test_targeted_two_classes_is_the_closed_form():
    logits = INPUTS @ WEIGHT + TWO
    result = affine_attack(logits.argmax(-1), 1 - logits.argmax(-1), bias=TWO)
    assert result.success.all()
    np.testing.assert_allclose(norm_of(result.inputs - INPUTS, "l2"), distances("l2", FAR, TWO), rtol=2e-2)


def test_targeted_wins_over_every_class():
    targets = (LABELS + 1) % CLASSES
    result = affine_attack(LABELS, targets)
    np.testing.assert_array_equal((np.asarray(result.inputs) @ WEIGHT + BIAS).argmax(-1), targets)
    least = np.array([distance_to_win(i, target) for i, target in enumerate(targets)])
    found = norm_of(result.inputs - INPUTS, "l2")
    assert (found > least * (1 - 1e-4)).all()
    assert (found < 1.05 * least).all()


def naive_ddn(forward, jacobian, x0, label, num_steps, gamma, margin, low, high):
    """One example at a time, from the paper's description and the units of `ddn`."""
    delta, best, found = np.zeros_like(x0), x0, np.inf
    lead = forward(x0)[label] - np.delete(forward(x0), label).max()
    for step in range(num_steps):
        cosine = (1 + np.cos(np.pi * step / num_steps)) / 2
        x = x0 + delta
        logits = forward(x) * margin / lead
        softmax = np.exp(logits - logits.max())
        softmax /= softmax.sum()
        slope = (softmax - np.eye(len(logits))[label]) @ jacobian(x) * margin / lead
        slope = np.where(np.where(slope > 0, x < high - 1e-9, x > low + 1e-9), slope, 0)
        fooled = logits.argmax() != label
        if fooled and np.linalg.norm(delta) < found:
            best, found = x, np.linalg.norm(delta)
        if step == 0:
            radius = margin * (1 - softmax[label]) / np.linalg.norm(slope)
        rate = gamma[1] + (gamma[0] - gamma[1]) * cosine
        radius *= 1 - rate if fooled else 1 + (rate if found < np.inf else gamma[0])
        radius = min(radius, np.linalg.norm(np.maximum(high - x0, x0 - low)))
        delta = delta + (0.01 + 0.99 * cosine) * radius * slope / np.linalg.norm(slope)
        delta = np.clip(x0 + delta * radius / np.linalg.norm(delta), low, high) - x0
    return best


@pytest.mark.parametrize("bounds", [FAR, (0.2, 0.8)], ids=str)
def test_naive_numpy_ddn_takes_the_same_steps(bounds):
    inputs = np.where(INPUTS < 0.3, 0.2, np.where(INPUTS > 0.7, 0.8, INPUTS)).astype(np.float32)  # many at a bound
    rng = np.random.default_rng(1)
    weight1, weight2 = rng.normal(size=(SIZE, 10)), rng.normal(size=(10, CLASSES))
    model = lambda keys, x: jnp.tanh(x @ jnp.asarray(weight1, jnp.float32)) @ jnp.asarray(weight2, jnp.float32)
    labels = np.asarray(model(None, inputs)).argmax(-1)
    forward = lambda x: np.tanh(x @ weight1) @ weight2
    jacobian = lambda x: (weight1 * (1 - np.tanh(x @ weight1) ** 2) @ weight2).T
    attack = ddn(num_steps=6, gamma_init=0.2, gamma_final=0.1, initial_margin=3.0, bounds=bounds)
    got = jax.jit(lambda: attack(KEY, model, inputs, labels).inputs)()
    assert np.asarray(got != inputs).any(-1).sum() > BATCH / 2
    limits = np.float64(np.float32(bounds))
    for example, label, found in zip(inputs.astype(np.float64), labels, got, strict=True):
        expected = naive_ddn(forward, jacobian, example, label, 6, (0.2, 0.1), 3.0, *limits)
        np.testing.assert_allclose(found, expected, atol=2e-4)


@pytest.mark.parametrize("targets", [None, (LABELS + 1) % CLASSES], ids=["untargeted", "targeted"])
def test_the_units_of_inputs_and_logits_do_not_matter(targets):
    plain = affine_attack(targets=targets, bounds=(0.0, 1.0))
    units = {"bounds": (0.0, 1024.0), "inputs": 1024 * INPUTS, "weight": WEIGHT / 8, "bias": 128 * BIAS}  # exact
    scaled = affine_attack(targets=targets, **units)
    assert plain.success.mean() > 0.5
    np.testing.assert_allclose(scaled.inputs / 1024, plain.inputs, atol=1e-4)


def test_a_flat_model_is_no_success_and_no_nan():
    flat = {"weight": 0 * WEIGHT, "bias": np.float32([1, 0, 0, 0, 0])}
    result = affine_attack(0 * LABELS, **flat)
    np.testing.assert_array_equal(result.inputs, INPUTS)
    assert not result.success.any()
    assert not result.blocked.any()


def test_an_example_that_fools_takes_one_gradient_and_the_others_all():
    attack = ddn(num_steps=9, bounds=FAR)
    problem = attack.problem(KEY, affine, INPUTS, np.where(np.arange(BATCH) == 0, (LABELS + 1) % CLASSES, LABELS))
    state = jax.jit(lambda: attack.advance(affine, problem, attack.start(affine, problem), 99))()
    np.testing.assert_array_equal(state.step, np.where(np.arange(BATCH) == 0, 1, 9))


def test_bad_settings_are_refused():
    for settings, message in (
        ({"num_steps": 0}, "num_steps must be at least 1, got 0"),
        ({"gamma_init": 1.0}, r"gamma_init must be in \(0, 1\), got 1\.0"),
        ({"gamma_final": 0.0}, r"gamma_final must be in \(0, 1\), got 0\.0"),
        ({"initial_margin": 0.0}, r"initial_margin must be positive, got 0\.0"),
    ):
        with pytest.raises(ValueError, match=message):
            ddn(**settings)
