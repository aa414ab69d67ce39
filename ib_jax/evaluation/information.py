"""Information quantities of data, and their units."""

import math

import numpy as np

from ib_jax.types import Array


def nats_to_bits(nats: float | Array) -> float | Array:
    """Nats to bits: divides by log 2.

    Example:
      >>> import math
      >>> from ib_jax import evaluation
      >>> evaluation.nats_to_bits(math.log(8.0))
      3.0
    """
    return nats / math.log(2.0)


def label_probabilities(labels: Array | np.ndarray, num_classes: int) -> np.ndarray:
    """The shares of the classes among the labels, p(y).

    Args:
      labels: int [N], N >= 1, in [0, C); or one-hot or soft, float [N, C], whose rows sum to one.
      num_classes: C.

    Returns:
      float64 [C], sums to one.

    Raises:
      ValueError: there are no labels, one is out of range, or a row does not sum to one.

    Example:
      >>> import numpy as np
      >>> from ib_jax import evaluation
      >>> evaluation.label_probabilities(np.array([0, 1, 0, 0]), 2)
      array([0.75, 0.25])
    """
    values = np.asarray(labels)
    if values.size == 0:
        raise ValueError("labels must hold at least one label, got none")
    if not np.issubdtype(values.dtype, np.integer):
        if values.ndim != 2 or values.shape[1] != num_classes or not np.allclose(values.sum(1), 1.0, atol=1e-3):
            raise ValueError(
                f"soft labels must have shape [N, {num_classes}] and rows that sum to 1, got shape {values.shape}"
            )
        return values.mean(0, dtype=np.float64)
    if values.min() < 0 or values.max() >= num_classes:
        raise ValueError(f"labels must be in [0, {num_classes}), got values from {values.min()} to {values.max()}")
    return np.bincount(values, minlength=num_classes) / values.size


def label_entropy(labels: Array | np.ndarray, num_classes: int) -> float:
    r"""Entropy :math:`H(Y)` of the empirical distribution of the labels, in nats.

    With the cross-entropy over the same examples it gives :math:`I(Z;Y) \ge H(Y) - E[-\log q(y|z)]` for their
    distribution.

    Args:
      labels: int [N], N >= 1, in [0, C); or one-hot or soft, float [N, C].
      num_classes: C.

    Returns:
      H(Y) in nats, at most log C.

    Raises:
      ValueError: there are no labels, one is out of range, or a row does not sum to one.

    Example:
      >>> import numpy as np
      >>> from ib_jax import evaluation
      >>> print(f"{evaluation.label_entropy(np.array([0, 1, 0, 1]), 2):.4f}")
      0.6931
    """
    shares = label_probabilities(labels, num_classes)
    return float(-np.sum(shares * np.log(np.where(shares > 0, shares, 1.0))))
