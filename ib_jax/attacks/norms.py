"""The geometry of an attack: where it starts, which way it steps, how it gets back into the ball."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ib_jax import losses
from ib_jax.attacks.box import shrunk
from ib_jax.types import Array

_HALVINGS = 20  # of the interval in which the least slope of an L1 step lies
_MOST_ITERATIONS = 60  # of Newton in the L1 projection, which needs some ten


class Norm(NamedTuple):
    """Operations on one example's perturbation, of any shape.

    Attributes:
      size: perturbation -> its norm.
      random: (key, shape, dtype) -> a point drawn uniformly from the unit ball.
      step: (gradient, room, length) -> the steepest step of that length, zero for a zero gradient; `room` is how far
        the bounds let each coordinate follow its gradient.
      project: (perturbation, radius, low, high) -> a point of the ball and of the box low <= 0 <= high, the nearest in
        both for L-inf and L1.
    """

    size: Callable[[Array], Array]
    random: Callable[[Array, tuple[int, ...], jnp.dtype], Array]
    step: Callable[[Array, Array, Array], Array]
    project: Callable[[Array, Array, Array, Array], Array]


def _size(norm: str) -> Callable[[Array], Array]:
    return lambda x: losses.perturbation_norm(x[None], norm)[0].astype(x.dtype)


_l2_size = _size("l2")


def _linf_random(key: Array, shape: tuple[int, ...], dtype: jnp.dtype) -> Array:
    return jax.random.uniform(key, shape, dtype, -1.0, 1.0)


def _linf_step(gradient: Array, room: Array, length: Array) -> Array:
    return length * jnp.sign(gradient)


def _linf_project(perturbation: Array, radius: Array, low: Array, high: Array) -> Array:
    return jnp.clip(perturbation, jnp.maximum(-radius, low), jnp.minimum(radius, high))


def _l2_unit(gradient: Array) -> Array:
    norm = _l2_size(gradient)
    return gradient / jnp.where(norm > 0, norm, 1.0)


def _l2_random(key: Array, shape: tuple[int, ...], dtype: jnp.dtype) -> Array:
    direction_key, radius_key = jax.random.split(key)
    radius = jax.random.uniform(radius_key, (), dtype) ** (1.0 / max(1, math.prod(shape)))
    return radius * _l2_unit(jax.random.normal(direction_key, shape, dtype))


def _l2_step(gradient: Array, room: Array, length: Array) -> Array:
    return length * _l2_unit(gradient)


def _l2_project(perturbation: Array, radius: Array, low: Array, high: Array) -> Array:
    norm, most = _l2_size(perturbation), shrunk(radius, perturbation.size)
    return jnp.clip(perturbation * jnp.where(norm > most, most / jnp.where(norm > 0, norm, 1.0), 1.0), low, high)


def _l1_random(key: Array, shape: tuple[int, ...], dtype: jnp.dtype) -> Array:
    # The simplex's uniform distribution by exponentials, one of them for the distance to the ball's surface.
    sign_key, size_key = jax.random.split(key)
    sizes = jax.random.exponential(size_key, (math.prod(shape) + 1,), dtype)
    signs = jax.random.rademacher(sign_key, (math.prod(shape),), dtype)
    return (signs * sizes[:-1] / sizes.sum()).reshape(shape)


def _l1_step(gradient: Array, room: Array, length: Array) -> Array:
    # Of all steps of that length in the box the one that gains most fills the steepest coordinate up to its bound, then
    # the next. The least slope that moves is found by halving, without the sort that would cost more than the network.
    slope, room = jnp.abs(gradient), jnp.where(gradient == 0, 0.0, jnp.maximum(room, 0.0))

    def halve(_: int, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        middle = (ends[0] + ends[1]) / 2
        fits = jnp.where(slope > middle, room, 0.0).sum() <= length
        return jnp.where(fits, ends[0], middle), jnp.where(fits, middle, ends[1])

    most = jnp.max(slope, initial=0.0)
    low, high = jax.lax.fori_loop(0, _HALVINGS, halve, (jnp.zeros_like(most), most))
    first, next_ = jnp.where(slope > high, room, 0.0), jnp.where((slope > low) & (slope <= high), room, 0.0)
    share = (length - first.sum()) / jnp.maximum(next_.sum(), jnp.finfo(slope.dtype).tiny)
    return jnp.sign(gradient) * (first + jnp.clip(share, 0.0, 1.0) * next_)


def _l1_project(perturbation: Array, radius: Array, low: Array, high: Array) -> Array:
    # Onto the box and the ball together, not one after the other, which loses what the box cuts off (Croce and Hein,
    # Mind the Box, 2021): sizes less a threshold, between zero and the bound. Their sum falls with the threshold and is
    # linear in pieces: Newton, or halves where that leaves what is known.
    sizes, room = jnp.abs(perturbation), jnp.where(perturbation > 0, high, -low)
    most = shrunk(radius, perturbation.size)
    slack = 4 * jnp.finfo(sizes.dtype).eps * most

    def excess(threshold: Array) -> Array:
        return jnp.clip(sizes - threshold, 0.0, room).sum() - most

    def approach(carry: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        count, threshold, least, greatest = carry
        over = excess(threshold)
        least, greatest = jnp.where(over > 0, threshold, least), jnp.where(over > 0, greatest, threshold)
        falling = ((sizes > threshold) & (sizes < threshold + room)).sum()
        newton = threshold + over / jnp.maximum(falling, 1).astype(over.dtype)
        # Where every size is at its bound the sum has no slope, and near such a place Newton crawls.
        trusted = (falling > 0) & (newton > least) & (newton < greatest) & (count % 3 < 2)
        return count + 1, jnp.where(trusted, newton, (least + greatest) / 2), least, greatest

    def far(carry: tuple[Array, Array, Array, Array]) -> Array:
        over = excess(carry[1])
        # At a threshold of zero everything may be inside already.
        return (carry[0] < _MOST_ITERATIONS) & ((over > slack) | ((over < -slack) & (carry[1] > 0)))

    zero, largest = jnp.zeros((), sizes.dtype), jnp.max(sizes, initial=0.0)
    _, threshold, _, _ = jax.lax.while_loop(far, approach, (jnp.int32(0), zero, zero, largest))
    shrunken = jnp.clip(sizes - threshold, 0.0, room)
    total = shrunken.sum()
    return jnp.sign(perturbation) * shrunken * jnp.where(total > most, most / jnp.where(total > 0, total, 1.0), 1.0)


NORMS = {
    "l1": Norm(_size("l1"), _l1_random, _l1_step, _l1_project),
    "l2": Norm(_l2_size, _l2_random, _l2_step, _l2_project),
    "linf": Norm(_size("linf"), _linf_random, _linf_step, _linf_project),
}


def get_norm(name: str, among: tuple[str, ...] = tuple(NORMS)) -> Norm:
    """The geometry of that name, or a ValueError that lists the names."""
    if name not in among:
        raise ValueError(f"norm must be one of {', '.join(among)}, got {name!r}")
    return NORMS[name]
