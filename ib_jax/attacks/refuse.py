"""What attacks refuse: by name, with the value and what would be right, before anything is computed."""

import numbers
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ib_jax import losses
from ib_jax.attacks.box import Bounds, wide
from ib_jax.attacks.problem import Problem
from ib_jax.types import Array, LogitsFn

_SLACK = 4
"""Units in the last place of the bounds by which inputs may lie outside: scaling images rounds by that much."""


def require_count(name: str, value: int, least: int = 1) -> None:
    """Raises ValueError unless a setting is a whole number that is large enough."""
    if not isinstance(value, numbers.Integral):
        raise ValueError(f"{name} must be a whole number, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")


def require(name: str, value: Any, least: float, most: float = np.inf, *, inside: bool = False) -> None:
    """Raises ValueError unless a setting is finite and in its range; what is traced passes.

    Args:
      name: of the setting.
      value: a number, or an array of them.
      least: the smallest that will do.
      most: the largest; infinity for none, where the value must be finite all the same.
      inside: whether the ends of the range themselves will not do.
    """
    numbers_ = known(value)
    if numbers_ is None:
        return
    values = np.asarray(numbers_, np.float64) if numbers_.dtype.kind in "iufb" else np.array(np.nan)
    allowed = (values > least) & (values < most) if inside else (values >= least) & (values <= most)
    if (allowed & np.isfinite(values)).all():
        return
    if most < np.inf:
        right = f"in ({least}, {most})" if inside else f"in [{least}, {most}]"
    else:
        right = ("positive" if least == 0 else f"above {least}") if inside else f"at least {least}"
    finite = " and finite" if np.isinf(values).any() else ""
    raise ValueError(f"{name} must be {right}{finite}, got {value}")


def require_radius(epsilon: Any) -> None:
    """Raises ValueError for an attack in a ball that has no radius, or not one that can be."""
    if epsilon is None:
        raise ValueError("epsilon must be a radius of at least 0, in units of the inputs, got None")
    require("epsilon", epsilon, 0)


def require_finite(bounds: Bounds) -> None:
    """Raises ValueError for bounds without an end, for an attack that scales by their width."""
    for end in _ends(bounds):
        if end is not None and not np.isfinite(end).all():
            raise ValueError(f"bounds must be finite in this attack, got {bounds}: give those of your data")


def to_array(name: str, value: Any) -> Array:
    """An argument as an array; labels may be a list."""
    if isinstance(value, jax.Array):
        return value
    try:
        array = np.asarray(value)
    except ValueError:  # lists of several lengths
        array = np.array(None)
    if array.dtype.kind not in "iufbV":  # V: bfloat16 and its like
        wanted = "one array [B, ...]" if name == "inputs" else "int [B]"
        raise ValueError(f"{name} must be {wanted}, got {type(value).__name__}")
    if name != "inputs" and isinstance(value, list) and not value:
        array = array.astype(np.int32)  # NumPy's own choice for no labels is float
    return jnp.asarray(array)


def to_radii(epsilon: float | Array, batch_size: int, dtype: jnp.dtype) -> Array:
    """Radii for each example, [B], in float32 or more, from a scalar or [B].

    Raises:
      ValueError: of another shape, negative, NaN or infinite.
    """
    require("epsilon", epsilon, 0)
    numbers_ = known(epsilon)  # of which NumPy makes rows without a program
    radii, numpy = (jnp.asarray(epsilon), jnp) if numbers_ is None else (numbers_, np)
    if radii.shape not in ((), (batch_size,)):
        raise ValueError(f"epsilon must be a scalar or one radius for each of {batch_size} examples, got {radii.shape}")
    return jnp.asarray(numpy.broadcast_to(radii, (batch_size,)).astype(wide(dtype)))


def check(logits_fn: LogitsFn, problem: Problem, bounds: Bounds = (-np.inf, np.inf), *, min_classes: int = 2) -> None:
    """Refuses what the attack cannot handle; values are looked at only outside of `jit`, where they are known.

    Raises:
      ValueError: naming the argument, its value and what would be right.
    """
    batch_size = problem.inputs.shape[0]
    if not jnp.issubdtype(problem.inputs.dtype, jnp.floating):
        raise ValueError(f"inputs must be floating, got {problem.inputs.dtype}; data.to_unit_interval converts images")
    classes = {"labels": problem.labels, "targets": problem.targets}
    for name, values in classes.items():
        if values is not None:
            losses.check_labels(values, (batch_size,), name=name)
    num_classes = losses.count_classes(logits_fn, problem.keys, problem.inputs)
    if num_classes < min_classes:
        raise ValueError(f"logits_fn must answer with at least {min_classes} classes, got {num_classes}")
    for name, values in classes.items():
        numbers_ = known(values)
        if numbers_ is not None and not ((numbers_ >= 0) & (numbers_ < num_classes)).all():
            raise ValueError(f"{name} must lie in [0, {num_classes}), got {numbers_.min()} to {numbers_.max()}")
    _check_bounds(problem.inputs, bounds)


def _check_bounds(inputs: Array, bounds: Bounds) -> None:
    ends = [end for end in _ends(bounds) if end is not None]
    for end in ends:
        try:
            np.broadcast_to(end, (1, *inputs.shape[1:]))
        except ValueError:
            raise ValueError(
                f"bounds must be two numbers, or arrays that broadcast against one example {list(inputs.shape[1:])}, "
                f"got one of shape {list(end.shape)}"
            ) from None
    if len(ends) < 2:
        return
    low, high = (end.astype(inputs.dtype).astype(np.float64) for end in ends)
    if not (low < high).all():
        raise ValueError(f"bounds must be (lower, upper) with lower < upper, got {bounds}")
    values = known(inputs)
    if values is None:
        return
    values = values.astype(np.float64)
    largest = np.maximum(*(np.where(np.isfinite(end), np.abs(end), 0.0) for end in (low, high)))
    slack = _SLACK * float(jnp.finfo(inputs.dtype).eps) * largest
    outside = ~((values >= low - slack) & (values <= high + slack) & np.isfinite(values))
    if outside.any():
        low, high = (np.broadcast_to(end, values.shape)[outside][0] for end in (low, high))
        raise ValueError(
            f"inputs must lie in bounds, got {values[outside][0]!s} where they are {low!s} to {high!s}, one of "
            f"{outside.sum()} values outside (NaN included); give the bounds of your data, or scale the inputs"
        )


def _ends(bounds: Bounds) -> list[np.ndarray | None]:
    try:
        low, high = bounds
    except (TypeError, ValueError):
        raise ValueError(f"bounds must be (lower, upper), got {bounds!r}") from None
    return [known(low), known(high)]


def known(value: object) -> np.ndarray | None:
    """The value in NumPy, where even inside `jit` comparing gives no tracer; None if it is traced itself."""
    return None if value is None or isinstance(value, jax.core.Tracer) else np.asarray(value)
