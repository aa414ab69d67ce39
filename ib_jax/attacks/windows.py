"""Windows of an image that are placed at random, as functions of coordinates: their sides may be traced."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ib_jax.types import Array

HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""Queries after which the share of the image that a window covers is halved, for a budget of 10,000."""


class Window(NamedTuple):
    """A rectangle of one image; every field is int []."""

    top: Array | int
    left: Array | int
    height: Array | int
    width: Array | int


def halvings(num_queries: int, rescale: bool) -> tuple[int, ...]:
    """Queries after which the share is halved, for a budget of `num_queries` if `rescale`."""
    return tuple(math.ceil(count * num_queries / 10_000) for count in HALVINGS) if rescale else HALVINGS


def sides(p_init: float, size: tuple[int, int], least: int = 1) -> np.ndarray:
    """Height and width of the windows after 0, 1, ... halvings of their share of the image, int [10, 2].

    Squares of that share; where an axis is too short for that it is filled, and the other one keeps the share, so that
    the windows of a vector are intervals.
    """
    share = p_init / 2.0 ** np.arange(len(HALVINGS) + 1)[:, None]
    length = np.asarray(size)
    ideal = np.maximum(np.sqrt(share * length.prod()), share * length)
    return np.clip(np.rint(ideal), least, None).clip(max=length).astype(np.int32)


def place(words: Array, sides: Array, size: tuple[int, int]) -> Window:
    """A window at a uniformly drawn position inside an image, from two random words, uint32 [2]."""
    count = jnp.asarray(size, jnp.int32) - sides + 1
    uniform = (words >> 8).astype(jnp.float32) * 2.0**-24  # all 24 bits of a float32, below 1
    top, left = jnp.minimum((uniform * count.astype(jnp.float32)).astype(jnp.int32), count - 1)
    return Window(top, left, *sides)


def inside(window: Window, size: tuple[int, int]) -> Array:
    """Which pixels of an image a window holds, bool [H, W]."""
    rows, columns = _offsets(window, size)
    return ((rows >= 0) & (rows < window.height))[:, None] & ((columns >= 0) & (columns < window.width))[None]


def bump(window: Window, size: tuple[int, int], across_columns: Array | bool) -> Array:
    r"""Two pyramids of opposite sign that share a window, float32 [H, W], zero outside and of unit L2 norm.

    .. math:: \eta = \pm \sum_{k = d + 1}^{n + 1} 1 / k^2

    with d the Chebyshev distance to the centre of the pyramid and n half of its longer side.

    Args:
      window: where.
      size: height and width of the image.
      across_columns: whether the pyramids lie side by side, rather than one on top of the other; a window that is one
        pixel wide in that direction is split in the other one.
    """
    across_columns = jnp.where(window.height == 1, True, jnp.where(window.width == 1, False, across_columns))
    rows, columns = _offsets(window, size)
    row_gap, row_reach, row_sign = _profile(rows, window.height, window.width, ~across_columns)
    column_gap, column_reach, column_sign = _profile(columns, window.width, window.height, across_columns)
    sums = jnp.asarray(np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, max(size) + 2) ** 2)]), jnp.float32)
    # The sums grow, so the sum at a maximum is the maximum of the sums: H + W look-ups in place of H * W.
    top = jnp.maximum(sums[row_reach + 1][:, None], sums[column_reach + 1][None])
    height = top - jnp.maximum(sums[row_gap][:, None], sums[column_gap][None])
    shape = jnp.where(inside(window, size), row_sign[:, None] * column_sign[None] * height, 0.0)
    return shape / jnp.sqrt(jnp.square(shape).sum())


def _offsets(window: Window, size: tuple[int, int]) -> tuple[Array, Array]:
    rows, columns = (jnp.arange(side, dtype=jnp.int32) for side in size)
    return rows - window.top, columns - window.left


def _profile(offsets: Array, length: Array | int, other: Array | int, split: Array) -> tuple[Array, Array, Array]:
    """Along one axis: the distance to the pyramid's centre, half of its longer side (0 if not split) and its sign."""
    first = jnp.where(split, length // 2, 0)
    late = offsets >= first
    extent = jnp.where(late, length - first, first)
    # Outside of the window, where it does not matter, the distance must still be in the table.
    gap = jnp.minimum(jnp.abs(offsets - jnp.where(late, first, 0) - extent // 2), extent)
    reach = jnp.where(split, jnp.maximum(extent, other) // 2, 0)
    return gap, reach, jnp.where(split & late, jnp.float32(-1.0), jnp.float32(1.0))


def tiles(key: Array, layout: tuple[int, int, int, int]) -> Array:
    """A grid of bumps with random signs, float32 [N, H, W, C]; it is centred, and pixels left over stay zero.

    Five tiles to a side, more where that leaves over enough pixels for another one, fewer where there are no five.
    """
    frames, height, width, channels = layout
    tile = max(1, height // 5), max(1, width // 5)
    grid = height // tile[0], width // tile[1]
    num_turns, num_signs = math.prod(grid), frames * math.prod(grid) * channels
    words = jax.random.bits(key, (num_words(num_turns + num_signs),), jnp.uint32)
    turns, signs = jnp.split(signs_of(words, (num_turns + num_signs,)), [num_turns])
    upright, turned = jax.vmap(lambda across: bump(Window(0, 0, *tile), tile, across))(jnp.array([False, True]))
    bumps = jnp.where(turns.reshape(grid[0], 1, grid[1], 1) > 0, turned[None, :, None], upright[None, :, None])
    field = signs.reshape(frames, grid[0], 1, grid[1], 1, channels) * bumps[None, ..., None]
    field = field.reshape(frames, grid[0] * tile[0], grid[1] * tile[1], channels)
    left_over = [full - used for full, used in zip(layout, field.shape, strict=True)]
    return jnp.pad(field, [(extra // 2, extra - extra // 2) for extra in left_over])


def signs_of(words: Array, shape: tuple[int, ...]) -> Array:
    """Signs, float32 of that shape, one for each bit of random words, uint32 [at least `num_words` of the size]."""
    bits = (words[:, None] >> jnp.arange(32, dtype=jnp.uint32)[None]) & 1
    return (2.0 * bits.reshape(-1)[: math.prod(shape)].astype(jnp.float32) - 1.0).reshape(shape)


def num_words(num_bits: int) -> int:
    """How many words of 32 bits hold so many bits."""
    return -(-num_bits // 32)
