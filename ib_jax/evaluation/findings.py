"""What a check has to say, and what checks take."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ib_jax.types import Array


class Finding(NamedTuple):
    """What a check has to report: a sign of gradient masking, or of a mistake in the evaluation. No proof of either.

    Attributes:
      check: the name of the check, that of its function without `check_`.
      message: what was seen, with the numbers, and what to do next.
      evidence: the numbers by name; shares and accuracies are in [0, 1].
    """

    check: str
    message: str
    evidence: Mapping[str, float]


def require_share(name: str, value: float) -> None:
    """Raises ValueError unless `value`, the argument called `name`, is in [0, 1)."""
    if not 0.0 <= value < 1.0:
        raise ValueError(f"{name} must be a share in [0, 1), got {value}")


def require_examples(**results: Array | np.ndarray) -> list[np.ndarray]:
    """Results of attacks as bool [N], N >= 1, from bool or the numbers 0 and 1; ValueError unless all are of one N."""
    arrays = {name: np.asarray(values) for name, values in results.items()}
    for name, values in arrays.items():
        if values.ndim != 1 or not values.size:
            raise ValueError(f"{name} must be bool [N] with N >= 1, got {values.dtype} {list(values.shape)}")
        if not np.isin(values, (0, 1)).all():
            raise ValueError(f"{name} must be bool, or 0 and 1, for each example, got values such as {values[0]}")
    lengths = {name: len(values) for name, values in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"{' and '.join(lengths)} must be of the same examples, got lengths {lengths}")
    return [values.astype(bool) for values in arrays.values()]
