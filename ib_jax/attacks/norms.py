"""The geometry of an attack: where it starts, which way it steps, how it gets back into the ball."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ib_jax.types import Array


class Norm(NamedTuple):
    """Operations on one example's perturbation, of any shape.

    Attributes:
      random: (key, shape, dtype) -> a point drawn uniformly from the unit ball.
      direction: gradient -> steepest ascent direction of unit length; zero for a zero gradient.
      project: (perturbation, radius) -> nearest point of the ball.
    """

    random: Callable[[Array, tuple[int, ...], jnp.dtype], Array]
    direction: Callable[[Array], Array]
    project: Callable[[Array, Array], Array]


def _l2_norm(x: Array) -> Array:
    # Scaled by the largest entry first: the squares of gradients near 1e-20 would underflow to a zero norm.
    largest = jnp.max(jnp.abs(x), initial=0.0)
    scale = jnp.where(largest > 0, largest, 1.0)
    return scale * jnp.sqrt(jnp.sum(jnp.square(x / scale)))


def _l2_direction(gradient: Array) -> Array:
    norm = _l2_norm(gradient)
    return gradient / jnp.where(norm > 0, norm, 1.0)


def _l2_random(key: Array, shape: tuple[int, ...], dtype: jnp.dtype) -> Array:
    direction_key, radius_key = jax.random.split(key)
    radius = jax.random.uniform(radius_key, (), dtype) ** (1.0 / max(1, math.prod(shape)))
    return radius * _l2_direction(jax.random.normal(direction_key, shape, dtype))


def _l2_project(perturbation: Array, radius: Array) -> Array:
    norm = _l2_norm(perturbation)
    return perturbation * jnp.where(norm > radius, radius / jnp.where(norm > 0, norm, 1.0), 1.0)


NORMS = {
    "linf": Norm(
        random=lambda key, shape, dtype: jax.random.uniform(key, shape, dtype, -1.0, 1.0),
        direction=jnp.sign,
        project=lambda perturbation, radius: jnp.clip(perturbation, -radius, radius),
    ),
    "l2": Norm(random=_l2_random, direction=_l2_direction, project=_l2_project),
}


def get_norm(name: str) -> Norm:
    """The geometry of that name, or a ValueError that lists the names."""
    if name not in NORMS:
        raise ValueError(f"norm must be one of {sorted(NORMS)}, got {name!r}")
    return NORMS[name]
