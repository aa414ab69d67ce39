"""The polynomial against the theorem that characterises it and linear programming; its estimate against sums."""

import decimal
import math

import numpy as np
import pytest
import scipy.optimize
import scipy.special
import scipy.stats
from numpy.polynomial import chebyshev

from ib_jax.evaluation.entropy_polynomial import best_approximation, entropy_polynomial, unbiased_polynomial


def exact_errors(coefficients, points):
    """-x log x minus the polynomial in 28 digits: in 16 its own rounding would be the largest part of order 22."""
    errors = []
    for point in map(decimal.Decimal, points.tolist()):
        value = decimal.Decimal(0)
        for coefficient in reversed(coefficients.tolist()):
            value = value * point + decimal.Decimal(coefficient)
        errors.append(float(-point * point.ln() - value if point else -value))
    return np.array(errors)


POINTS = np.sin(np.linspace(0, np.pi / 2, 3001)) ** 2
ORDERS = [1, 2, 5, 11, 14, 18, 22]


@pytest.mark.parametrize("order", ORDERS)
def test_errors_are_level_and_alternate(order):
    """Chebyshev: a polynomial is the best one if and only if its error has K + 2 equal extrema of alternating sign."""
    best = best_approximation(order)
    assert best.coef.shape == (order + 1,)
    errors = scipy.special.entr(POINTS) - best(POINTS)
    level = -errors[0]
    assert (np.abs(errors) <= level * (1 + 1e-6)).all()
    near = np.abs(errors) >= 0.998 * level  # the grid is not fine enough to meet each extremum itself
    assert 1 + np.count_nonzero(np.diff(np.sign(errors[near]))) == order + 2


@pytest.mark.parametrize("order", ORDERS)
def test_powers_differ_from_it_by_their_rounding(order):
    coefficients = entropy_polynomial(order)
    assert coefficients.shape == (order + 1,)
    best = scipy.special.entr(POINTS) - best_approximation(order)(POINTS)
    rounding = 2.0**-53 * (np.abs(coefficients) * POINTS[:, None] ** np.arange(order + 1)).sum(1)
    assert (np.abs(exact_errors(coefficients, POINTS) - best) <= rounding + 1e-15).all()
    assert coefficients[0] == pytest.approx(-best[0], rel=1e-9)
    assert rounding[POINTS <= 0.5].max() <= 2e-7


def test_order_one_in_closed_form():
    """The best line is the constant 1 / (2 e): the errors are -1/(2e) at 0 and 1, and 1/e - 1/(2e) at 1/e."""
    np.testing.assert_allclose(entropy_polynomial(1), [1 / (2 * math.e), 0], atol=1e-9)


@pytest.mark.parametrize("order", [3, 8])
def test_linear_program_finds_the_same_error(order):
    """min e such that |f(x) - P(x)| <= e on a grid: at most the true one, and near it."""
    nodes = np.cos(np.linspace(np.pi, 0, 501))
    points = (1 + nodes) / 2
    target = -np.where(points > 0, points * np.log(np.where(points > 0, points, 1)), 0)
    basis, ones = chebyshev.chebvander(nodes, order), np.ones((len(nodes), 1))
    program = scipy.optimize.linprog(
        np.append(np.zeros(order + 1), 1),
        A_ub=np.block([[basis, -ones], [-basis, -ones]]),
        b_ub=np.concatenate([target, -target]),
        bounds=(None, None),
    )
    assert program.fun <= entropy_polynomial(order)[0] * (1 + 1e-6)
    assert program.fun == pytest.approx(entropy_polynomial(order)[0], rel=1e-3)


def test_coefficients_are_computed_once_and_safe():
    assert entropy_polynomial(4) is entropy_polynomial(4)
    with pytest.raises(ValueError, match="read-only"):
        entropy_polynomial(4)[0] = 0


@pytest.mark.parametrize("p", [0.0, 0.01, 0.2, 0.35])
@pytest.mark.parametrize("scale", [0.35, 1.0])
def test_estimate_is_unbiased(p, scale):
    """The binomial sum of the estimates of all n + 1 counts, weighted by their probabilities, is the polynomial."""
    coefficients, counts = np.array([0.3, -1.0, 2.0, 0.5, -4.0, 3.0]), np.arange(26)
    estimates = unbiased_polynomial(coefficients, counts, 25, scale)
    expected = sum(coefficient * (p / scale) ** power for power, coefficient in enumerate(coefficients))
    assert scipy.stats.binom.pmf(counts, 25, p) @ estimates == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("power", range(6))
def test_powers_by_counting(power):
    """p^k is estimated by the share of ordered choices of k distinct samples that are all of the symbol."""
    estimates = unbiased_polynomial(np.eye(6)[power], np.arange(8), 7, 1.0)
    np.testing.assert_allclose(estimates, [math.perm(count, power) / math.perm(7, power) for count in range(8)])


def test_all_samples_may_be_needed():
    """n = K is the fewest: then p^K is estimated by whether all samples are of the symbol."""
    np.testing.assert_allclose(unbiased_polynomial(np.eye(3)[2], np.arange(3), 2, 1.0), [0, 0, 1])
    with pytest.raises(ValueError, match="num_samples must be at least the order of the polynomial, 2, got 1"):
        unbiased_polynomial(np.eye(3)[2], np.arange(2), 1, 1.0)


@pytest.mark.parametrize("order", [0, 23])
def test_orders_out_of_range(order):
    with pytest.raises(ValueError, match=f"order must be from 1 to 22, got {order}"):
        entropy_polynomial(order)
