"""The distance from an input to the nearest one that a linear classifier and a linear oracle label differently."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_ROUNDING = 1e-10  # directions and thresholds closer than this count as equal


class LinearClassifier(NamedTuple):
    r"""A linear classifier: label 1 where :math:`w^\top x > b`, label 0 elsewhere.

    Attributes:
      weights: w, float [D].
      threshold: b, float.
    """

    weights: np.ndarray
    threshold: float

    def predict(self, points: npt.ArrayLike) -> np.ndarray:
        """Labels int [N] of points float [N, D]."""
        return (np.asarray(points, np.float64) @ self.weights > self.threshold).astype(int)


def boundary_distance(classifier: LinearClassifier, points: npt.ArrayLike) -> np.ndarray:
    r"""Euclidean distance to the boundary of a linear classifier.

    .. math:: |w^\top x - b| / \|w\|_2

    Args:
      classifier: (w, b).
      points: float [N, D].

    Returns:
      float64 [N], in units of the input; infinite where w = 0 and there is no boundary.

    Example:
      >>> from ib_jax import exact
      >>> exact.boundary_distance(exact.LinearClassifier([3.0, 4.0], 5.0), [[0.0, 0.0], [3.0, 4.0]])
      array([1., 4.])
    """
    weights, length = np.asarray(classifier.weights, np.float64), np.linalg.norm(classifier.weights)
    gaps = np.abs(np.asarray(points, np.float64) @ weights - classifier.threshold)
    return gaps / length if length > 0 else np.full(gaps.shape, np.inf)


def adversarial_distance(classifier: LinearClassifier, oracle: LinearClassifier, points: npt.ArrayLike) -> np.ndarray:
    r"""The smallest :math:`\epsilon` at which each point has an adversarial example with respect to an oracle.

    .. math:: \epsilon(x) = \inf \{ \|x - x'\|_2 : f(x') \ne o(x') \}

    The distance is zero where :math:`f(x) \ne o(x)`; elsewhere it is the distance to the nearer of the two boundaries,
    since f and o differ beyond either. It is infinite for the oracle itself, which has no adversarial example. The
    share of points with an adversarial example at :math:`\epsilon` is the mean of `distance <= epsilon`, and the
    :math:`\epsilon` for a given share is a quantile of the distances. The definition ignores how likely :math:`x'` is:
    a classifier arbitrarily close to the oracle is as bad as any other for a point near both boundaries. Only the share
    at :math:`\epsilon = 0`, `TwoGaussians.disagreement`, tends to 0 with the difference.

    Args:
      classifier: f.
      oracle: o; both with weights of shape [D]. Weights of zero make a constant classifier.
      points: x, float [N, D].

    Returns:
      float64 [N], in units of the input.

    Raises:
      ValueError: the shapes do not fit.

    Source: Definition 1 of the paper, after Jacobsen et al., Excessive Invariance Causes Adversarial
      Vulnerability, 2018.

    Example:
      >>> from ib_jax import exact
      >>> oracle, learned = exact.LinearClassifier([1.0, 0.0], 0.0), exact.LinearClassifier([1.0, 0.0], 0.5)
      >>> exact.adversarial_distance(learned, oracle, [[-2.0, 0.0], [0.2, 1.0], [1.5, 0.0]])
      array([2., 0., 1.])
      >>> exact.adversarial_distance(oracle, oracle, [[-2.0, 0.0]])
      array([inf])
    """
    inputs = np.asarray(points, np.float64)
    for name, rule in (("classifier", classifier), ("oracle", oracle)):
        if inputs.ndim != 2 or np.shape(rule.weights) != inputs.shape[1:]:
            shapes = f"{inputs.shape} and {np.shape(rule.weights)}"
            raise ValueError(f"points must be [N, D] and {name}.weights [D], got {shapes}")
    if _is_same(classifier, oracle):
        return np.full(len(inputs), np.inf)
    # Where they agree, x lies in an intersection of half-spaces; the segment to the nearest face stays inside it.
    agree = np.minimum(boundary_distance(classifier, inputs), boundary_distance(oracle, inputs))
    return np.where(classifier.predict(inputs) == oracle.predict(inputs), agree, 0.0)


def is_parallel(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two vectors that are not zero lie on one line, up to rounding."""
    one, other = first / np.linalg.norm(first), second / np.linalg.norm(second)
    return bool(np.linalg.norm(one - (one @ other) * other) < _ROUNDING)


def _is_same(one: LinearClassifier, other: LinearClassifier) -> bool:
    """Whether two classifiers differ only by a positive factor, up to rounding, and so label all inputs alike."""
    first, second = np.asarray(one.weights, np.float64), np.asarray(other.weights, np.float64)
    if not first.any() or not second.any() or not is_parallel(first, second) or first @ second < 0:
        return False
    cuts = one.threshold / np.linalg.norm(first), other.threshold / np.linalg.norm(second)
    return bool(abs(cuts[0] - cuts[1]) <= _ROUNDING * max(1.0, *np.abs(cuts)))
