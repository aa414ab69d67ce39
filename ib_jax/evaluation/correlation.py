"""Linear correlation of two measured quantities."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import scipy


class Correlation(NamedTuple):
    """A correlation coefficient, and how much to trust it.

    Attributes:
      coefficient: Pearson's r, in [-1, 1].
      p_value: probability of an :math:`|r|` at least as large for independent normal variables (two-sided).
      lower: where the confidence interval begins.
      upper: where it ends.
    """

    coefficient: float
    p_value: float
    lower: float
    upper: float


def pearson(x: npt.ArrayLike, y: npt.ArrayLike, confidence: float = 0.95) -> Correlation:
    """Pearson's correlation coefficient, by SciPy, with its p-value and a confidence interval (Fisher's transform).

    The p-value and the interval take the n pairs for independent draws. Pairs of models that share one, a seed or an
    encoder, are not, and for them both look surer than they are.

    Args:
      x: float [n], n >= 3, finite and not all equal.
      y: float [n], likewise.
      confidence: of the interval, in (0, 1).

    Returns:
      Correlation; with n = 3 the interval is [-1, 1].

    Raises:
      ValueError: shapes differ or are not [n] with n >= 3, a value is not finite, all values are equal, or `confidence`
        is out of its range.

    Source: Improving Adversarial Robustness: An Information-Theoretic Perspective, section 6, transferability.

    Example:
      >>> from ib_jax import evaluation
      >>> found = evaluation.pearson([1.0, 2.0, 3.0, 4.0], [1.0, 3.0, 2.0, 4.0])
      >>> print(f"{found.coefficient:.2f} {found.p_value:.2f}")
      0.80 0.20
    """
    first, second = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if first.ndim != 1 or first.shape != second.shape or len(first) < 3:
        raise ValueError(f"x and y must both have shape [n] with n >= 3, got {first.shape} and {second.shape}")
    for name, values in (("x", first), ("y", second)):
        if not np.isfinite(values).all():
            raise ValueError(f"{name} must be finite, got {values[~np.isfinite(values)][0]}")
        if (values == values[0]).all():
            raise ValueError(f"{name} must vary, got {len(values)} times {values[0]}, which correlates with nothing")
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must be in (0, 1), got {confidence}")
    result = scipy.stats.pearsonr(first, second)
    interval = result.confidence_interval(confidence)
    return Correlation(float(result.statistic), float(result.pvalue), float(interval.low), float(interval.high))
