"""Errors under common corruptions, in one number: their average, and the mean corruption error."""

from collections.abc import Mapping, Sequence

import numpy as np

ALEXNET_ERRORS: dict[str, float] = {
    "gaussian_noise": 0.886428,
    "shot_noise": 0.894468,
    "impulse_noise": 0.922640,
    "defocus_blur": 0.819880,
    "glass_blur": 0.826268,
    "motion_blur": 0.785948,
    "zoom_blur": 0.798360,
    "snow": 0.866816,
    "frost": 0.826572,
    "fog": 0.819324,
    "brightness": 0.564592,
    "contrast": 0.853204,
    "elastic_transform": 0.646056,
    "pixelate": 0.717840,
    "jpeg_compression": 0.606500,
}
"""AlexNet's error on ImageNet-C, a share, averaged over the five severities (google-research/augmix, imagenet.py)."""

NUM_SEVERITIES = 5


def average_corruption_error(errors: Mapping[str, Sequence[float]]) -> float:
    r"""The mean of the error over all corruptions given and their five severities, as reported for CIFAR-10-C.

    .. math:: \frac{1}{5 |C|} \sum_{c \in C} \sum_{s=1}^5 E_{s,c}

    Args:
      errors: for each corruption its errors at severities 1 to 5, as shares in [0, 1].

    Returns:
      A share in [0, 1].

    Raises:
      ValueError: there are no corruptions, one has not five errors, or an error is not a share.

    Example:
      >>> from ib_jax import evaluation
      >>> evaluation.average_corruption_error({"fog": [0.1, 0.2, 0.3, 0.4, 0.5], "snow": [0.5] * 5})
      0.4
    """
    if not errors:
        raise ValueError("errors must hold at least one corruption, got none")
    return float(np.mean([_mean_error(name, values) for name, values in errors.items()]))


def mean_corruption_error(errors: Mapping[str, Sequence[float]], baseline: Mapping[str, float] | None = None) -> float:
    r"""The mean corruption error: errors relative to a baseline's, so that every corruption has equal weight.

    .. math:: \mathrm{mCE} = \frac{1}{|C|} \sum_{c \in C} \frac{\sum_s E_{s,c}}{\sum_s E^{\mathrm{base}}_{s,c}}

    As a ratio: 1 for the baseline itself. Papers print 100 times that, "mCE 76.7" is 0.767 here.

    Args:
      errors: for each corruption of the baseline its errors at severities 1 to 5, as shares in [0, 1]. Others, such as
        the four extra ones, must be left out.
      baseline: for each corruption the baseline's mean error over the five severities, a share; None for AlexNet's on
        ImageNet-C, `ALEXNET_ERRORS`.

    Returns:
      A ratio, at least 0.

    Raises:
      ValueError: a corruption is missing or not among the baseline's, one has not five errors, or an error is not a
        share.

    Source: Hendrycks and Dietterich 2019; Fischer and Alemi, CEB Improves Model Robustness, 2020, Equation 12.

    Example:
      >>> from ib_jax import evaluation
      >>> half = {name: [error / 2] * 5 for name, error in evaluation.ALEXNET_ERRORS.items()}
      >>> print(f"{100 * evaluation.mean_corruption_error(half):.1f}")  # as papers print it
      50.0
    """
    against = ALEXNET_ERRORS if baseline is None else baseline
    missing = [name for name in against if name not in errors]
    unknown = [name for name in errors if name not in against]
    if missing or unknown or not against:
        raise ValueError(
            "errors must hold exactly the corruptions of the baseline; "
            f"missing: {', '.join(missing) or 'none'}; unknown: {', '.join(unknown) or 'none'}"
        )
    for name, error in against.items():
        if not 0 < error <= 1:
            raise ValueError(f"baseline must hold shares above 0 and at most 1, got {error} for {name}")
    return float(np.mean([_mean_error(name, errors[name]) / error for name, error in against.items()]))


def _mean_error(name: str, values: Sequence[float]) -> float:
    array = np.asarray(values, np.float64)
    if array.shape != (NUM_SEVERITIES,):
        raise ValueError(f"errors must be {NUM_SEVERITIES} for each corruption, got shape {array.shape} for {name}")
    if not ((array >= 0) & (array <= 1)).all():
        raise ValueError(f"errors must be shares between 0 and 1, not per cent, got {array.tolist()} for {name}")
    return float(array.mean())
