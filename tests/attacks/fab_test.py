"""FAB against closed forms, convex optimisation and a naive loop."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ib_jax import losses
from ib_jax.attacks.fab import fab
from tests.attacks.affine import (
    BATCH,
    BIAS,
    CLASSES,
    FAR,
    INPUTS,
    KEY,
    LABELS,
    NORMS,
    SIZE,
    TWO,
    WEIGHT,
    affine,
    attack_affine,
    distance_to_win,
    distances,
    noisy,
    norm_of,
)

RNG = np.random.default_rng(1)
affine_attack = functools.partial(attack_affine, fab)


@pytest.mark.parametrize("norm", NORMS)
def test_affine_distances_are_the_closed_form(norm):
    result = affine_attack(norm=norm)
    assert result.success.all()
    found, expected = norm_of(result.inputs - INPUTS, norm), distances(norm)
    np.testing.assert_allclose(found, expected, rtol=1e-2)
    assert (found > expected * (1 - 1e-4)).all()


@pytest.mark.parametrize("norm", NORMS)
def test_affine_inside_bounds_comes_near_the_known_distance(norm):
    """Which class seems nearest does not reckon with the bounds, so that it need not be."""
    bounds = (0.2, 0.8)
    result = affine_attack(norm=norm, bounds=bounds)
    found, least = norm_of(result.inputs - INPUTS, norm), distances(norm, bounds)
    assert result.success.all()
    assert (found > least * (1 - 1e-4)).all()
    assert (found < 1.1 * least).all()
    np.testing.assert_allclose(np.median(found / least), 1.0, atol=1e-2)
    assert np.mean(least > 1.001 * distances(norm)) > 0.2


@pytest.mark.parametrize("norm", NORMS)
def test_targeted_two_classes_is_the_closed_form(norm):
    logits = INPUTS @ WEIGHT + TWO
    result = affine_attack(logits.argmax(-1), 1 - logits.argmax(-1), bias=TWO, norm=norm)
    assert result.success.all()
    found, expected = norm_of(result.inputs - INPUTS, norm), distances(norm, FAR, TWO)
    np.testing.assert_allclose(found, expected, rtol=1e-2)
    assert (found > expected * (1 - 1e-4)).all()


def test_targeted_wins_over_every_class():
    """The smallest such step may end on the edge of several faces."""
    targets = (LABELS + 1) % CLASSES
    result = affine_attack(LABELS, targets, norm="l2")
    assert result.success.all()
    np.testing.assert_array_equal((np.asarray(result.inputs) @ WEIGHT + BIAS).argmax(-1), targets)
    least = np.array([distance_to_win(i, target) for i, target in enumerate(targets)])
    found = norm_of(result.inputs - INPUTS, "l2")
    assert (found > least * (1 - 1e-4)).all()
    assert (found < 1.1 * least).all()


def test_aimed_at_a_class_of_an_ensemble_any_wrong_answer_counts():
    attack = fab(norm="l2", bounds=FAR, num_steps=10)
    problem = attack.problem(KEY, affine, INPUTS, LABELS, (LABELS + 1) % CLASSES)._replace(wanted=None)
    state = jax.jit(lambda: attack.advance(affine, problem, attack.start(affine, problem), attack.num_steps))()
    logits, rows = INPUTS @ WEIGHT + BIAS, np.arange(BATCH)
    slope = WEIGHT.T[problem.targets] - WEIGHT.T[LABELS]
    to_target = (logits[rows, LABELS] - logits[rows, problem.targets]) / np.linalg.norm(slope, axis=-1)
    found = norm_of(state.best - INPUTS, "l2")
    assert (found < 1.06 * to_target).all()  # where target and label tie, another class may be ahead: that is fine
    answers = np.asarray(affine(None, state.best)).argmax(-1)
    assert (answers != LABELS).all()
    assert (answers != problem.targets).any()


def naive_fab(forward, jacobian, x0, label, norm, num_steps, alpha_max=0.1, eta=1.05, beta=0.9):
    """The attack far from the bounds, one example at a time, from its description in the paper.

    The linearisation after a success is that of the successful point, see `fab`.
    """
    size = (lambda d: np.abs(d).max()) if norm == "linf" else np.linalg.norm
    x, best = x0, x0
    closest = np.inf
    for step in range(num_steps + 1):
        logits, slopes = forward(x), jacobian(x)
        linearised_at, base = x, x
        if logits.argmax() != label:
            if size(x - x0) < closest:
                closest, best = size(x - x0), x
            base = x0 + beta * (x - x0)
        if step == num_steps:
            break
        faces = [(logits[k] - logits[label], slopes[k] - slopes[label]) for k in range(len(logits)) if k != label]
        gap, w = min(faces, key=lambda face: abs(face[0]) / np.linalg.norm(face[1], ord=1 if norm == "linf" else 2))

        def onto(point, gap=gap, w=w, linearised_at=linearised_at):
            value = gap + w @ (point - linearised_at)
            return -value * (np.sign(w) / np.abs(w).sum() if norm == "linf" else w / (w @ w))

        d1, d2 = onto(base), onto(x0)
        alpha = min(size(d1) / (size(d1) + size(d2)), alpha_max)
        x = (1 - alpha) * (base + eta * d1) + alpha * (x0 + eta * d2)
    return best


@pytest.mark.parametrize("norm", NORMS)
def test_naive_numpy_fab_takes_the_same_steps(norm):
    weight1, weight2 = RNG.normal(size=(SIZE, 10)), RNG.normal(size=(10, CLASSES))
    model = lambda keys, x: jnp.tanh(x @ jnp.asarray(weight1, jnp.float32)) @ jnp.asarray(weight2, jnp.float32)
    labels = np.asarray(model(None, INPUTS)).argmax(-1)
    forward = lambda x: np.tanh(x @ weight1) @ weight2
    jacobian = lambda x: (weight1 * (1 - np.tanh(x @ weight1) ** 2) @ weight2).T
    got = jax.jit(lambda: fab(norm=norm, bounds=FAR, num_steps=6)(KEY, model, INPUTS, labels).inputs)()
    for example, label, found in zip(INPUTS.astype(np.float64), labels, got, strict=True):
        np.testing.assert_allclose(found, naive_fab(forward, jacobian, example, label, norm, 6), atol=2e-4)


@pytest.mark.parametrize("norm", NORMS)
def test_with_a_radius_the_result_is_inside_or_the_input(norm):
    for factors in (1.05, np.where(np.arange(BATCH) % 2, 0.95, 1.05)):
        radii = (factors * distances(norm)).astype(np.float32)
        result = affine_attack(norm=norm, traced={"epsilon": radii})
        np.testing.assert_array_equal(result.success, np.broadcast_to(factors, BATCH) > 1)
        moved = norm_of(result.inputs - INPUTS, norm)
        assert (moved <= radii * (1 + 1e-6)).all()
        np.testing.assert_array_equal(moved > 0, result.success)


def test_an_example_fooled_within_the_radius_is_done():
    labels = np.where(np.arange(BATCH) == 0, (LABELS + 1) % CLASSES, LABELS)
    radii = jnp.where(jnp.arange(BATCH) < 6, 10.0, 0.0)
    attack = fab(epsilon=radii, bounds=FAR, num_steps=7)
    problem = attack.problem(KEY, affine, INPUTS, labels)
    state = jax.jit(lambda: attack.advance(affine, problem, attack.start(affine, problem), attack.num_steps))()
    assert state.step[0] == 1  # its first verdict
    assert (state.step[1:6] <= 4).all()
    np.testing.assert_array_equal(state.step[6:], 8)  # seven steps, and the verdict on the last
    np.testing.assert_array_equal(attack.result(affine, problem, state).inputs[6:], INPUTS[6:])


def test_the_last_iterate_is_judged():
    """One step of an affine model ends 5 % behind the boundary: a success, if somebody looks."""
    result = affine_attack(num_steps=1)
    assert result.success.all()
    np.testing.assert_allclose(norm_of(result.inputs - INPUTS, "linf"), 1.05 * distances("linf"), rtol=1e-3)


def test_restarts_find_what_the_input_leads_away_from():
    """At the input the slope points to a boundary that is never reached; only elsewhere does the near one show."""

    def model(keys, inputs):
        first = inputs[:, 0]
        plateau = jnp.where(first > 0.55, 1.0 - 40 * (first - 0.55), 1.0)
        return jnp.stack([plateau, -jnp.exp(-5 * inputs[:, 1])], -1)

    inputs, labels = jnp.full((40, 2), 0.5), jnp.zeros(40, jnp.int32)
    attack = fab(norm="linf", epsilon=0.15, num_steps=10, num_restarts=4)
    result = jax.jit(lambda: attack(KEY, model, inputs, labels))()
    assert norm_of(result.inputs - inputs, "linf").max() <= 0.15 + 1e-6
    assert np.mean(result.success) > 0.3
    assert set(np.unique(result.member)) >= {-1, 1, 2}
    assert (result.member != 0).all()  # the start at the input
    # Starts fill half the ball.
    drawn = attack.members[1].attack
    problem = drawn.problem(KEY, model, inputs, labels)
    starts = np.asarray(jax.jit(lambda: drawn.start(model, problem))().point - inputs)
    assert 0.065 < np.abs(starts).max() <= 0.075 + 1e-6


def test_neighbours_keys_and_misclassified_examples():
    inputs, keys = jnp.asarray(INPUTS.reshape(BATCH, 2, 4)), losses.per_example_keys(KEY, BATCH)
    # So far off that no sample answers with the label.
    labels = np.where(np.arange(BATCH) < 2, (INPUTS @ WEIGHT + BIAS).argmin(-1), LABELS)
    attack = fab(epsilon=0.3, num_eot_samples=2, num_steps=5, num_restarts=2, confidence=0.0)
    attack = jax.jit(functools.partial(attack, logits_fn=noisy))
    whole = attack(keys, inputs=inputs, labels=labels)
    np.testing.assert_array_equal(attack(keys, inputs=inputs, labels=labels).inputs, whole.inputs)
    np.testing.assert_array_equal(whole.inputs[:2], inputs[:2])
    assert whole.success[:2].all()
    moved = np.asarray(whole.inputs != inputs).any((1, 2))
    assert moved[2:].sum() > 3
    rows = np.concatenate([np.flatnonzero(moved)[:3], np.arange(9)])
    part = attack(keys[rows], inputs=inputs[rows], labels=labels[rows])
    np.testing.assert_allclose(part.inputs, whole.inputs[rows], atol=1e-6)
    np.testing.assert_array_equal(part.success, whole.success[rows])


@pytest.mark.parametrize("norm", NORMS)
def test_zero_gradients_give_no_nan(norm):
    flat = {"weight": 0 * WEIGHT, "bias": np.float32([1, 0, 0, 0, 0])}
    np.testing.assert_array_equal(affine_attack(0 * LABELS, norm=norm, **flat).inputs, INPUTS)
    attack = fab(norm=norm, num_steps=3)
    model = lambda keys, inputs: inputs @ flat["weight"] + flat["bias"][None]
    problem = attack.problem(KEY, model, INPUTS, 0 * LABELS)
    state = jax.jit(lambda: attack.step(attack.settings, model, problem, attack.start(model, problem)))()
    np.testing.assert_array_equal(state.point, INPUTS)


def test_bounds_of_each_channel_and_bfloat16():
    bounds = ((0.0, -1.0, 0.1, 0.0) * 2, (1.0, 1.0, 0.9, 0.9) * 2)
    for dtype in (jnp.bfloat16, jnp.float32):
        inputs = jnp.asarray(INPUTS, dtype)
        labels = (np.asarray(inputs, np.float32) @ WEIGHT + BIAS).argmax(-1)
        result = affine_attack(labels, inputs=inputs, bounds=bounds, norm="l2")
        assert result.inputs.dtype == dtype
        lower, upper = np.asarray(jnp.array(bounds, dtype), np.float32)
        found = np.asarray(result.inputs, np.float32)
        assert ((found >= lower) & (found <= upper)).all()
        assert np.mean(result.success) > 0.7


def test_bad_settings_are_refused():
    for settings, message in (
        ({"norm": "l1"}, "norm must be one of l2, linf, got 'l1'"),
        ({"num_steps": 0}, "num_steps must be at least 1, got 0"),
        ({"alpha_max": 1.5}, r"alpha_max must be in \[0, 1\], got 1\.5"),
        ({"eta": 0.9}, r"eta must be at least 1, got 0\.9"),
        ({"beta": 1.0}, r"beta must be in \(0, 1\), got 1\.0"),
        ({"num_restarts": 0, "epsilon": 0.1}, "num_restarts must be at least 1, got 0"),
        ({"num_restarts": 2}, "num_restarts must be 1 without an epsilon, got 2"),
    ):
        with pytest.raises(ValueError, match=message):
            fab(**settings)
