"""Theorem 4's quantities: counted by hand, against naive loops, and the inequality they belong to."""

import numpy as np
import pytest
import scipy.stats

from ib_jax import evaluation

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 3, 200)


def changed(predictions, share):
    """Predictions of which about a share is another class."""
    return np.where(RNG.uniform(size=predictions.shape) < share, (predictions + 1) % 3, predictions)


def test_it_equals_naive_counting():
    clean, other = changed(LABELS, 0.1), changed(LABELS, 0.3)
    attacked, other_attacked = changed(clean, 0.9), changed(other, 0.5)
    found = evaluation.measure_transfer(
        LABELS, clean=clean, adversarial=attacked, other_clean=other, other_adversarial=other_attacked
    )
    kept = [float(a == b) for a, b in zip(clean, attacked, strict=True)]
    other_kept = [float(a == b) for a, b in zip(other, other_attacked, strict=True)]
    errors = [[float(a != b) for a, b in zip(LABELS, each, strict=True)] for each in (clean, other)]
    differences = np.subtract(other_kept, kept)
    wanted = [
        each
        for values in (kept, other_kept, differences, errors[1])
        for each in (np.mean(values), scipy.stats.sem(values))
    ]
    np.testing.assert_allclose(found, wanted)
    assert found.gap > 0.2
    swapped = evaluation.measure_transfer(
        LABELS, clean=other, adversarial=other_attacked, other_clean=clean, other_adversarial=attacked
    )
    np.testing.assert_allclose((swapped.delta, swapped.gap, swapped.tau), (found.delta_prime, -found.gap, found.tau))


def test_where_two_models_agree_before_and_after_the_attack_transfers():
    """With two classes, so the gap is at most their disagreement before, up to 2 tau, and after."""
    truth = LABELS % 2
    for _ in range(50):
        clean, other = (np.where(RNG.uniform(size=200) < 0.1, 1 - truth, truth) for _ in range(2))
        attacked, other_attacked = (np.where(RNG.uniform(size=200) < 0.8, 1 - truth, truth) for _ in range(2))
        found = evaluation.measure_transfer(
            truth, clean=clean, adversarial=attacked, other_clean=other, other_adversarial=other_attacked
        )
        moved = np.mean(attacked != other_attacked)  # what the theorem bounds by 2 tau + |T| L epsilon
        assert found.gap <= 2 * found.tau + moved + 1e-12


def test_the_table_has_the_pairs():
    clean = np.stack([changed(LABELS, 0.1) for _ in range(3)])
    adversarial = np.stack([np.stack([changed(clean[j], 0.2 * (i + j)) for j in range(3)]) for i in range(3)])
    table = evaluation.transfer_table(clean, adversarial)
    assert table.shape == (3, 3)
    for i in range(3):
        for j in range(3):
            found = evaluation.measure_transfer(
                LABELS,
                clean=clean[i],
                adversarial=adversarial[i, i],
                other_clean=clean[j],
                other_adversarial=adversarial[i, j],
            )
            np.testing.assert_allclose((table[i, i], table[i, j]), (1 - found.delta, 1 - found.delta_prime))


def test_wrong_predictions_are_refused():
    good = dict.fromkeys(("clean", "adversarial", "other_clean", "other_adversarial"), LABELS)
    with pytest.raises(ValueError, match=r"other_clean must be integers \[200\], got int64 \(199,\)"):
        evaluation.measure_transfer(LABELS, **(good | {"other_clean": LABELS[1:]}))
    with pytest.raises(ValueError, match=r"adversarial must be integers \[200\], got float64"):
        evaluation.measure_transfer(LABELS, **(good | {"adversarial": LABELS * 1.0}))
    with pytest.raises(ValueError, match="labels must hold at least two examples, got 1"):
        evaluation.measure_transfer(LABELS[:1], **good)
    with pytest.raises(ValueError, match=r"adversarial must have shape \[M, M, N\]"):
        evaluation.transfer_table(np.zeros((2, 5), int), np.zeros((2, 3, 5), int))
