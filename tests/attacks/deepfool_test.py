"""DeepFool against closed forms, convex optimisation and a naive loop."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ib_jax import losses
from ib_jax.attacks.deepfool import deepfool
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
affine_attack = functools.partial(attack_affine, deepfool)


def test_the_oracle_is_the_closed_form_far_from_the_bounds():
    logits, rows = INPUTS.astype(np.float64) @ WEIGHT + BIAS, np.arange(BATCH)
    slopes = WEIGHT.T[None] - WEIGHT.T[LABELS][:, None]
    for norm, dual in (("l2", 2), ("linf", 1)):
        with np.errstate(invalid="ignore"):
            ratios = (logits[rows, LABELS][:, None] - logits) / np.linalg.norm(slopes, ord=dual, axis=-1)
        np.testing.assert_allclose(distances(norm), np.nanmin(ratios, -1), rtol=1e-6)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("settings", [{"overshoot": 0.001}, {"num_bisections": 12}], ids=str)
@pytest.mark.parametrize("bounds", [FAR, (0.2, 0.8)], ids=str)
def test_affine_distances_are_known(norm, settings, bounds):
    """With two classes also inside bounds, where the class that seems nearest need not be."""
    bias = BIAS if bounds == FAR else TWO
    labels = (INPUTS @ WEIGHT + bias).argmax(-1)
    result = affine_attack(labels, bias=bias, norm=norm, bounds=bounds, **settings)
    expected = distances(norm, bounds, bias)
    reachable = expected < np.inf
    assert reachable.sum() >= 10
    np.testing.assert_array_equal(result.success, reachable)
    found = norm_of(result.inputs - INPUTS, norm)[reachable]
    np.testing.assert_allclose(found, expected[reachable], rtol=2e-3)
    assert (found > expected[reachable] * (1 - 1e-4)).all()


def test_bounds_matter_in_the_test_above():
    for norm in NORMS:
        assert np.mean(distances(norm, (0.2, 0.8), TWO) > 1.01 * distances(norm, FAR, TWO)) > 0.3


@pytest.mark.parametrize("norm", NORMS)
def test_targeted_two_classes_is_the_closed_form(norm):
    logits = INPUTS @ WEIGHT + TWO
    targets = 1 - logits.argmax(-1)
    result = affine_attack(logits.argmax(-1), targets, bias=TWO, norm=norm, overshoot=0.001)
    assert result.success.all()
    np.testing.assert_allclose(norm_of(result.inputs - INPUTS, norm), distances(norm, FAR, TWO), rtol=2e-3)


def test_targeted_wins_over_every_class():
    """DeepFool comes near the smallest such step, and never below."""
    targets = (LABELS + 1) % CLASSES
    result = affine_attack(LABELS, targets, norm="l2", overshoot=0.001)
    assert result.success.all()
    np.testing.assert_array_equal((np.asarray(result.inputs) @ WEIGHT + BIAS).argmax(-1), targets)
    least = np.array([distance_to_win(i, target) for i, target in enumerate(targets)])
    found = norm_of(result.inputs - INPUTS, "l2")
    assert (found > least * (1 - 1e-4)).all()
    assert (found < 1.3 * least).all()


def test_naive_numpy_deepfool_takes_the_same_steps():
    weight1, weight2 = RNG.normal(size=(SIZE, 10)), RNG.normal(size=(10, CLASSES))
    model = lambda keys, x: jnp.tanh(x @ jnp.asarray(weight1, jnp.float32)) @ jnp.asarray(weight2, jnp.float32)
    labels = np.asarray(model(None, INPUTS)).argmax(-1)

    def naive(x0, label, norm, num_candidates, max_steps, overshoot):
        forward = lambda x: np.tanh(x @ weight1) @ weight2
        rivals = [k for k in np.argsort(-forward(x0))[:num_candidates] if k != label]
        x, total, count = x0, np.zeros_like(x0), 0
        while forward(x).argmax() == label and count < max_steps:
            logits, hidden = forward(x), np.tanh(x @ weight1)
            jacobian = weight1 * (1 - hidden**2) @ weight2
            moves = []
            for k in rivals:
                gap, slope = abs(logits[k] - logits[label]), jacobian[:, k] - jacobian[:, label]
                if norm == "l2":
                    moves.append((gap / np.linalg.norm(slope), gap / (slope @ slope) * slope))
                else:
                    moves.append((gap / np.abs(slope).sum(), gap / np.abs(slope).sum() * np.sign(slope)))
            total = total + min(moves, key=lambda move: move[0])[1]
            x, count = np.clip(x0 + (1 + overshoot) * total, *FAR), count + 1
        return x, count

    for norm, num_candidates, num_steps in (("l2", 10, 50), ("linf", 3, 2)):
        settings = {"norm": norm, "num_candidates": num_candidates, "num_steps": num_steps, "bounds": FAR}
        attack = deepfool(overshoot=0.001, **settings)
        got = jax.jit(lambda: attack(KEY, model, INPUTS, labels).inputs)()  # noqa: B023
        examples = zip(INPUTS.astype(np.float64), labels, strict=True)
        found = [naive(*example, norm, num_candidates, num_steps, 0.001) for example in examples]
        assert max(count for _, count in found) >= 2
        np.testing.assert_allclose(got, np.stack([x for x, _ in found]), atol=2e-4)


def test_candidates_count_the_label_and_the_overshoot_is_a_share():
    """With two candidates only the runner-up at the input is aimed at, though another class be nearer."""
    result = affine_attack(norm="l2", num_candidates=2, overshoot=0.5, num_steps=1)
    logits, rows = INPUTS.astype(np.float64) @ WEIGHT + BIAS, np.arange(BATCH)
    runner_up = np.argsort(-logits)[:, 1]
    slope = WEIGHT.T[runner_up] - WEIGHT.T[LABELS]
    expected = (logits[rows, LABELS] - logits[rows, runner_up]) / np.linalg.norm(slope, axis=-1)
    np.testing.assert_allclose(norm_of(result.inputs - INPUTS, "l2"), 1.5 * expected, rtol=1e-4)
    assert (expected > 1.01 * distances("l2")).any()


def test_an_example_that_is_done_takes_no_more_steps():
    attack = deepfool(bounds=FAR, num_bisections=3)
    problem = attack.problem(KEY, affine, INPUTS, np.where(np.arange(BATCH) == 0, (LABELS + 1) % CLASSES, LABELS))
    state = jax.jit(lambda: attack.advance(affine, problem, attack.start(affine, problem), attack.num_steps))()
    np.testing.assert_array_equal(state.step, np.where(np.arange(BATCH) == 0, 0, 1 + 3))


def test_steps_that_the_bounds_clip_do_not_crawl():
    """Of plain steps the second example would need 32."""
    model = lambda keys, inputs: inputs @ WEIGHT + TWO[None]
    attack = deepfool(norm="linf", bounds=(0.2, 0.8))
    problem = attack.problem(KEY, model, INPUTS, model(None, INPUTS).argmax(-1))
    state = jax.jit(lambda: attack.advance(model, problem, attack.start(model, problem), attack.num_steps))()
    assert state.found.all()
    assert state.step.max() == 4


def test_neighbours_keys_and_misclassified_examples():
    inputs, keys = jnp.asarray(INPUTS.reshape(BATCH, 2, 4)), losses.per_example_keys(KEY, BATCH)
    # So far off that no sample answers with the label.
    labels = np.where(np.arange(BATCH) < 2, (INPUTS @ WEIGHT + BIAS).argmin(-1), LABELS)
    attack = jax.jit(functools.partial(deepfool(num_eot_samples=2, num_bisections=4), logits_fn=noisy))
    whole = attack(keys, inputs=inputs, labels=labels)
    np.testing.assert_array_equal(attack(keys, inputs=inputs, labels=labels).inputs, whole.inputs)
    np.testing.assert_array_equal(whole.inputs[:2], inputs[:2])
    assert whole.success[:2].all()
    moved = np.asarray(whole.inputs != inputs).any((1, 2))
    assert moved[2:].sum() > 7
    other = attack(keys[::-1], inputs=inputs, labels=labels).inputs
    assert (np.asarray(other)[moved] != np.asarray(whole.inputs)[moved]).any()
    rows = np.array([6, 3, 0] * 4)
    part = attack(keys[rows], inputs=inputs[rows], labels=labels[rows])
    np.testing.assert_allclose(part.inputs, whole.inputs[rows], atol=1e-6)
    np.testing.assert_array_equal(part.success, whole.success[rows])


def test_samples_are_pooled():
    """Whether the boundary is passed is seen by many samples where one is a guess."""
    inputs, shares = jnp.asarray(INPUTS.reshape(BATCH, 2, 4)), []
    for num_eot_samples in (1, 64):
        attack = deepfool(
            bounds=FAR, num_eot_samples=num_eot_samples, num_judge_samples=256, overshoot=0.1, confidence=0.0
        )
        success = jax.jit(lambda key: attack(key, noisy, inputs, LABELS).success)  # noqa: B023
        shares.append(np.mean([success(jax.random.key(i)) for i in range(5)]))
    assert shares[1] > max(0.85, shares[0] + 0.1)


@pytest.mark.parametrize("norm", NORMS)
def test_zero_gradients_and_ties_give_no_nan(norm):
    settings = {"norm": norm, "overshoot": 0.001}
    result = affine_attack(0 * LABELS, weight=0 * WEIGHT, bias=0 * BIAS, **settings)
    np.testing.assert_array_equal(result.inputs, INPUTS)
    assert not result.success.any()
    # On the boundary itself, where the label is the answer by its number, rounding's worth of a step crosses.
    weight = np.zeros_like(WEIGHT)
    weight[:, 0] = weight[0, 1] = 1.0
    on_boundary = np.zeros_like(INPUTS)
    on_boundary[:, 0] = 0.5
    result = affine_attack(0 * LABELS, weight=weight, bias=TWO * 0 - [1, 1, 9, 9, 9], inputs=on_boundary, **settings)
    assert result.success.all()
    assert norm_of(result.inputs - on_boundary, norm).max() < 1e-4


def test_bounds_of_each_channel_and_bfloat16():
    bounds = ((0.0, -1.0, 0.1, 0.0) * 2, (1.0, 1.0, 0.9, 0.9) * 2)
    for dtype in (jnp.bfloat16, jnp.float32):
        inputs = jnp.asarray(INPUTS, dtype)
        labels = (np.asarray(inputs, np.float32) @ WEIGHT + BIAS).argmax(-1)
        result = affine_attack(labels, inputs=inputs, bounds=bounds, norm="l2", num_bisections=12)
        assert result.inputs.dtype == dtype
        lower, upper = np.asarray(jnp.array(bounds, dtype), np.float32)
        found = np.asarray(result.inputs, np.float32)
        assert ((found >= lower) & (found <= upper)).all()
        assert np.mean(result.success) > 0.7


def test_bad_settings_are_refused():
    for settings, message in (
        ({"norm": "l1"}, "norm must be one of l2, linf, got 'l1'"),
        ({"num_steps": 0}, "num_steps must be at least 1, got 0"),
        ({"num_candidates": 1}, "num_candidates must be at least 2, got 1"),
        ({"overshoot": -0.1}, r"overshoot must be at least 0, got -0\.1"),
        ({"num_bisections": -1}, "num_bisections must be at least 0, got -1"),
    ):
        with pytest.raises(ValueError, match=message):
            deepfool(**settings)
