"""The bootstrap against SciPy's, against resampled symbols, and its coverage."""

import numpy as np
import pytest
import scipy.stats

from ib_jax import evaluation

ESTIMATORS = [evaluation.entropy_plug_in, evaluation.entropy_miller_madow, evaluation.entropy_jvhw]
ZIPF = 1 / np.arange(1.0, 21) / (1 / np.arange(1.0, 21)).sum()
COUNTS = np.random.default_rng(0).multinomial(100, ZIPF)


def test_of_the_plug_in_it_is_scipys_basic_interval():
    """Each end has a sampling error of about 0.002 at 5,000 resamples."""
    symbols = np.repeat(np.arange(20), COUNTS)
    theirs = scipy.stats.bootstrap(
        (symbols,),
        lambda resample: evaluation.entropy_plug_in(np.bincount(resample)),
        method="basic",
        n_resamples=5000,
        confidence_level=0.9,
        vectorized=False,
        rng=1,
    ).confidence_interval
    ours = evaluation.bootstrap_entropy(COUNTS, evaluation.entropy_plug_in, num_resamples=5000, confidence=0.9)
    assert ours.estimate == evaluation.entropy_plug_in(COUNTS)
    np.testing.assert_allclose([ours.low, ours.high], [theirs.low, theirs.high], atol=0.01)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_errors_are_those_in_the_world_of_the_shares(estimator):
    """Resampled symbol by symbol; the truth of that world is the entropy of the shares, not the estimate."""
    rng, symbols = np.random.default_rng(2), np.repeat(np.arange(20), COUNTS)
    resamples = [evaluation.count_symbols(rng.choice(symbols, 100)) for _ in range(4000)]
    errors = np.array([estimator(counts) for counts in resamples]) - scipy.stats.entropy(COUNTS)
    high, low = estimator(COUNTS) - np.quantile(errors, [0.025, 0.975])[[0, 1]]
    ours = evaluation.bootstrap_entropy(COUNTS, estimator, num_resamples=4000, seed=3)
    np.testing.assert_allclose(ours, [estimator(COUNTS), low, high], atol=0.015)


def coverage(estimator, shares, num_samples, num_trials, num_resamples):
    truth, rng = scipy.stats.entropy(shares), np.random.default_rng(1)
    held = 0
    for trial in range(num_trials):
        counts = rng.multinomial(num_samples, shares)
        interval = evaluation.bootstrap_entropy(counts, estimator, num_resamples=num_resamples, seed=trial)
        held += interval.low <= truth <= interval.high
    return held / num_trials


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_coverage_in_brief(estimator):
    """Of 60 intervals at 95 % that many are expected to hold: 57, with a standard deviation of 1.7."""
    assert coverage(estimator, ZIPF, 500, 60, 100) >= 0.85


@pytest.mark.slow
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_coverage_with_many_samples(estimator):
    assert 0.93 <= coverage(estimator, ZIPF, 500, 600, 400) <= 0.985


@pytest.mark.slow
def test_coverage_with_few_samples_is_what_is_stated():
    """A symbol never seen is in no resample: as the docstring's table has it."""
    shares = 1 / np.arange(1.0, 1001) / (1 / np.arange(1.0, 1001)).sum()
    plug_in, miller_madow, jvhw = (coverage(estimator, shares, 1000, 200, 200) for estimator in ESTIMATORS)
    assert plug_in < 0.1
    assert 0.05 < miller_madow < 0.3
    assert 0.65 < jvhw < 0.9


def test_seeds_and_widths():
    draw = lambda **options: evaluation.bootstrap_entropy(COUNTS, evaluation.entropy_jvhw, num_resamples=200, **options)
    assert draw(seed=5) == draw(seed=5) != draw(seed=6)
    wide, narrow = draw(confidence=0.99), draw(confidence=0.5)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_no_entropy_is_negative():
    interval = evaluation.bootstrap_entropy([1, 99], evaluation.entropy_plug_in, num_resamples=100)
    assert interval.low == 0
    assert interval.high > interval.estimate > 0
    assert evaluation.bootstrap_entropy([7], evaluation.entropy_plug_in, num_resamples=3) == (0, 0, 0)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"num_resamples": 0}, "num_resamples must be at least 1, got 0"),
        ({"confidence": 1.0}, r"confidence must be in \(0, 1\), got 1.0"),
        ({"confidence": 95}, r"confidence must be in \(0, 1\), got 95"),
        ({"counts": [0]}, "counts must be >= 0 and not all zero"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        evaluation.bootstrap_entropy(**{"counts": [1, 2], "estimator": evaluation.entropy_plug_in} | options)
