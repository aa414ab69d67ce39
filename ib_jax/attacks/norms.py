"""The geometry of an attack: where it starts, which way it steps, how it gets back into the ball."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ib_jax import losses
from ib_jax.types import Array

_L1_SHARE = 0.01
"""Share of the coordinates that one L1 step moves (Tramer and Boneh, 2019)."""


class Norm(NamedTuple):
    """Operations on one example's perturbation, of any shape.

    Attributes:
      size: perturbation -> its norm.
      random: (key, shape, dtype) -> a point drawn uniformly from the unit ball.
      direction: (gradient, free) -> ascent direction of unit length, zero for a zero gradient; `free` is whether the
        bounds let a coordinate follow its gradient.
      project: (perturbation, radius) -> nearest point of the ball.
    """

    size: Callable[[Array], Array]
    random: Callable[[Array, tuple[int, ...], jnp.dtype], Array]
    direction: Callable[[Array, Array], Array]
    project: Callable[[Array, Array], Array]


def _size(norm: str) -> Callable[[Array], Array]:
    return lambda x: losses.perturbation_norm(x[None], norm)[0].astype(x.dtype)


_l1_size, _l2_size = _size("l1"), _size("l2")


def _linf_random(key: Array, shape: tuple[int, ...], dtype: jnp.dtype) -> Array:
    return jax.random.uniform(key, shape, dtype, -1.0, 1.0)


def _linf_direction(gradient: Array, free: Array) -> Array:
    return jnp.sign(gradient)


def _linf_project(perturbation: Array, radius: Array) -> Array:
    return jnp.clip(perturbation, -radius, radius)


def _l2_direction(gradient: Array, free: Array | None = None) -> Array:
    norm = _l2_size(gradient)
    return gradient / jnp.where(norm > 0, norm, 1.0)


def _l2_random(key: Array, shape: tuple[int, ...], dtype: jnp.dtype) -> Array:
    direction_key, radius_key = jax.random.split(key)
    radius = jax.random.uniform(radius_key, (), dtype) ** (1.0 / max(1, math.prod(shape)))
    return radius * _l2_direction(jax.random.normal(direction_key, shape, dtype))


def _l2_project(perturbation: Array, radius: Array) -> Array:
    norm = _l2_size(perturbation)
    return perturbation * jnp.where(norm > radius, radius / jnp.where(norm > 0, norm, 1.0), 1.0)


def _l1_direction(gradient: Array, free: Array) -> Array:
    # A single coordinate is the steepest, but one at a time is slow: the few steepest that the bounds leave free move,
    # each by its slope, so that the projection leaves the steepest in the end.
    slope = jnp.where(free, gradient, 0.0).reshape(-1)
    count = max(1, round(_L1_SHARE * slope.size))
    least = jax.lax.top_k(jnp.abs(slope), count)[0][-1] if slope.size else 0.0
    sparse = jnp.where(jnp.abs(slope) >= least, slope, 0.0)
    norm = _l1_size(sparse)
    return (sparse / jnp.where(norm > 0, norm, 1.0)).reshape(gradient.shape)


def _l1_random(key: Array, shape: tuple[int, ...], dtype: jnp.dtype) -> Array:
    # The simplex's uniform distribution by exponentials, one of them for the distance to the ball's surface.
    sign_key, size_key = jax.random.split(key)
    sizes = jax.random.exponential(size_key, (math.prod(shape) + 1,), dtype)
    signs = jax.random.rademacher(sign_key, (math.prod(shape),), dtype)
    return (signs * sizes[:-1] / sizes.sum()).reshape(shape)


def _l1_project(perturbation: Array, radius: Array) -> Array:
    # Soft thresholding. The threshold is where the convex, falling sum(max(size - threshold, 0)) is the radius: Newton
    # from below gets there in a few steps, without the sort that would cost more than the network (Michelot, 1986).
    sizes = jnp.abs(perturbation).reshape(-1)

    def rise(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        threshold = carry[1]
        above = sizes > threshold
        excess = jnp.where(above, sizes, 0.0).sum() - radius
        return threshold, jnp.maximum(threshold, excess / jnp.maximum(above.sum(), 1))

    last, zero = jnp.full((), -1.0, sizes.dtype), jnp.zeros((), sizes.dtype)
    _, threshold = jax.lax.while_loop(lambda carry: carry[1] > carry[0], rise, (last, zero))
    shrunk = jnp.sign(perturbation) * jnp.maximum(jnp.abs(perturbation) - threshold, 0.0)
    # Rounding in the sum leaves the ball by some units in the last place.
    norm = _l1_size(shrunk)
    return shrunk * jnp.where(norm > radius, radius / jnp.where(norm > 0, norm, 1.0), 1.0)


NORMS = {
    "l1": Norm(_l1_size, _l1_random, _l1_direction, _l1_project),
    "l2": Norm(_l2_size, _l2_random, _l2_direction, _l2_project),
    "linf": Norm(_size("linf"), _linf_random, _linf_direction, _linf_project),
}


def get_norm(name: str, among: tuple[str, ...] = losses.NORMS) -> Norm:
    """The geometry of that name, or a ValueError that lists the names."""
    if name not in among:
        raise ValueError(f"norm must be one of {', '.join(among)}, got {name!r}")
    return NORMS[name]
