"""The finite form of Theorem 2: each of its two steps on samples of exact problems, and the whole of it."""

import numpy as np
import pytest

from ib_jax import evaluation, exact
from tests.exact.attacked import random_problem


def sampled(rng, joint, count):
    return rng.multinomial(count, joint.ravel()).reshape(joint.shape) / count


@pytest.mark.parametrize("delta", [0.5, 0.1])
def test_samples_deviate_by_more_than_said_no_more_often_than_said(delta):
    rng = np.random.default_rng(0)
    for p in ([1.0], [0.5, 0.5], [0.9, 0.1], np.full(100, 0.01)):
        found = np.linalg.norm(rng.multinomial(50, p, 4000) / 50 - p, axis=1)
        bound = evaluation.sampling_deviation(50, delta)
        assert (found > bound).mean() <= delta
    coin = np.linalg.norm(rng.multinomial(50, [0.5, 0.5], 4000) / 50 - 0.5, axis=1)
    assert np.quantile(coin, 0.9) > bound / 3  # and it is of the right size


@pytest.mark.parametrize("seed", range(40))
def test_information_on_a_sample_is_as_near_as_said_for_the_deviation_that_there_was(seed):
    rng = np.random.default_rng(seed)
    _, joint, encoder, _ = random_problem(seed, codes=3, labels=3)
    for count in (30, 3000, 10**6):
        empirical = sampled(rng, joint, count)
        moved = empirical - joint
        deviation = max(np.linalg.norm(moved), np.linalg.norm(moved.sum(0)), np.linalg.norm(moved.sum(1)))
        there, here = (exact.table_information(table, encoder) for table in (joint, empirical))
        sizes = {"least_probability": joint.sum(1)[joint.sum(1) > 0].min(), "num_codes": 3, "num_classes": 3}
        bound = evaluation.sampling_error(max(0.0, float(there.information_xz)), deviation, **sizes)
        assert abs(float(here.information_zy) - float(there.information_zy)) <= bound + 1e-12


def test_the_bound_falls_with_the_sample_to_nothing_and_is_never_above_what_psi_allows():
    sizes = {"least_probability": 0.1, "num_codes": 4, "num_classes": 2}
    deviations = [evaluation.sampling_deviation(10**power, 0.01) for power in range(12)]
    bounds = [evaluation.sampling_error(0.5, deviation, **sizes) for deviation in deviations]
    assert np.all(np.diff(bounds) <= 0)
    assert bounds[0] <= (4 + 8 + 2) / np.e
    assert bounds[-1] < 0.01
    assert evaluation.sampling_error(0.5, 0.0, **sizes) == 0.0
    assert evaluation.sampling_error(0.0, 0.1, **sizes) < evaluation.sampling_error(0.1, 0.1, **sizes)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"information_xz": -1.0}, "information_xz and deviation must be >= 0, got -1.0 and 0.1"),
        ({"deviation": float("nan")}, "got 0.5 and nan"),
        ({"least_probability": 0.0}, r"least_probability must be in \(0, 1\], got 0.0"),
        ({"num_codes": 0}, "num_codes and num_classes must be at least 1, got 0 and 2"),
    ],
)
def test_bad_arguments_are_refused(change, message):
    sizes = {"information_xz": 0.5, "deviation": 0.1, "least_probability": 0.1, "num_codes": 3, "num_classes": 2}
    with pytest.raises(ValueError, match=message):
        evaluation.sampling_error(**sizes | change)
    with pytest.raises(ValueError, match="num_samples must be at least 1, got 0"):
        evaluation.sampling_deviation(0, 0.1)
    with pytest.raises(ValueError, match=r"delta must be in \(0, 1\), got 1.0"):
        evaluation.sampling_deviation(5, 1.0)
