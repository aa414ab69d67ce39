"""The examples under attack, a row for each, and what is refused about them."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ib_jax.types import Array, LogitsFn

_START, _JUDGE, _STEPS = 0, 1, 2  # what an example's key is folded with

Bounds = tuple[float | Array | Sequence[float], float | Array | Sequence[float]]
"""Lower and upper limits of the inputs; scalars, or arrays that broadcast against one example (per channel)."""


class Problem(NamedTuple):
    """What does not change while examples are attacked. Every field has a row for each example.

    Attributes:
      keys: one PRNG key for each example, [B].
      inputs: float [B, ...].
      labels: int [B].
      targets: int [B], the class that the loss aims at, or None for an untargeted attack.
      wanted: int [B], the answer that counts as success, or None where any wrong one does.
      epsilon: float [B], the radii; None for an attack without one.
    """

    keys: Array
    inputs: Array
    labels: Array
    targets: Array | None
    wanted: Array | None
    epsilon: Array | None

    def start_keys(self) -> Array:
        """Keys for the starting point."""
        return fold(self.keys, _START)

    def look_keys(self) -> Array:
        """Keys for what the model says of the starting point."""
        return fold(self.start_keys(), 1)

    def judge_keys(self) -> Array:
        """Keys for the verdict, which no step uses."""
        return fold(self.keys, _JUDGE)

    def step_keys(self, step: Array) -> Array:
        """Keys for each example's step of that number, int [B]."""
        return fold(self.keys, _STEPS + step)

    def fooled(self, logits: Array) -> Array:
        """Whether the most probable class is as the attacker wants, bool [B], from logits or probabilities [B, C]."""
        predicted = logits.argmax(-1)
        return predicted != self.labels if self.wanted is None else predicted == self.wanted


def fold(keys: Array, data: int | Array) -> Array:
    """`fold_in` for each example's key; `data` is an int, or one for each example."""
    return jax.vmap(jax.random.fold_in, (0, 0 if isinstance(data, jax.Array) and data.ndim else None))(keys, data)


def rows(mask: Array, like: Array) -> Array:
    """A mask or number for each example, [B], shaped to broadcast against `like`, [B, ...]."""
    return mask.reshape(mask.shape + (1,) * (like.ndim - mask.ndim))


def limits(bounds: Bounds, dtype: jnp.dtype) -> tuple[Array, Array]:
    """The bounds as arrays."""
    return jnp.asarray(bounds[0], dtype), jnp.asarray(bounds[1], dtype)


def to_radii(epsilon: float | Array, batch_size: int, dtype: jnp.dtype) -> Array:
    """Radii for each example, [B], from a scalar or [B].

    Raises:
      ValueError: of another shape, or negative.
    """
    radii = jnp.asarray(epsilon)
    if radii.shape not in ((), (batch_size,)):
        raise ValueError(f"epsilon must be a scalar or one radius for each of {batch_size} examples, got {radii.shape}")
    known = _known(epsilon)
    if known is not None and not (known >= 0).all():
        raise ValueError(f"epsilon must be at least 0, got {known}")
    return jnp.broadcast_to(radii, (batch_size,)).astype(dtype)


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
        if values is not None and (values.shape != (batch_size,) or not jnp.issubdtype(values.dtype, jnp.integer)):
            raise ValueError(f"{name} must be int [{batch_size}], got {values.dtype} {list(values.shape)}")
    answers = jax.eval_shape(logits_fn, problem.keys, problem.inputs)
    if answers.ndim != 2 or answers.shape[0] != batch_size:
        raise ValueError(f"logits_fn must return logits [{batch_size}, C], got shape {list(answers.shape)}")
    num_classes = answers.shape[1]
    if num_classes < min_classes:
        raise ValueError(f"logits_fn must answer with at least {min_classes} classes, got {num_classes}")
    for name, values in classes.items():
        known = _known(values)
        if known is not None and not ((known >= 0) & (known < num_classes)).all():
            raise ValueError(f"{name} must lie in [0, {num_classes}), got {known.min()} to {known.max()}")
    lower, upper, inputs = map(_known, (*bounds, problem.inputs))
    if lower is None or upper is None:
        return
    lower, upper = lower.astype(problem.inputs.dtype), upper.astype(problem.inputs.dtype)
    if not (lower < upper).all():
        raise ValueError(f"bounds must be (lower, upper) with lower < upper, got {(lower, upper)}")
    if inputs is not None and not ((inputs >= lower) & (inputs <= upper)).all():
        raise ValueError(
            f"inputs must lie in bounds, got values from {inputs.min()} to {inputs.max()} (NaN included); give the "
            "bounds of your data, or scale the inputs"
        )


def _known(value: object) -> np.ndarray | None:
    """The value in NumPy, where even inside `jit` comparing gives no tracer; None if it is traced itself."""
    return None if value is None or isinstance(value, jax.core.Tracer) else np.asarray(value)
