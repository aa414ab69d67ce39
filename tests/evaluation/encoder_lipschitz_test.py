"""Theorem 3 against the density itself (SciPy), evaluated densely in one and two dimensions."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats

from ib_jax import evaluation

STEP = 1e-5


def density(t, mean, scale):
    """[T, X] of codes [T, K] and encodings [X, K]."""
    return np.prod(scipy.stats.norm.pdf(t[:, None], mean, scale), -1)


def codes(mean, scale, num=41):
    """A grid over all the codes that any input of the encoder gives with a density to speak of, float [T, K]."""
    low, high = (mean - 4 * scale).min(0), (mean + 4 * scale).max(0)
    return np.array(list(itertools.product(*(np.linspace(*ends, num) for ends in zip(low, high, strict=True)))))


def smooth_encoder(rng, x_dim, num_dims, floor):
    """Sines of random amplitude and frequency; the scale is never below `floor`."""
    inner, outer = rng.normal(size=(6, x_dim)), rng.normal(size=(num_dims, 6)) * rng.uniform(0.1, 2.0)
    spread, shift = rng.normal(size=(num_dims, 6)) * rng.uniform(0.0, 1.0), rng.uniform(0, 6, size=6)

    def encoder(x):
        hidden = np.sin(x @ inner.T + shift)
        return hidden @ outer.T, floor + np.abs(spread).sum(1) + hidden @ spread.T

    return encoder


def measure(encoder, x):
    """Steepest slope of the density over the points x [X, d], with the constants of the encoder at these points."""
    (mean, scale), slopes, jacobians = encoder(x), [], []
    t = codes(mean, scale)
    for axis in np.eye(x.shape[1]):
        (mean_up, scale_up), (mean_down, scale_down) = encoder(x + STEP * axis), encoder(x - STEP * axis)
        slopes.append((density(t, mean_up, scale_up) - density(t, mean_down, scale_down)) / (2 * STEP))
        jacobians.append(np.stack([mean_up - mean_down, scale_up - scale_down], 1) / (2 * STEP))
    slope = np.sqrt(np.square(slopes).sum(0)).max()
    each = np.stack(jacobians, -1)  # [X, 2, K, d]
    mean_l, scale_l = np.linalg.norm(each, 2, axis=(2, 3)).max(0)
    joint = np.linalg.norm(each.reshape(len(x), -1, x.shape[1]), 2, axis=(1, 2)).max()
    return slope, mean.shape[1], scale.min(), mean_l, scale_l, joint


@pytest.mark.parametrize("x_dim, num_dims", [(1, 1), (1, 2), (2, 1), (2, 2)])
def test_no_encoder_is_steeper_than_the_corrected_constant(x_dim, num_dims):
    rng, ratios = np.random.default_rng(10 * x_dim + num_dims), []
    for _ in range(15):
        encoder = smooth_encoder(rng, x_dim, num_dims, floor=10 ** rng.uniform(-1.5, 0.5))
        x = rng.uniform(-2, 2, size=(30, x_dim))
        slope, k, least, mean_l, scale_l, joint = measure(encoder, x)
        bound = math.exp(evaluation.log_density_lipschitz(k, least, mean_l, scale_l))
        both = math.exp(evaluation.log_density_lipschitz(k, least, joint, form="joint"))
        assert slope <= min(bound, both) * (1 + 1e-6)
        if num_dims == 1:
            assert slope <= math.exp(evaluation.log_density_lipschitz(k, least, mean_l, scale_l, form="printed"))
        ratios.append(slope / bound)
    assert max(ratios) > 0.3  # the bound is not idle


def test_differences_of_densities_are_bounded_whatever_lies_between_the_inputs():
    # Inputs of which no other lies between, as in a data set: any pairs of encodings will do, with L from the pairs.
    rng = np.random.default_rng(0)
    for _ in range(300):
        k, least = rng.integers(1, 3), 10 ** rng.uniform(-1, 0.5)
        mean, scale = rng.normal(size=(2, k)) * least * 0.3, least * (1 + rng.exponential(0.3, size=(2, k)))
        difference = np.ptp(density(codes(mean, scale, 41), mean, scale), 1).max()
        mean_l, scale_l = np.linalg.norm(mean[0] - mean[1]), np.linalg.norm(scale[0] - scale[1])
        assert difference <= math.exp(evaluation.log_density_lipschitz(k, scale.min(), mean_l, scale_l))


@pytest.mark.parametrize("num_dims", [1, 2])
@pytest.mark.parametrize("what", ["mean", "scale"])
def test_each_term_is_reached(num_dims, what):
    # Mean alone moves: steepest one scale away from it. Scales alone move, all alike: steepest at the mean.
    direction = np.ones(num_dims) / math.sqrt(num_dims)
    moves = np.array([[0.0]]), np.array([[0.3]])
    encode = {
        "mean": lambda x: (5 * x * direction, np.full((len(x), num_dims), 0.2)),
        "scale": lambda x: (np.zeros((len(x), num_dims)), 0.2 + 5 * x * direction),
    }[what]
    t = (0.2 * direction if what == "mean" else 0.0 * direction)[None]
    (up, down) = (density(t, *encode(moves[0] + sign * STEP)) for sign in (1, -1))
    slope = abs(up - down).max() / (2 * STEP)
    constants = (5.0, 0.0) if what == "mean" else (0.0, 5.0)
    assert math.log(slope) == pytest.approx(evaluation.log_density_lipschitz(num_dims, 0.2, *constants), abs=1e-6)
    if what == "scale":
        assert evaluation.log_density_lipschitz(num_dims, 0.2, 5.0, form="joint") == pytest.approx(math.log(slope))


def printed_is_violated(least):
    """By two scales that grow together around a mean that stays, in two dimensions."""
    encode = lambda x: (np.zeros((1, 2)), least + x / math.sqrt(2))
    t, h = np.zeros((1, 2)), 1e-4 * least
    difference = abs(density(t, *encode(np.full((1, 2), h))) - density(t, *encode(np.zeros((1, 2))))).item()
    return difference > math.exp(evaluation.log_density_lipschitz(2, least, 0.0, 1.0, form="printed")) * h


def test_the_printed_constant_is_too_small_in_two_dimensions_below_a_scale_of_0_63():
    threshold = math.exp(1.5) / (2 * math.sqrt(4 * math.pi))
    assert threshold == pytest.approx(0.632, abs=1e-3)
    assert printed_is_violated(0.1)
    assert printed_is_violated(0.999 * threshold)
    assert not printed_is_violated(1.001 * threshold)
    assert not printed_is_violated(1.0)


@pytest.mark.parametrize("num_dims", [2, 3, 10])
def test_where_the_printed_constant_holds(num_dims):
    # Of both constants each coefficient must be at least the corrected one; that of the scale decides.
    threshold = (math.exp(1.5) / (2 * math.sqrt(2 * math.pi * num_dims))) ** (1 / (num_dims - 1))
    for least, holds in ((threshold * 0.999, False), (threshold * 1.001, True)):
        found = [
            evaluation.log_density_lipschitz(num_dims, least, *constants, form="printed")
            >= evaluation.log_density_lipschitz(num_dims, least, *constants)
            for constants in ((1.0, 0.0), (0.0, 1.0))
        ]
        assert found == [True, holds]


def test_it_is_finite_where_the_constant_is_not():
    corrected = evaluation.log_density_lipschitz(256, 0.0067, 10.0, 10.0)
    printed = evaluation.log_density_lipschitz(256, 0.0067, 10.0, 10.0, form="printed")
    # Decimal digits of the constants by hand: 256/2 log(2 pi) = 235.25, log(0.0067) = -5.0056.
    assert corrected == pytest.approx(math.log(10 * math.exp(-0.5) + 160) - 235.2482 + 257 * 5.0056477, abs=1e-2)
    assert printed == pytest.approx(math.log(256 * 10 * 1.0527909) - 234.3293 + 2 * 5.0056477, abs=1e-2)
    assert evaluation.log_density_lipschitz(3, 1.0, 0.0, 0.0) == -math.inf
    assert math.isfinite(evaluation.log_density_lipschitz(100_000, 1e-300, 1e-300))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"num_dims": 0}, "num_dims must be at least 1, got 0"),
        ({"min_scale": 0.0}, "min_scale must be positive and finite, got 0.0"),
        ({"min_scale": math.nan}, "min_scale must be positive and finite, got nan"),
        ({"mean_lipschitz": -1.0}, "mean_lipschitz must be at least 0 and finite, got -1.0"),
        ({"scale_lipschitz": math.inf}, "scale_lipschitz must be at least 0 and finite, got inf"),
        ({"form": "joint"}, "scale_lipschitz must be 0 for form='joint', got 1.0"),
        ({"form": "right"}, "form must be one of corrected, joint, printed, got 'right'"),
    ],
)
def test_arguments_are_checked(change, message):
    given = {"num_dims": 2, "min_scale": 0.1, "mean_lipschitz": 1.0, "scale_lipschitz": 1.0} | change
    with pytest.raises(ValueError, match=message):
        evaluation.log_density_lipschitz(**given)
