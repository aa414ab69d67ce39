import itertools

import numpy as np
import pytest
import scipy.stats

from ib_jax import evaluation

RNG = np.random.default_rng(4)
EPSILONS = np.array([0.0, 0.1, 0.2, 0.4])


def falling(accuracies, n=200):
    """Examples that fall one after another, bool [N, E], with these accuracies."""
    return np.arange(n)[:, None] < np.round(n * np.asarray(accuracies))


@pytest.mark.parametrize("last, found", [(0.3, True), (0.06, True), (0.05, False), (0.0, False)])
def test_accuracy_must_come_down_at_large_radii(last, found):
    accuracies = np.array([0.9, 0.6, 0.4, last])
    finding = evaluation.check_large_radius(EPSILONS, accuracies)
    assert (finding is not None) == found
    assert evaluation.check_large_radius(EPSILONS, falling(accuracies)) == finding
    if found:
        assert finding.check == "large_radius"
        assert finding.evidence == {"epsilon": 0.4, "accuracy": last}
    assert evaluation.check_large_radius(EPSILONS, accuracies, tolerance=0.5) is None


def test_a_rise_is_found_and_the_largest_one_is_reported():
    for curve in (np.array([0.9, 0.3, 0.2, 0.5]), falling([0.9, 0.3, 0.2, 0.5])):
        finding = evaluation.check_monotone(EPSILONS, curve)
        assert finding.check == "monotone"
        assert [finding.evidence[f"{name}_{end}"] for end in ("low", "high") for name in ("epsilon", "accuracy")] == [
            0.2, 0.2, 0.4, 0.5,
        ]  # fmt: skip
    assert evaluation.check_monotone(EPSILONS, np.array([0.9, 0.9, 0.2, 0.0])) is None
    assert evaluation.check_monotone(EPSILONS, falling([0.9, 0.9, 0.2, 0.0])) is None
    assert evaluation.check_monotone(EPSILONS, np.array([0.9, 0.3, 0.302, 0.0])) is None
    assert evaluation.check_monotone(EPSILONS, np.array([0.9, 0.3, 0.302, 0.0]), min_difference=0.001) is not None
    assert evaluation.check_monotone(EPSILONS, np.full(4, 0.5), min_difference=0.0) is None


def test_a_slow_rise_is_found_though_no_step_of_it_is_beyond_noise():
    correct = falling([0.40, 0.42, 0.44, 0.46])  # steps of four examples
    assert evaluation.check_monotone(EPSILONS[:2], correct[:, :2]) is None
    evidence = evaluation.check_monotone(EPSILONS, correct).evidence
    assert (evidence["epsilon_low"], evidence["epsilon_high"]) == (0.0, 0.4)
    assert evidence["p_value"] == pytest.approx(6 * 0.5**12)


def test_rises_agree_with_a_loop_over_pairs():
    for _ in range(40):
        correct = RNG.random((150, 4)) < RNG.uniform(0.3, 0.6, 4)
        best = None
        for i, j in itertools.combinations(range(4), 2):
            a, b = int((correct[:, j] & ~correct[:, i]).sum()), int((correct[:, i] & ~correct[:, j]).sum())
            p_value = min(1.0, 6 * scipy.stats.binomtest(a, a + b, 0.5, "greater").pvalue)
            if p_value <= 0.05 and (best is None or a - b > best[0]):
                best = (a - b, i, j, p_value)
        finding = evaluation.check_monotone(EPSILONS, correct)
        assert (finding is None) == (best is None)
        if best is not None:
            rise, i, j, p_value = best
            assert finding.evidence["accuracy_high"] - finding.evidence["accuracy_low"] == pytest.approx(rise / 150)
            assert finding.evidence["p_value"] <= 0.05


def test_a_flat_curve_with_noise_is_reported_at_most_at_the_level():
    draws = RNG.random((1000, 200, 4)) < 0.4
    assert np.mean([evaluation.check_monotone(EPSILONS, correct) is not None for correct in draws]) < 0.05


@pytest.mark.parametrize("epsilon, bounds, applies", [
    (np.inf, (0.0, 1.0), True), (1.0, (0.0, 1.0), True), (0.99, (0.0, 1.0), False), (1.0, (-1.0, 1.0), False),
    (2.0, (-1.0, 1.0), True), (2.0, (np.array([-1.0, -2.0]), np.array([1.0, 1.0])), False),
])  # fmt: skip
def test_an_attack_without_a_limit_must_break_everything(epsilon, bounds, applies):
    finding = evaluation.check_unbounded(np.arange(200) < 3, epsilon=epsilon, bounds=bounds)
    assert (finding is not None) == applies
    if applies:
        assert finding.check == "unbounded"
        assert finding.evidence["accuracy"] == pytest.approx(0.015)
        assert "3 of 200 examples" in finding.message
    assert evaluation.check_unbounded(np.arange(200) < 2, epsilon=epsilon, bounds=bounds) is None
    assert evaluation.check_unbounded(np.arange(200) < 3, epsilon=epsilon, bounds=bounds, tolerance=0.02) is None


@pytest.mark.parametrize("check", [evaluation.check_large_radius, evaluation.check_monotone])
def test_bad_curves_are_refused(check):
    for epsilons in ([0.0], [0.2, 0.1], [0.1, 0.1], [-0.1, 0.1], [0.0, np.nan], [[0.0, 0.1]]):
        with pytest.raises(ValueError, match="epsilons must be two radii or more, from 0 up and increasing"):
            check(np.array(epsilons), np.zeros(np.shape(epsilons)))
    for correct in (np.zeros(3), np.zeros((4, 3)), np.zeros((0, 4)), np.zeros((1, 1, 4)), np.float64(0.0)):
        with pytest.raises(ValueError, match=r"correct must be \[4\] or \[N, 4\]"):
            check(EPSILONS, correct)
    for correct in (np.full(4, 90.0), np.full(4, np.nan), np.full((5, 4), 0.5)):
        with pytest.raises(ValueError, match=r"correct must be bool \[N, E\] or accuracies \[E\] in \[0, 1\]"):
            check(EPSILONS, correct)


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match=r"tolerance must be a share in \[0, 1\), got -0.1"):
        evaluation.check_large_radius(EPSILONS, np.zeros(4), tolerance=-0.1)
    with pytest.raises(ValueError, match=r"level must be a share in \[0, 1\), got 1.5"):
        evaluation.check_monotone(EPSILONS, np.zeros(4), level=1.5)
    with pytest.raises(ValueError, match="epsilon must be at least 0, got nan"):
        evaluation.check_unbounded(np.ones(3), epsilon=np.nan)
    with pytest.raises(ValueError, match=r"bounds must be \(lower, upper\) with lower < upper, got \(1.0, 0.0\)"):
        evaluation.check_unbounded(np.ones(3), bounds=(1.0, 0.0))
    with pytest.raises(ValueError, match=r"correct must be bool, or 0 and 1, .* such as 0.5"):
        evaluation.check_unbounded(np.full(3, 0.5))
