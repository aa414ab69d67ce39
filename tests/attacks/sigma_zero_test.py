"""Sigma-zero against the least number of values that an affine model needs changed, and a naive loop."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ib_jax import attacks, losses
from ib_jax.attacks.sigma_zero import sigma_zero
from tests.attacks.affine import (
    BATCH,
    BIAS,
    CLASSES,
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

affine_attack = functools.partial(attack_affine, sigma_zero, num_steps=200)


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (0.2, 0.8)], ids=str)
def test_the_least_number_of_values_is_known(bounds):
    result = affine_attack(bounds=bounds)
    found, least = norm_of(result.inputs - INPUTS, "l0"), distances("l0", bounds)
    assert result.success.all()
    assert (found >= least).all()
    assert (found == least).sum() >= BATCH - 2
    assert (found <= least + 1).all()
    assert len(set(least)) > 1


def test_targeted_two_classes():
    logits = INPUTS @ WEIGHT + TWO
    result = affine_attack(logits.argmax(-1), 1 - logits.argmax(-1), bias=TWO, bounds=(0.0, 1.0))
    least = distances("l0", (0.0, 1.0), TWO)
    np.testing.assert_array_equal(result.success, np.isfinite(least))
    assert (norm_of(result.inputs - INPUTS, "l0") == least).sum() >= BATCH - 2


def naive_sigma_zero(forward, jacobian, x0, label, num_steps, sigma, threshold, rate, low, high):
    """One example at a time, from the paper's description and the units of `sigma_zero`."""
    delta, best, least = np.zeros_like(x0), x0, np.inf
    mean, square, last, width = 0.0, 0.0, 1.0, high - low
    for step in range(num_steps):
        x = x0 + delta * width
        logits, slopes = forward(x), jacobian(x)
        rival = np.where(np.arange(len(logits)) == label, -np.inf, logits).argmax()
        margin, count = logits[label] - logits[rival], np.count_nonzero(delta)
        if step == 0:
            unit = margin
        if margin < 0 and count < least:
            best, least = x, count
        slope = 2 * sigma * delta / (delta**2 + sigma) ** 2 / len(x0)
        if margin > 0:
            slope = slope + (slopes[label] - slopes[rival]) * width / unit
        slope = slope / max(np.abs(slope).max(), 1e-300)
        mean, square = 0.9 * mean + 0.1 * slope, 0.999 * square + 0.001 * slope**2
        move = mean / (1 - 0.9 ** (step + 1)) / (np.sqrt(square / (1 - 0.999 ** (step + 1))) + 1e-8)
        delta = np.clip(delta - last * move, (low - x0) / width, (high - x0) / width)
        last = 0.1 + 0.9 * (1 + np.cos(np.pi * step / num_steps)) / 2
        threshold = np.clip(threshold + rate * last * (1 if margin < 0 else -1), 0, 1)
        delta = np.where(np.abs(delta) < threshold, 0, delta)
    return best


def test_naive_numpy_sigma_zero_takes_the_same_steps():
    rng = np.random.default_rng(2)
    weight1, weight2 = rng.normal(size=(SIZE, 10)), rng.normal(size=(10, CLASSES))
    model = lambda keys, x: jnp.tanh(x @ jnp.asarray(weight1, jnp.float32)) @ jnp.asarray(weight2, jnp.float32)
    labels = np.asarray(model(None, INPUTS)).argmax(-1)
    forward = lambda x: np.tanh(x @ weight1) @ weight2
    jacobian = lambda x: (weight1 * (1 - np.tanh(x @ weight1) ** 2) @ weight2).T
    settings = {"sigma": 0.01, "threshold": 0.2, "threshold_rate": 0.05}
    attack = sigma_zero(num_steps=8, bounds=(-1.0, 2.0), **settings)
    got = jax.jit(lambda: attack(KEY, model, INPUTS, labels).inputs)()
    moved = norm_of(got - INPUTS, "l0")
    assert (moved > 0).sum() > BATCH / 2
    assert moved.min() < SIZE
    for example, label, found in zip(INPUTS.astype(np.float64), labels, got, strict=True):
        expected = naive_sigma_zero(forward, jacobian, example, label, 8, *settings.values(), -1.0, 2.0)
        np.testing.assert_allclose(found, expected, atol=1e-3)  # Adam enlarges what rounding does


def test_the_units_of_inputs_and_logits_do_not_matter():
    plain = affine_attack(bounds=(0.2, 0.8))
    units = {"bounds": (204.8, 819.2), "inputs": 1024 * INPUTS, "weight": WEIGHT * 2.0**-27, "bias": BIAS * 2.0**-17}
    scaled = affine_attack(**units)
    np.testing.assert_allclose(scaled.inputs / 1024, plain.inputs, atol=1e-4)


def test_a_radius_is_a_number_of_values():
    """Up to and with that many."""
    least = norm_of(affine_attack(bounds=(0.2, 0.8)).inputs - INPUTS, "l0").astype(np.float32)
    attack = sigma_zero(num_steps=200, bounds=(0.2, 0.8))
    run = attacks.Runner(attack, lambda params, keys, x: affine(keys, x), batch_size=BATCH)
    for radii, falls in ((least, True), (least - 1, False)):
        result = run(None, KEY, INPUTS, LABELS, epsilon=radii)
        np.testing.assert_array_equal(result.success, falls)
        assert (norm_of(result.inputs - INPUTS, "l0") <= radii).all()


def test_an_example_within_its_radius_is_done():
    attack = sigma_zero(num_steps=40)
    problem = attack.problem(KEY, affine, INPUTS, LABELS, epsilon=float(SIZE))
    state = jax.jit(lambda: attack.advance(affine, problem, attack.start(affine, problem), 40))()
    exact = problem._replace(epsilon=state.closest.distance)
    assert (state.step < 9).all()
    assert not attack.working(exact, state).any()
    assert attack.working(exact._replace(epsilon=exact.epsilon - 1), state).all()


def test_a_flat_model_is_no_success_and_no_nan():
    result = affine_attack(0 * LABELS, weight=0 * WEIGHT, bias=np.float32([1, 0, 0, 0, 0]), bounds=(0.0, 1.0))
    np.testing.assert_array_equal(result.inputs, INPUTS)
    assert not result.success.any()
    assert not result.blocked.any()


def test_values_are_counted_whatever_their_size():
    changes = jnp.array([[[0.0, 1e-30], [3.0, -4.0]], [[0.0, 0.0], [0.0, 0.0]]])
    np.testing.assert_array_equal(losses.perturbation_norm(changes, "l0"), [3.0, 0.0])


def test_bad_settings_are_refused():
    for settings, message in (
        ({"num_steps": 0}, "num_steps must be at least 1, got 0"),
        ({"sigma": 0.0}, r"sigma must be positive, got 0\.0"),
        ({"threshold": 1.5}, r"threshold must be in \[0, 1\], got 1\.5"),
        ({"threshold_rate": 0.0}, r"threshold_rate must be positive, got 0\.0"),
        ({"bounds": (0.0, np.inf)}, "bounds must be finite in this attack"),
    ):
        with pytest.raises(ValueError, match=message):
            sigma_zero(**settings)
