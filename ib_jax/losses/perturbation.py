"""Sizes of perturbations."""

import jax.numpy as jnp

from ib_jax.losses.precision import wide_dtype
from ib_jax.types import Array

NORMS = ("l0", "l1", "l2", "linf")
"""The norms that `perturbation_norm` knows."""


def perturbation_norm(perturbation: Array, norm: str) -> Array:
    r"""The norm of each example's perturbation, over all of its axes.

    .. math:: \|\delta\|_0 = |\{i: \delta_i \ne 0\}|, \quad \|\delta\|_1 = \sum_i |\delta_i|, \quad
              \|\delta\|_2 = \sqrt{\sum_i \delta_i^2}, \quad \|\delta\|_\infty = \max_i |\delta_i|

    The L2 norm is scaled by the largest entry first: the squares of gradients near 1e-20 would underflow to zero.

    Args:
      perturbation: float [B, ...].
      norm: "l0" (no norm, but called one), "l1", "l2" or "linf".

    Returns:
      float [B], in units of the perturbation, for "l0" a number of values; float32 for inputs of lower precision.

    Raises:
      ValueError: `norm` is none of the four.

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax import losses
      >>> [float(losses.perturbation_norm(jnp.array([[3.0, -4.0]]), norm)[0]) for norm in ("l0", "l1", "l2", "linf")]
      [2.0, 7.0, 5.0, 4.0]
    """
    if norm not in NORMS:
        raise ValueError(f"norm must be one of {', '.join(NORMS)}, got {norm!r}")
    axes = tuple(range(1, perturbation.ndim))
    size = jnp.abs(perturbation.astype(wide_dtype(perturbation)))
    if norm == "l0":
        return (size != 0).sum(axes).astype(size.dtype)
    if norm == "l1":
        return size.sum(axes)
    largest = jnp.max(size, axes, initial=0.0, keepdims=True)
    if norm == "l2":
        scale = jnp.where(largest > 0, largest, 1.0)
        return scale.reshape(-1) * jnp.sqrt(jnp.square(size / scale).sum(axes))
    return largest.reshape(-1)
