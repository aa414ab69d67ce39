"""Theorem 4: over random problems and joint laws, where it is attained, and where it is false."""

import numpy as np
import pytest

from ib_jax import exact
from tests.exact.attacked import random_problem, random_shared_encoder


def maximal_coupling(clean, moved):
    """p(t, t'|x) with the most mass on t = t'."""
    common = np.minimum(clean, moved)
    rest = 1.0 - common.sum(1)
    laws = np.einsum("nt,tu->ntu", common, np.eye(clean.shape[1]))
    excess = np.einsum("nt,nu->ntu", clean - common, moved - common)
    return laws + excess / np.where(rest > 0, rest, 1.0)[:, None, None]


def random_transfer(seed, coupled=False, **options):
    if seed % 2:
        *problem, decoders = random_shared_encoder(seed)
    else:
        problem, rng = random_problem(seed), np.random.default_rng(seed)
        decoders = rng.integers(2, size=(2, 4))
    encoder, attack = problem[2:]
    pairs = maximal_coupling(encoder, encoder[attack]) if coupled else None
    return exact.transfer(*problem, decoders, pairs=pairs, **options)


@pytest.mark.parametrize("coupled", [False, True])
def test_theorem_4_holds_for_random_predictions(coupled):
    ratios, useful = [], 0
    for seed in range(300):
        moved = random_transfer(seed, coupled=coupled)
        assert moved.remote_delta <= moved.bound + 1e-12
        assert moved.bound <= moved.smooth_bound + 1e-12
        assert moved.smooth_bound <= moved.printed_bound + 1e-12
        assert moved.smooth_bound >= 1 - 1e-12  # an attack that works and an encoder that is smooth exclude each other
        ratios.append(moved.remote_delta / moved.bound)
        useful += moved.bound < 0.9
    assert max(ratios) > 0.95
    assert useful >= 3  # the draws are seldom of the kind, two classes swapped, where p(t) stays as it is


def test_probabilities_are_those_of_draws():
    points, joint, encoder, attack = random_problem(5)
    decoders = np.array([0, 1, 1, 0]), np.array([0, 0, 1, 1])
    moved, rng = exact.transfer(points, joint, encoder, attack, decoders), np.random.default_rng(0)
    draws = rng.choice(joint.size, 100_000, p=joint.ravel())
    x, y = np.divmod(draws, 2)
    code = lambda rows: (rng.random(len(rows))[:, None] > encoder[rows].cumsum(1)).sum(1)
    clean, changed = code(x), code(attack[x])
    deltas = [np.mean(decoder[clean] == decoder[changed]) for decoder in decoders]
    np.testing.assert_allclose([moved.delta, moved.remote_delta], deltas, atol=6e-3)
    np.testing.assert_allclose(moved.risks, [np.mean(decoder[clean] != y) for decoder in decoders], atol=6e-3)
    code = exact.attacked_code(points, joint, encoder, attack)
    smooth, risks = 4 * code.lipschitz * code.epsilon, sum(moved.risks)
    assert moved.bound == pytest.approx(moved.delta + 2 * risks + np.maximum(code.p_t - code.q_t, 0).sum())
    assert moved.smooth_bound == pytest.approx(moved.delta + 2 * risks + smooth / 2)
    assert moved.printed_bound == pytest.approx(moved.delta + 4 * max(moved.risks) + smooth)


def test_the_term_of_smoothness_is_attained_with_half_its_factor():
    for shift in (0.01, 0.3, 1.0):  # one input, moved off it; f_1 alone minds the second code
        encoder = np.array([[1.0, 0.0], [1.0 - shift, shift]])
        moved = exact.transfer([[0.0], [1.0]], [[1.0, 0.0], [0.0, 0.0]], encoder, [1, 1], ([0, 1], [0, 0]))
        assert moved.risks == (0.0, 0.0)
        np.testing.assert_allclose([moved.delta, moved.remote_delta], [1 - shift, 1.0])
        np.testing.assert_allclose([moved.bound, moved.smooth_bound], 1.0)
        np.testing.assert_allclose(moved.printed_bound, 1 + shift)


def test_the_term_of_risk_is_approached():
    risk = 1e-3  # a constant encoder, and f_1 wrong on a rare code: two draws differ with probability 2 risk (1 - risk)
    encoder = np.tile([1.0 - risk, risk], (2, 1))
    moved = exact.transfer([[0.0], [1.0]], [[0.5, 0.0], [0.5, 0.0]], encoder, [1, 0], ([0, 1], [0, 0]))
    assert moved.remote_delta == 1.0
    assert moved.remote_delta - moved.delta == pytest.approx(2 * risk * (1 - risk))
    assert moved.bound - moved.delta == pytest.approx(2 * risk)
    assert moved.printed_bound - moved.delta == pytest.approx(4 * risk)


def test_counter_example_for_the_most_likely_label():
    encoder = np.array([[0.51, 0.49], [0.49, 0.51]])
    problem = [[0.0], [1.0]], [[1.0, 0.0], [0.0, 0.0]], encoder, [1, 1], ([0, 1], [0, 0])
    moved = exact.transfer(*problem, derandomised=True)
    assert (moved.delta, moved.remote_delta, moved.risks) == (0.0, 1.0, (0.0, 0.0))
    assert moved.bound == moved.smooth_bound == pytest.approx(0.02)
    assert moved.printed_bound == pytest.approx(0.04)
    drawn = exact.transfer(*problem)  # the same with one draw: effective on neither, and the theorem holds
    assert drawn.remote_delta <= drawn.bound
    random = [random_transfer(seed, derandomised=True) for seed in range(300)]
    assert any(each.remote_delta > each.smooth_bound + 1e-3 for each in random)


def test_bad_input_is_refused():
    points, joint, encoder, attack = random_problem(0)
    good = np.array([0, 1, 0, 1])
    for decoders, options, message in [
        ((good, good[:2]), {}, "decoders must each be 4 integers"),
        ((good, good + 1), {}, r"decoders must give labels in \[0, 2\)"),
        ((good,), {}, "decoders must be two, got 1"),
        ((good, good), {"pairs": np.ones((5, 4))}, r"pairs must have shape \(5, 4, 4\), got \(5, 4\)"),
        ((good, good), {"pairs": np.full((5, 4, 4), 1 / 16)}, "pairs must be >= 0 with marginals"),
    ]:
        with pytest.raises(ValueError, match=message):
            exact.transfer(points, joint, encoder, attack, decoders, **options)
