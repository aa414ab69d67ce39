"""The rule by which a statement is confirmed, and the correction for many tests."""

import math

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from experiments.core.claims import Claim, correlate, holm, rank_sum, verdicts


def verdict(*claims):
    return [each.verdict for each in verdicts(claims)]


@pytest.mark.parametrize(
    "larger, smaller, paper, expected",
    [
        ([3, 4, 5], [1, 1, 1], None, "confirmed"),
        ([3, 4, 5], [1, 1, 1], 5.9, "confirmed"),  # half of it is below 3
        ([3, 4, 5], [1, 1, 1], 6.1, "weaker"),
        ([3, 4, 0.5], [1, 1, 1], None, "weaker"),
        ([1, 1, 1], [1, 1, 1], None, "not found"),
        ([0, 1, 1], [1, 1, 1], 3.0, "not found"),
        ([float("nan")] * 3, [1, 1, 1], None, "not found"),
        ([], [], None, "not found"),
        ([2.0], [1.0], None, "confirmed"),
    ],
)
def test_a_statement_is_confirmed_by_every_seed_and_half_the_papers_difference(larger, smaller, paper, expected):
    assert verdict(Claim("", larger, smaller, paper)) == [expected]


def test_more_than_a_least_difference_may_be_asked_for():
    assert verdict(Claim("", [2.0], [1.0], least=1.0), Claim("", [2.1], [1.0], least=1.0)) == ["not found", "confirmed"]


def test_seeds_are_paired_by_number_and_those_of_one_side_left_out():
    claim = Claim("", pd.Series({0: 3.0, 1: 5.0, 2: 9.0}), pd.Series({1: 1.0, 0: 2.0}))
    assert claim.differences.tolist() == [1.0, 4.0]
    assert claim.count == 2


def test_holm_by_hand():
    # In order 0.005, 0.01, 0.03, 0.04: times 4, 3, 2, 1 is 0.02, 0.03, 0.06, 0.04; none below the one before it.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_a_test_that_could_not_be_made_does_not_count():
    corrected = holm([0.02, float("nan"), 0.04])
    assert corrected[0] == corrected[2] == 0.04
    assert math.isnan(corrected[1])


def test_a_test_stands_in_for_every_seed_and_is_corrected():
    alone = Claim("", [1.0, 1.0, -0.5], p_value=0.03)
    assert verdict(alone) == ["confirmed"]
    assert verdict(alone, Claim("", [1.0], p_value=0.2)) == ["weaker", "not found"]  # 0.06 after Holm, and 0.2 alone
    assert verdict(Claim("", [-1.0], p_value=0.001)) == ["not found"]
    assert verdict(Claim("", [1.0], p_value=float("nan"))) == ["not found"]
    assert verdict(Claim("", [1.0], paper=4.0, p_value=0.001)) == ["weaker"]


def test_correlation_given_groups_is_that_of_a_regression_on_them():
    rng = np.random.default_rng(4)
    groups = np.repeat([0, 1, 2], 8)
    x = rng.normal(size=24) + 5 * groups
    y = 0.5 * x - 7 * groups + rng.normal(size=24)
    found = correlate(x, y, given=groups)
    # The p-value of x's coefficient in a least-squares fit with an intercept for each group.
    design = np.column_stack([x, *(groups == group for group in range(3))]).astype(float)
    fit, residual, *_ = np.linalg.lstsq(design, y, rcond=None)
    error = np.sqrt(residual[0] / 20 * np.linalg.inv(design.T @ design)[0, 0])
    assert found.p_value == pytest.approx(2 * scipy.stats.t.sf(abs(fit[0] / error), 20), rel=1e-6)
    assert found.coefficient > 0 > correlate(x, y).coefficient
    assert np.isnan(correlate(x, np.repeat([1.0, 2.0, 3.0], 8), given=groups).coefficient)


def test_correlations_are_scipys_and_none_of_what_does_not_vary():
    x, y = [1.0, 2.0, 5.0, 4.0], [2.0, 1.0, 4.0, 9.0]
    assert correlate(x, y) == pytest.approx(tuple(scipy.stats.pearsonr(x, y)))
    assert correlate(x, y, rank=True) == pytest.approx(tuple(scipy.stats.spearmanr(x, y)))
    for left, right in [([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]), ([1.0, 2.0], [1.0, 2.0])]:
        assert np.isnan(correlate(left, right)).all()


def test_the_rank_sum_test_of_five_runs_against_five_and_of_too_few():
    # the rank sum of the lower five is 15, of mean 27.5 and variance 5 * 5 * 11 / 12
    expected = math.erfc((27.5 - 15) / math.sqrt(275 / 12) / math.sqrt(2))
    assert rank_sum([6, 7, 8, 9, 10], [1, 2, 3, 4, 5]) == pytest.approx(expected)
    assert math.isnan(rank_sum([1.0], [2.0]))
