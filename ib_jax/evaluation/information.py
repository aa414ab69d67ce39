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


def label_entropy(labels: Array | np.ndarray, num_classes: int) -> float:
    r"""Entropy H(Y) of the empirical distribution of the labels, in nats.

    With the cross-entropy over the same examples it gives I(Z;Y) >= H(Y) - E[-log q(y|z)] for their distribution.

    Args:
      labels: int [N], N >= 1, in [0, C).
      num_classes: C.

    Returns:
      H(Y) in nats, at most log C.

    Raises:
      ValueError: there are no labels, or one is out of range.

    Example:
      >>> import numpy as np
      >>> from ib_jax import evaluation
      >>> print(f"{evaluation.label_entropy(np.array([0, 1, 0, 1]), 2):.4f}")
      0.6931
    """
    values = np.asarray(labels)
    if values.size == 0:
        raise ValueError("labels must hold at least one label, got none")
    if values.min() < 0 or values.max() >= num_classes:
        raise ValueError(f"labels must be in [0, {num_classes}), got values from {values.min()} to {values.max()}")
    shares = np.bincount(values, minlength=num_classes) / values.size
    return float(-np.sum(shares * np.log(np.where(shares > 0, shares, 1.0))))
