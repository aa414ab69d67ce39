"""What Square Attack tries: its first candidate, and the next ones, one example at a time."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ib_jax import losses
from ib_jax.attacks import box as boxes
from ib_jax.attacks import windows
from ib_jax.types import Array


class Box(NamedTuple):
    """Examples as [..., N, H, W, C], and what their candidates must keep to."""

    example: Array
    low: Array
    high: Array
    radius: Array

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Frames, height, width and channels."""
        frames, height, width, channels = self.example.shape[-4:]
        return frames, height, width, channels

    def move(self, perturbation: Array) -> Array:
        """The example with a perturbation that is in the ball, in the bounds and in its own precision."""
        return boxes.move(self.example, perturbation, self.low, self.high)


def _stripes(key: Array, box: Box) -> Array:
    """L-inf: stripes of one pixel that run down the image, with random signs."""
    frames, _, width, channels = box.shape
    words = jax.random.bits(key, (windows.num_words(frames * width * channels),), jnp.uint32)
    signs = windows.signs_of(words, (frames, 1, width, channels))
    return box.move(jnp.broadcast_to(box.radius * signs, box.shape))


def _repaint(key: Array, box: Box, best: Array, sides: Array) -> Array:
    """L-inf: each channel of a window goes to one of the faces of the ball.

    That is where +-2 epsilon, projected, takes it from wherever it is in the ball.
    """
    frames, height, width, channels = best.shape
    words = jax.random.bits(key, (2 + windows.num_words(frames * channels),), jnp.uint32)
    window = windows.inside(windows.place(words[:2], sides, (height, width)), (height, width))[None, :, :, None]
    move = jnp.broadcast_to(box.radius * windows.signs_of(words[2:], (frames, 1, 1, channels)), best.shape)
    changed = (window & (box.move(move) != best)).any()
    return jnp.where(window, box.move(jnp.where(changed, move, -move)), best)


def _grid(key: Array, box: Box) -> Array:
    """L2: bumps all over the image."""
    grid = windows.tiles(key, box.shape).astype(box.radius.dtype)
    return box.move(_to_sphere(grid, boxes.shrunk(box.radius, grid.size)))


def _move_mass(key: Array, box: Box, best: Array, sides: Array) -> Array:
    """L2: a pair of bumps in one window, paid for with the perturbation of another one."""
    frames, height, width, channels = best.shape
    size, planes = (height, width), frames * channels
    words = jax.random.bits(key, (4 + windows.num_words(1 + planes),), jnp.uint32)
    gains, loses = (windows.place(pair, sides, size) for pair in (words[:2], words[2:4]))
    signs = windows.signs_of(words[4:], (1 + planes,))
    eta = windows.bump(gains, size, signs[0] > 0)[None, :, :, None] * signs[1:].reshape(frames, 1, 1, channels)
    gain, lose = (windows.inside(window, size)[None, :, :, None] for window in (gains, loses))
    wide = losses.wide_dtype(best)
    moved = best.astype(wide) - box.example.astype(wide)
    mass = jnp.square(moved)
    unused = jnp.maximum(jnp.square(box.radius.astype(wide)) - mass.sum(), 0.0) / planes
    length = jnp.sqrt(_by_plane(jnp.where(gain | lose, mass, 0.0)) + unused)
    bumps = _to_sphere(eta + _to_sphere(jnp.where(gain, moved, 0.0), 1.0, _by_plane), length, _by_plane)
    moved = jnp.where(gain, bumps, jnp.where(lose, 0.0, moved))
    return box.move(_to_sphere(moved, boxes.shrunk(box.radius, moved.size)))


class Method(NamedTuple):
    """How a norm is searched: the first candidate, the next ones, and the least side of a window."""

    first: Callable[[Array, Box], Array]
    propose: Callable[[Array, Box, Array, Array], Array]
    least: int


# A pair of bumps in two pixels has no shape.
METHODS = {"linf": Method(_stripes, _repaint, 1), "l2": Method(_grid, _move_mass, 3)}


def _by_plane(values: Array) -> Array:
    """Sums over the pixels of each frame and channel, [N, 1, 1, C]."""
    return values.sum((1, 2), keepdims=True)


def _to_sphere(values: Array, radius: Array | float, total: Callable[[Array], Array] = jnp.sum) -> Array:
    """Values scaled to an L2 norm; zero stays zero."""
    norm = jnp.sqrt(total(jnp.square(values)))
    return values * (radius / jnp.where(norm > 0, norm, 1.0))
