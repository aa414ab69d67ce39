"""The rule by which a statement is confirmed."""

import pytest

from experiments.core.claims import Claim, render, spread


@pytest.mark.parametrize(
    "larger, smaller, paper, verdict",
    [
        ([3, 4, 5], [1, 1, 1], None, "confirmed"),
        ([3, 4, 5], [1, 1, 1], 5.9, "confirmed"),  # half of it is below 3
        ([3, 4, 5], [1, 1, 1], 6.1, "weaker"),
        ([3, 4, 0.5], [1, 1, 1], None, "weaker"),
        ([1, 1, 1], [1, 1, 1], None, "not found"),
        ([0, 1, 1], [1, 1, 1], 3.0, "not found"),
        ([float("nan")] * 3, [1, 1, 1], None, "not found"),
    ],
)
def test_a_statement_is_confirmed_by_every_seed_and_half_the_papers_difference(larger, smaller, paper, verdict):
    assert Claim("", larger, smaller, paper).verdict == verdict


def test_more_than_a_least_difference_may_be_asked_for():
    assert Claim("", [2.0], [1.0], least=1.0).verdict == "not found"
    assert Claim("", [2.1], [1.0], least=1.0).verdict == "confirmed"


def test_the_table_shows_difference_spread_paper_and_verdict():
    lines = render([Claim("a above b", [3.0, 5.0], [1.0, 1.0], 4.0)])
    assert lines[2] == "| a above b | 3.0 ± 1.4 | 4.0 | **confirmed** |"
    assert "half of the paper's difference" in lines[-1]


def test_what_is_missing_is_a_dash():
    assert spread([]) == spread([1.0, float("nan")]) == "-"
