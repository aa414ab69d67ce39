"""The best polynomial approximation of -x log x, computed, and its unbiased estimate from counts."""

import functools
from fractions import Fraction
from typing import cast

import numpy as np
import scipy
from numpy.polynomial import Chebyshev, Polynomial, chebyshev, polynomial

MAX_ORDER = 22
"""The largest order whose powers float64 can still tell apart: the coefficients alternate in sign and reach 4e12."""

_NUM_CELLS = 2**16  # of the grid in the angle; it leaves the error of order 22 within 1e-6 of the smallest, relatively


def best_approximation(order: int) -> Chebyshev:
    r"""The polynomial nearest to -x log x on [0, 1] in the largest error, by Remez's exchange.

    .. math:: \min_{g_0, \dots, g_K} \max_{x \in [0, 1]} \Big| -x \log x - \sum_{k=0}^K g_k x^k \Big| = g_0

    The error takes its largest size K + 2 times with alternating signs, first at x = 0, so that the constant term is
    that size. It falls as 0.227 / K^2.

    The exchange runs in Chebyshev polynomials, well conditioned, on a grid that is even in the angle. Whatever the
    reference, the error has K + 1 changes of sign and no more, because the derivatives of -x log x from the second on
    keep their sign; so each exchange finds exactly one extremum for each place.

    Args:
      order: K, at least 1.

    Returns:
      The polynomial in Chebyshev's form on [0, 1], K + 1 coefficients.

    Source: Powell, Approximation Theory and Methods, 1981, chapter 8.

    Example:
      >>> from ib_jax.evaluation.entropy_polynomial import best_approximation
      >>> print(best_approximation(1)([0.0, 1.0]).round(4))  # the constant 1 / (2 e)
      [0.1839 0.1839]
    """
    angles = np.linspace(np.pi, 0.0, _NUM_CELLS + 1)
    nodes = np.cos(angles)
    targets = scipy.special.entr(np.cos(angles / 2) ** 2)  # x = (1 + node) / 2, exact near 0 in this form
    signs = (-1.0) ** np.arange(order + 2)
    reference = np.linspace(0, _NUM_CELLS, order + 2).round().astype(int)
    for _ in range(20):  # five are enough for any order
        system = np.column_stack([chebyshev.chebvander(nodes[reference], order), signs])
        *coefficients, level = np.linalg.solve(system, targets[reference])
        errors = targets - chebyshev.chebval(nodes, coefficients)
        if np.abs(errors).max() <= abs(level) * (1 + 1e-9):
            return Chebyshev(coefficients, domain=[0.0, 1.0])
        starts = np.flatnonzero(np.diff(np.signbit(errors), prepend=not np.signbit(errors[0])))
        pieces = np.split(np.abs(errors), starts[1:])
        reference = np.array([start + piece.argmax() for start, piece in zip(starts, pieces, strict=True)])
    raise RuntimeError(f"the exchange of order {order} did not settle")


@functools.cache
def entropy_polynomial(order: int) -> np.ndarray:
    r"""The powers' coefficients of `best_approximation`, g_0 to g_K.

    They alternate in sign and grow with the order, so rounding them changes the polynomial near x = 1, by at most
    2^-53 sum_k |g_k|: 3e-6 at order 18, but 2e-3 at order 22, over four times g_0, and how much of it differs with the
    machine's linear algebra. Below x = 1/2, where `entropy_jvhw` uses the polynomial unblended, it is 2e-7 at most.

    Args:
      order: K, from 1 to 22.

    Returns:
      float64 [K + 1]; computed once for each order, and read-only.

    Raises:
      ValueError: `order` is not in 1 to 22.

    Source: Jiao, Venkat, Han, Weissman, Minimax estimation of functionals of discrete distributions, IEEE Transactions
      on Information Theory 61(5), 2015.

    Example:
      >>> from ib_jax.evaluation.entropy_polynomial import entropy_polynomial
      >>> print(entropy_polynomial(2).round(4))
      [ 0.0528  1.427  -1.5326]
    """
    if not 1 <= order <= MAX_ORDER:
        raise ValueError(f"order must be from 1 to {MAX_ORDER}, got {order}")
    # In fractions, so that each coefficient is rounded once, at the end.
    fractions = np.array([Fraction(float(coefficient)) for coefficient in best_approximation(order).coef])
    node = Polynomial(np.array([Fraction(-1), Fraction(2)]))  # 2 x - 1
    shifted = cast(Polynomial, polynomial.polyval(node, chebyshev.cheb2poly(fractions)))
    powers = shifted.coef.astype(float)
    powers.setflags(write=False)
    return powers


def unbiased_polynomial(coefficients: np.ndarray, counts: np.ndarray, num_samples: int, scale: float) -> np.ndarray:
    r"""The unbiased estimate of a polynomial in p / scale from a binomial count.

    .. math:: \hat P(j) = \sum_{k=0}^K g_k \prod_{i=0}^{k-1} \frac{j - i}{s\,(n - i)}, \qquad
              \mathrm{E}\,\hat P(j) = \sum_{k=0}^K g_k (p / s)^k \quad \text{for } j \sim \mathrm{Binomial}(n, p)

    because the factorial moment E[j (j - 1) ... (j - k + 1)] is n (n - 1) ... (n - k + 1) p^k.

    Args:
      coefficients: float64 [K + 1], g_0 to g_K.
      counts: int [M], j, each from 0 to n.
      num_samples: n, at least K.
      scale: s, > 0.

    Returns:
      float64 [M].

    Raises:
      ValueError: `num_samples` is less than K: with fewer samples no estimate of p^K is unbiased.

    Example:
      >>> import numpy as np
      >>> from ib_jax.evaluation.entropy_polynomial import unbiased_polynomial
      >>> unbiased_polynomial(np.array([0.0, 0.0, 1.0]), np.array([1, 2, 5]), 5, 1.0)  # p^2: j (j - 1) / (5 * 4)
      array([0. , 0.1, 1. ])
    """
    order = len(coefficients) - 1
    if num_samples < order:
        raise ValueError(f"num_samples must be at least the order of the polynomial, {order}, got {num_samples}")
    fewer = np.arange(order)
    factors = (np.asarray(counts, np.float64)[:, None] - fewer) / (scale * (num_samples - fewer))
    return coefficients[0] + np.cumprod(factors, axis=1) @ coefficients[1:]
