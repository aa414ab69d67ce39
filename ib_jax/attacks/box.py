"""Where an attack may go: radii, bounds, and moves that never round out of either."""

import math
from collections.abc import Sequence

import jax.numpy as jnp

from ib_jax import losses
from ib_jax.types import Array

Bounds = tuple[float | Array | Sequence[float], float | Array | Sequence[float]]
"""Lower and upper limits of the inputs; scalars, or arrays that broadcast against one example (per channel)."""


def wide(dtype: jnp.dtype) -> jnp.dtype:
    """The precision in which perturbations and radii are kept: that of the inputs, at least float32."""
    return losses.wide_dtype(dtype)


def limits(bounds: Bounds, dtype: jnp.dtype) -> tuple[Array, Array]:
    """The bounds as arrays."""
    return jnp.asarray(bounds[0], dtype), jnp.asarray(bounds[1], dtype)


def move(inputs: Array, perturbation: Array, low: Array, high: Array) -> Array:
    r"""The perturbed inputs in their own precision and bounds, each coordinate rounded towards the input.

    Guaranteed: :math:`|x'_i - x_i| \le |\delta_i|` exactly, so that a perturbation in a ball stays in it.

    Args:
      inputs: float, inside low and high.
      perturbation: float of the same shape, in `wide` precision.
      low: lower limits, broadcasting against the inputs.
      high: upper limits.

    Returns:
      Array of the inputs' shape and dtype.

    Example:
      >>> import jax.numpy as jnp
      >>> x, delta = jnp.array([0.5], jnp.bfloat16), jnp.array([0.0039])
      >>> move(x, delta, 0.0, 1.0)  # the nearest would be 0.504
      Array([0.5], dtype=bfloat16)
    """
    start = inputs.astype(perturbation.dtype)
    total = start + perturbation
    # What rounding took from the sum, exactly (Knuth's two-sum).
    back = total - start
    lost = (start - (total - back)) + (perturbation - back)
    point = total.astype(inputs.dtype)
    beyond = (point.astype(total.dtype) - total) - lost
    too_far = jnp.where(perturbation > 0, beyond > 0, beyond < 0)
    return jnp.clip(jnp.where(too_far, jnp.nextafter(point, inputs), point), low, high)


def within(inputs: Array, points: Array, radii: Array, norm: str) -> Array:
    """Whether points lie in the ball around the inputs, bool [B], with nothing forgiven."""
    start, end = inputs.astype(wide(inputs.dtype)), points.astype(wide(points.dtype))
    change = end - start
    if norm == "l0":
        return losses.perturbation_norm(change, norm) <= radii
    if norm != "linf":
        return losses.perturbation_norm(change, norm) <= shrunk(radii, math.prod(inputs.shape[1:]))
    back = change - end  # -start, but for rounding
    lost = (end - (change - back)) + (-start - back)
    size, radius = jnp.abs(change), radii.reshape(-1, *[1] * (inputs.ndim - 1))
    held = (size < radius) | ((size == radius) & (jnp.sign(change) * lost <= 0))
    return held.all(range(1, inputs.ndim))


def shrunk(radii: Array, size: int) -> Array:
    """Radii less what the rounding of a sum of so many terms may hide: some units in the last place."""
    return radii * (1 - jnp.finfo(radii.dtype).eps * (8 + math.sqrt(size)))
