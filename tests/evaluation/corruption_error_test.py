import pytest

from ib_jax import evaluation
from ib_jax.corruptions import CORRUPTIONS

TWO = {"fog": [0.1, 0.2, 0.3, 0.4, 0.5], "snow": [0.2, 0.2, 0.4, 0.6, 0.6]}


def test_two_corruptions_by_hand():
    """(0.3 + 0.4) / 2 = 0.35; (0.3 / 0.6 + 0.4 / 0.5) / 2 = 0.65."""
    assert evaluation.average_corruption_error(TWO) == pytest.approx(0.35)
    assert evaluation.mean_corruption_error(TWO, {"snow": 0.5, "fog": 0.6}) == pytest.approx(0.65)


def test_alexnet_has_an_mce_of_one():
    errors = {name: [error] * 5 for name, error in evaluation.ALEXNET_ERRORS.items()}
    assert evaluation.mean_corruption_error(errors) == pytest.approx(1)
    assert tuple(errors) == CORRUPTIONS


@pytest.mark.parametrize(
    "errors, baseline, message",
    [
        ({"fog": TWO["fog"]}, {"fog": 0.6, "snow": 0.5}, "missing: snow; unknown: none"),
        (TWO, {"fog": 0.6}, "missing: none; unknown: snow"),
        ({"fog": [0.1] * 4}, {"fog": 0.6}, r"errors must be 5 for each corruption, got shape \(4,\) for fog"),
        ({"fog": [10.0] * 5}, {"fog": 0.6}, "errors must be shares between 0 and 1, not per cent"),
        ({"fog": [0.1] * 5}, {"fog": 60.0}, "baseline must hold shares above 0 and at most 1, got 60.0 for fog"),
        ({"fog": [float("nan")] * 5}, {"fog": 0.6}, "errors must be shares"),
        ({}, {}, "errors must hold exactly"),
    ],
)
def test_errors(errors, baseline, message):
    with pytest.raises(ValueError, match=message):
        evaluation.mean_corruption_error(errors, baseline)


def test_average_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one corruption"):
        evaluation.average_corruption_error({})
