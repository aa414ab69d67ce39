"""Attacks that look for the smallest perturbation, with a radius, without an end, and at classes that cannot be."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ib_jax import attacks, evaluation, losses
from tests.attacks.affine import INPUTS, KEY, LABELS, affine, distances, norm_of

MINIMAL = {
    "deepfool": attacks.deepfool(overshoot=0.001),
    "carlini_wagner": attacks.carlini_wagner(num_steps=200, num_binary_steps=5),
    "fab": attacks.fab(norm="l2", num_steps=20),
    "ddn": attacks.ddn(),
    "fmn": attacks.fmn(),
}


@pytest.mark.parametrize("name", MINIMAL)
def test_with_a_radius_it_is_judged_by_its_distance(name):
    """On an affine model, success begins at the distance to the boundary, and what lies beyond is no result."""
    exact = distances("l2", bounds=(0.0, 1.0))
    assert np.isfinite(exact).all()
    run = attacks.Runner(MINIMAL[name], lambda params, keys, x: affine(keys, x))
    for factor, falls in ((0.9, False), (1.1, True)):
        result = run(None, KEY, INPUTS, LABELS, epsilon=factor * exact)
        np.testing.assert_array_equal(result.success, falls)
        assert (norm_of(result.inputs - INPUTS, "l2") <= factor * exact).all()
        np.testing.assert_array_equal((result.inputs == INPUTS).all(-1), not falls)
    attack_at = lambda keys, inputs, labels, radii: run(None, keys, inputs, labels, epsilon=radii)
    curve = evaluation.robustness_curve(attack_at, KEY, INPUTS, LABELS, [1e-6, 10.0])
    np.testing.assert_array_equal(curve, [[True, False]] * len(LABELS))


def test_a_radius_of_nothing_asks_for_no_steps():
    asked = []

    def apply_fn(params, keys, inputs):
        jax.debug.callback(lambda: asked.append(0))
        return affine(keys, inputs)

    run = attacks.Runner(attacks.pgd(0.1, num_steps=50), apply_fn)
    result = run(None, KEY, INPUTS, LABELS, epsilon=0.0)
    jax.effects_barrier()
    np.testing.assert_array_equal(result.inputs, INPUTS)
    assert not result.success.any()
    assert len(asked) == 1  # the verdict


def test_what_has_no_end_is_refused():
    for make in (attacks.fgsm, attacks.pgd, attacks.apgd, attacks.square, attacks.autoattack):
        for radius, right in ((np.inf, "at least 0 and finite, got inf"), (np.nan, "at least 0, got nan")):
            with pytest.raises(ValueError, match=f"epsilon must be {right}"):
                make(radius)
        with pytest.raises(
            ValueError, match="epsilon must be a radius of at least 0, in units of the inputs, got None"
        ):
            make(None)
    with pytest.raises(ValueError, match="epsilon must be at least 0 and finite, got inf"):
        attacks.fab(epsilon=np.inf)
    for bounds in ((-np.inf, np.inf), (0.0, np.inf), (np.array([0.0, -np.inf]), 1.0)):
        with pytest.raises(ValueError, match="bounds must be finite in this attack"):
            attacks.carlini_wagner(bounds=bounds)


@pytest.mark.parametrize(
    "make, name, message",
    [
        (attacks.deepfool, "overshoot", "at least 0"),
        (attacks.fab, "eta", "at least 1"),
        (attacks.fab, "alpha_max", r"in \[0, 1\]"),
        (attacks.fab, "beta", r"in \(0, 1\)"),
        (attacks.carlini_wagner, "learning_rate", "positive"),
        (attacks.carlini_wagner, "initial_const", "positive"),
        (attacks.carlini_wagner, "confidence", "at least 0"),
        (attacks.ddn, "gamma_init", r"in \(0, 1\)"),
        (attacks.ddn, "initial_margin", "positive"),
        (attacks.sigma_zero, "sigma", "positive"),
        (attacks.fmn, "gamma_final", r"in \(0, 1\)"),
        (lambda **setting: attacks.mi_fgsm(0.1, **setting), "decay", "at least 0"),
        (lambda **setting: attacks.pgd(0.1, **setting), "step_size", "at least 0"),
        (lambda total: attacks.path_length(total), "total", "positive"),
        (lambda share: attacks.share_of_radius(share), "share", "positive"),
    ],
)
def test_settings_that_are_nan_or_infinite_are_refused(make, name, message):
    for value in (np.nan, np.inf):
        with pytest.raises(ValueError, match=f"{name} must be {message}.*got {value}"):
            make(**{name: value})


@pytest.mark.parametrize("name", MINIMAL)
@pytest.mark.parametrize("bounds", [(-np.inf, np.inf), (0.0, np.inf), (-1e3, 1e3)], ids=str)
def test_wide_bounds_are_no_obstacle(name, bounds):
    if name == "carlini_wagner" and np.isinf(bounds[1]):
        return  # refused
    settings = {"num_steps": 300} if name == "carlini_wagner" else {}
    attack = getattr(attacks, name)(bounds=bounds, **settings)
    assert jax.jit(lambda: attack(KEY, affine, INPUTS, LABELS))().success.all()


@pytest.mark.not_under("debug_infs", reason="a class that is left out is at minus infinity")
def test_the_least_likely_class_can_be_reached():
    masked = lambda keys, inputs: evaluation.restrict_to_classes(affine(keys, inputs), [0, 2, 3])
    labels = masked(None, INPUTS).argmax(-1)
    targets = attacks.least_likely_targets(KEY, masked, INPUTS, labels)
    others = np.where(np.isin(np.arange(5), [0, 2, 3]), affine(None, INPUTS), np.inf)
    others[np.arange(len(labels)), labels] = np.inf
    np.testing.assert_array_equal(targets, others.argmin(-1))
    alone = lambda keys, inputs: evaluation.restrict_to_classes(affine(keys, inputs), [2])
    none = attacks.least_likely_targets(KEY, alone, INPUTS, jnp.full(len(labels), 2))
    assert (np.asarray(none) != 2).all()
    assert losses.correct(masked(None, INPUTS), labels).all()
