"""The estimators against SciPy, formulas, another program's values, and distributions of known entropy."""

import math

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from ib_jax import evaluation

ESTIMATORS = [evaluation.entropy_plug_in, evaluation.entropy_miller_madow, evaluation.entropy_jvhw]


def uniform(size):
    return np.full(size, 1 / size)


def zipf(size, exponent=1.0):
    weights = np.arange(1.0, size + 1) ** -exponent
    return weights / weights.sum()


def geometric(stop):
    """p(s) = stop (1 - stop)^s, cut where nothing is left; its entropy is that of a coin, over `stop`."""
    shares = stop * (1 - stop) ** np.arange(40 / stop)
    return shares / shares.sum()


def relative_errors(estimator, shares, num_samples, num_draws=20):
    truth = scipy.stats.entropy(shares)
    draws = np.random.default_rng(0).multinomial(num_samples, shares, size=num_draws)
    return np.array([estimator(counts) for counts in draws]) / truth - 1


def test_counts_of_symbols():
    np.testing.assert_array_equal(evaluation.count_symbols(jnp.array([3, 3, -2, 10**6, 3])), [1, 3, 1])


@pytest.mark.parametrize("size", [1, 2, 1000])
def test_plug_in_is_the_entropy_of_the_shares(size):
    counts = np.random.default_rng(size).integers(0, 50, size) + (np.arange(size) == 0)
    assert evaluation.entropy_plug_in(counts) == pytest.approx(scipy.stats.entropy(counts), abs=1e-12)
    shares = [count / counts.sum() for count in counts.tolist() if count]
    assert evaluation.entropy_plug_in(counts) == pytest.approx(-math.fsum(p * math.log(p) for p in shares), abs=1e-12)


def test_miller_madow_is_its_formula():
    """Three symbols of seven seen in ten samples: two over twenty more than the plug-in."""
    counts = [5, 0, 3, 0, 2, 0, 0]
    assert evaluation.entropy_miller_madow(counts) == pytest.approx(scipy.stats.entropy([5, 3, 2]) + 2 / 20, abs=1e-12)


@pytest.mark.parametrize(
    "counts, bits",
    [
        ([1], 0.7213475204444817),  # fewer samples than the order: plug-in and 1 / (2 n) for each symbol
        ([3, 1, 1], 1.8037591067213579),
        ([3, 2, 1, 1], 3.126015491355406),  # as many as the order
        ([40, 20, 10, 5, 3, 2, 2, 1, 1, 1], 2.349358893102381),  # fewer than 200
        ([1] * 60 + [2] * 30 + [3] * 10 + [49], 6.34433792697411),  # 199
        ([50, 30, 20, 2], 1.6238694677267786),  # no symbol that occurs once
        ([1] * 300 + [2] * 80 + [3] * 20 + [7] * 4 + [30], 9.636526453519636),  # the quadratic fit of the threshold
        ([1] * 20 + [2] * 15 + [3] * 10 + list(range(4, 60)), 5.890889326658405),  # the linear one
        ([1] * 250, 12.91970923622477),
        (
            [1] * 4000 + [2] * 2500 + [3] * 1500 + [5] * 700 + [9] * 300 + [14] * 100 + [60] * 40 + [3000],
            11.935240616467668,
        ),
    ],
)
def test_jvhw_agrees_with_the_authors_program(counts, bits):
    """The values are those of est_entro_JVHW.py, run once; its shipped coefficients are good for eight digits."""
    assert evaluation.nats_to_bits(evaluation.entropy_jvhw(counts)) == pytest.approx(bits, rel=1e-8)


def test_fewer_draws_than_symbols():
    """10,000 equally likely symbols, 2,500 draws: the plug-in is off by 17 %, JVHW by less than 2 % in 97 of 100."""
    errors = relative_errors(evaluation.entropy_jvhw, uniform(10_000), 2500, num_draws=100)
    assert abs(errors.mean()) < 0.004
    assert np.sqrt((errors**2).mean()) < 0.012
    assert (np.abs(errors) < 0.02).mean() >= 0.93
    assert (relative_errors(evaluation.entropy_plug_in, uniform(10_000), 2500) < -0.15).all()
    assert (relative_errors(evaluation.entropy_miller_madow, uniform(10_000), 2500) < -0.11).all()


@pytest.mark.parametrize(
    "shares, num_samples, worst",
    [
        (uniform(1000), 1000, 0.01),
        (uniform(100_000), 10_000, 0.01),
        (zipf(1000), 1000, 0.02),
        (zipf(10_000), 2500, 0.035),  # a long tail is the hard case: not within 2 %
        (zipf(10_000, 0.6), 2500, 0.02),
        (geometric(0.01), 500, 0.015),
        (geometric(0.001), 1000, 0.025),
    ],
)
def test_jvhw_is_nearest_where_symbols_are_many(shares, num_samples, worst):
    plug_in, miller_madow, jvhw = (
        abs(relative_errors(estimator, shares, num_samples).mean()) for estimator in ESTIMATORS
    )
    assert jvhw < worst
    assert 2 * jvhw < miller_madow < plug_in


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("shares", [uniform(8), zipf(20), geometric(0.3)])
def test_all_agree_with_the_truth_where_symbols_are_few(estimator, shares):
    assert abs(relative_errors(estimator, shares, 100_000).mean()) < 0.002


def test_entropy_of_the_geometric_distribution():
    """The truth itself in closed form: -(q log q + (1 - q) log(1 - q)) / q."""
    assert scipy.stats.entropy(geometric(0.01)) == pytest.approx(scipy.stats.entropy([0.01, 0.99]) / 0.01)


def test_nothing_but_single_samples():
    """Then an estimate is a function of n alone: log n, half a nat more, 3.7 nats more."""
    counts = np.ones(10_000, np.int32)
    excess = [estimator(counts) - math.log(10_000) for estimator in ESTIMATORS]
    np.testing.assert_allclose(excess, [0, 0.49995, 3.6696], atol=1e-4)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_estimates_ignore_order_and_zeros(estimator):
    counts = np.random.default_rng(0).poisson(1.5, 400)
    assert isinstance(estimator(counts), float)
    assert estimator(counts) == pytest.approx(estimator(np.sort(counts[counts > 0])[::-1]), rel=1e-12)
    assert estimator(jnp.asarray(counts)) == estimator(counts)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize(
    "counts, message",
    [
        ([], r"counts must be int \[S\] with S >= 1, got float64 \[0\]"),
        ([0.5, 0.5], r"counts must be int \[S\] with S >= 1, got float64 \[2\]"),
        ([[1, 2]], r"counts must be int \[S\] with S >= 1, got int64 \[1, 2\]"),
        ([0, 0], "counts must be >= 0 and not all zero, got values from 0 to 0"),
        ([3, -1], "counts must be >= 0 and not all zero, got values from -1 to 3"),
    ],
)
def test_errors(estimator, counts, message):
    with pytest.raises(ValueError, match=message):
        estimator(counts)


@pytest.mark.parametrize("symbols", [[], [0.5], [[1]]])
def test_symbols_that_are_none(symbols):
    with pytest.raises(ValueError, match=r"symbols must be int \[N\] with N >= 1"):
        evaluation.count_symbols(symbols)
