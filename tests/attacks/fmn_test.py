"""FMN against the known distances of an affine model and a naive loop."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ib_jax.attacks.fmn import fmn
from ib_jax.attacks.targets import every_target
from tests.attacks.affine import (
    BATCH,
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
    distances,
    norm_of,
)

ALL_NORMS = ("l1", "l2", "linf")
affine_attack = functools.partial(attack_affine, fmn)


@pytest.mark.parametrize("norm", ALL_NORMS)
@pytest.mark.parametrize("bounds", [FAR, (0.2, 0.8)], ids=str)
def test_affine_distances_are_known(norm, bounds):
    """But where, by the bounds, another class is nearer than the one that the margin sees."""
    result = affine_attack(norm=norm, bounds=bounds)
    found, expected = norm_of(result.inputs - INPUTS, norm), distances(norm, bounds)
    assert result.success.all()
    assert (found > expected * (1 - 1e-4)).all()
    assert (found < 1.03 * expected).sum() >= (BATCH if bounds == FAR else BATCH - 1)
    assert np.median(found / expected) < 1.01
    if bounds != FAR:
        assert np.mean(expected > 1.01 * distances(norm)) > 0.2


def test_aimed_at_every_class_it_finds_the_nearest():
    """The one that the margin alone does not see, in the test above."""
    bounds = (0.2, 0.8)
    attack = every_target(fmn(norm="l1", bounds=bounds), CLASSES - 1, norm="l1")
    result = jax.jit(lambda: attack(KEY, affine, INPUTS, LABELS))()
    assert result.success.all()
    np.testing.assert_allclose(norm_of(result.inputs - INPUTS, "l1"), distances("l1", bounds), rtol=3e-2)


@pytest.mark.parametrize("norm", ALL_NORMS)
def test_targeted_two_classes_is_the_closed_form(norm):
    logits = INPUTS @ WEIGHT + TWO
    result = affine_attack(logits.argmax(-1), 1 - logits.argmax(-1), bias=TWO, norm=norm)
    assert result.success.all()
    np.testing.assert_allclose(norm_of(result.inputs - INPUTS, norm), distances(norm, FAR, TWO), rtol=2e-2)


def test_where_the_bounds_cut_each_step_short_it_arrives_all_the_same():
    """From a corner nearly every step is cut; a radius from the linearisation alone is never reached."""
    inputs = np.where(INPUTS > 0.5, 0.8, 0.2).astype(np.float32)
    labels = (inputs @ WEIGHT + TWO).argmax(-1)
    for norm in ALL_NORMS:
        result = affine_attack(labels, inputs=inputs, bias=TWO, bounds=(0.2, 0.8), norm=norm)
        most = np.where(WEIGHT[:, 1 - labels] > WEIGHT[:, labels], 0.8, 0.2).T
        reachable = ((most @ WEIGHT[:, :2] + TWO[:2]).argmax(-1)) != labels
        np.testing.assert_array_equal(result.success, reachable)


def naive_fmn(forward, jacobian, x0, label, norm, num_steps, gamma, low, high):
    """One example at a time, from the paper's description and the units of `fmn`."""
    order, dual = {"linf": (np.inf, 1), "l2": (2, 2)}[norm]
    delta, best, radius, closest = np.zeros_like(x0), x0, 0.0, np.inf
    for step in range(num_steps):
        cosine = (1 + np.cos(np.pi * step / num_steps)) / 2
        rate = gamma[1] + (gamma[0] - gamma[1]) * cosine
        x = x0 + delta
        logits, slopes = forward(x), jacobian(x)
        rival = np.where(np.arange(len(logits)) == label, -np.inf, logits).argmax()
        margin, slope = logits[label] - logits[rival], slopes[rival] - slopes[label]
        slope = np.where(np.where(slope > 0, x < high - 1e-9, x > low + 1e-9), slope, 0)
        size = np.linalg.norm(delta, order)
        if margin < 0:
            if size < closest:
                closest, best = size, x
            radius = min((1 - rate) * radius, closest)
        elif closest < np.inf:
            radius *= 1 + rate
        else:
            radius = max(size + (1 + rate) * margin / np.linalg.norm(slope, dual), (1 + rate) * radius)
        radius = min(radius, np.linalg.norm(np.maximum(high - x0, x0 - low), order))
        unit = slope / np.linalg.norm(slope) * (2 * np.sqrt(np.count_nonzero(slope)) if norm == "linf" else 1)
        delta = delta + (0.01 + 0.99 * cosine) * radius * unit
        if norm == "linf":
            delta = np.clip(delta, -radius, radius)
        else:
            delta *= min(1, radius / np.linalg.norm(delta))
        delta = np.clip(x0 + delta, low, high) - x0
    return best


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("bounds", [FAR, (0.2, 0.8)], ids=str)
def test_naive_numpy_fmn_takes_the_same_steps(norm, bounds):
    inputs = np.where(INPUTS < 0.3, 0.2, np.where(INPUTS > 0.7, 0.8, INPUTS)).astype(np.float32)  # many at a bound
    rng = np.random.default_rng(3)
    weight1, weight2 = rng.normal(size=(SIZE, 10)), rng.normal(size=(10, CLASSES))
    model = lambda keys, x: jnp.tanh(x @ jnp.asarray(weight1, jnp.float32)) @ jnp.asarray(weight2, jnp.float32)
    labels = np.asarray(model(None, inputs)).argmax(-1)
    forward = lambda x: np.tanh(x @ weight1) @ weight2
    jacobian = lambda x: (weight1 * (1 - np.tanh(x @ weight1) ** 2) @ weight2).T
    attack = fmn(norm=norm, num_steps=8, gamma_init=0.2, gamma_final=0.1, bounds=bounds)
    got = jax.jit(lambda: attack(KEY, model, inputs, labels).inputs)()
    assert np.asarray(got != inputs).any(-1).sum() > BATCH / 2
    limits = np.float64(np.float32(bounds))
    for example, label, found in zip(inputs.astype(np.float64), labels, got, strict=True):
        expected = naive_fmn(forward, jacobian, example, label, norm, 8, (0.2, 0.1), *limits)
        np.testing.assert_allclose(found, expected, atol=2e-4)


@pytest.mark.parametrize("norm", ALL_NORMS)
def test_the_units_of_the_inputs_do_not_matter(norm):
    plain = affine_attack(bounds=(0.2, 0.8), norm=norm)
    scaled = affine_attack(bounds=(204.8, 819.2), inputs=1024 * INPUTS, weight=WEIGHT / 1024, norm=norm)
    np.testing.assert_allclose(scaled.inputs / 1024, plain.inputs, atol=1e-4)


@pytest.mark.parametrize("norm", ALL_NORMS)
def test_a_flat_model_is_no_success_and_no_nan(norm):
    flat = {"weight": 0 * WEIGHT, "bias": np.float32([1, 0, 0, 0, 0])}
    result = affine_attack(0 * LABELS, norm=norm, **flat)
    np.testing.assert_array_equal(result.inputs, INPUTS)
    assert not result.success.any()
    assert not result.blocked.any()


def test_the_radius_is_at_most_the_distance_that_was_found():
    """Which the bounds make smaller than the radius."""
    attack = fmn(bounds=FAR)
    problem = attack.problem(KEY, affine, INPUTS, LABELS)
    state = jax.jit(lambda: attack.advance(affine, problem, attack.start(affine, problem), 1))()
    state = state._replace(perturbation=1.2 * state.perturbation, radius=10 * state.radius)
    moved = jax.jit(lambda: attack.guarded_step(affine, problem, state))()
    np.testing.assert_allclose(moved.radius, norm_of(state.perturbation, "l2"), rtol=1e-5)
    np.testing.assert_allclose(moved.closest.distance, moved.radius, rtol=1e-6)


def test_an_example_within_its_radius_is_done():
    attack = fmn(num_steps=9, bounds=FAR)
    radii = np.where(np.arange(BATCH) < 6, 9.0, 0.0).astype(np.float32)
    problem = attack.problem(KEY, affine, INPUTS, LABELS, epsilon=radii)
    state = jax.jit(lambda: attack.advance(affine, problem, attack.start(affine, problem), 99))()
    assert (state.step[:6] <= 4).all()
    np.testing.assert_array_equal(state.step[6:], 9)
    np.testing.assert_array_equal(attack.result(affine, problem, state).success, radii > 0)


def test_bad_settings_are_refused():
    for settings, message in (
        ({"norm": "l0"}, "norm must be one of l2, linf, l1, got 'l0'"),
        ({"num_steps": 0}, "num_steps must be at least 1, got 0"),
        ({"gamma_init": 1.0}, r"gamma_init must be in \(0, 1\), got 1\.0"),
        ({"gamma_final": 0.0}, r"gamma_final must be in \(0, 1\), got 0\.0"),
    ):
        with pytest.raises(ValueError, match=message):
            fmn(**settings)
