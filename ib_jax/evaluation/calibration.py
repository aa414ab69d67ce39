"""Calibration of predicted probabilities."""

import numpy as np

from ib_jax.types import Array


def expected_calibration_error(confidence: Array, correct: Array, num_bins: int = 15) -> float:
    r"""Expected calibration error over equal-width bins of confidence.

    .. math:: \mathrm{ECE} = \sum_b \frac{n_b}{N} \big| \mathrm{accuracy}_b - \mathrm{confidence}_b \big|

    Args:
      confidence: float [N], N >= 1, probability of the predicted class, in [0, 1].
      correct: bool [N], whether the prediction is right.
      num_bins: number of bins, each open below and closed above.

    Returns:
      ECE in [0, 1].

    Raises:
      ValueError: `confidence` is empty or leaves [0, 1], shapes differ, or `num_bins` is less than 1.

    Source: Guo et al., On Calibration of Modern Neural Networks, 2017, eq. 3.

    Example:
      >>> import numpy as np
      >>> from ib_jax import evaluation
      >>> ece = evaluation.expected_calibration_error(np.array([0.9, 0.9]), np.array([True, False]))
      >>> print(f"{ece:.2f}")
      0.40
    """
    claimed, right = np.asarray(confidence, np.float64), np.asarray(correct, np.float64)
    if claimed.ndim != 1 or claimed.shape != right.shape or not claimed.size:
        raise ValueError(f"confidence and correct must be [N] with N >= 1, got {claimed.shape} and {right.shape}")
    if num_bins < 1:
        raise ValueError(f"num_bins must be at least 1, got {num_bins}")
    if not (claimed.min() >= 0.0 and claimed.max() <= 1.0 + 1e-6):
        raise ValueError(f"confidence must be in [0, 1], got values from {claimed.min()} to {claimed.max()}")
    bins = np.clip(np.ceil(claimed * num_bins).astype(int) - 1, 0, num_bins - 1)
    gaps = np.bincount(bins, weights=right - claimed, minlength=num_bins)
    return float(np.abs(gaps).sum() / claimed.size)
