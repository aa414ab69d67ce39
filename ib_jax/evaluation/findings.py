"""What a check has to say, and what checks take."""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ib_jax import losses
from ib_jax.types import Array, LogitsFn


class Finding(NamedTuple):
    """What a check reports: a sign of gradient masking or of a mistake in the evaluation, not a proof.

    Attributes:
      check: the name of the check, that of its function without `check_`.
      message: what the check saw, with the numbers, and what to do next.
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


def require_inputs(key: Array, inputs: Array) -> tuple[Array, Array]:
    """A key for each example, [B], and the inputs as an array [B, ...]; ValueError unless B >= 1."""
    array = jnp.asarray(inputs)
    if array.ndim < 1 or array.shape[0] < 1:
        raise ValueError(f"inputs must hold at least one example, [B, ...] with B >= 1, got shape {array.shape}")
    return losses.per_example_keys(key, array.shape[0]), array


def draw_logits(keys: Array, logits_fn: LogitsFn, inputs: Array, num_draws: int) -> list[np.ndarray]:
    """Draws of the logits, each float [B, C], all by one compiled program: equal keys then give equal numbers.

    Raises:
      ValueError: the answer is something else than floating logits [B, C] with C >= 2.
    """
    num_classes = losses.count_classes(logits_fn, keys, inputs)
    if num_classes < 2:
        raise ValueError(f"logits_fn must return logits [{len(inputs)}, C] with C >= 2, got C = {num_classes}")
    jitted = jax.jit(logits_fn)
    return [np.asarray(jitted(each, inputs)) for each in losses.sample_keys(keys, num_draws)]


def logits_differ(first: np.ndarray, second: np.ndarray, tolerance: float) -> np.ndarray:
    """Where logits [B, C] differ, bool [B]: by more than a share of their own size and of the median size of all."""
    first, second = first.astype(np.float64), second.astype(np.float64)
    sizes = np.abs(first[np.isfinite(first)])
    # The median, since some models mask classes with logits such as -1e9.
    slack = tolerance * float(np.median(sizes)) if sizes.size else 0.0
    return ~np.isclose(first, second, rtol=tolerance, atol=slack, equal_nan=True).all(-1)
