"""The relief of drops: edges, the distance from them, and a light from one side, in whole numbers as OpenCV does it.

Source: Canny, A computational approach to edge detection, 1986; Borgefors, Distance transformations in digital images,
1986; the steps and their constants are those of make_cifar_c.py in github.com/hendrycks/robustness, which calls OpenCV.
"""

import jax
import jax.numpy as jnp

from ib_jax.types import Array

LOW, HIGH = 50, 150
"""Thresholds of edges, of the sum of the absolute slopes."""

STRAIGHT, DIAGONAL, KNIGHT = (round(length * 2**16) for length in (1.0, 1.4, 2.1969))
"""Lengths of the three moves of the chamfer distance, in units of 2^-16 pixel."""

FAR = 20
"""Pixels; longer distances are cut off."""

LIGHT = ((-2, -1, 0), (-1, 1, 1), (0, 1, 2))
"""The filter of an emboss."""


def drop_relief(levels: Array) -> Array:
    """The brightness of each pixel of a drop: int [B, H, W] in 0..255, from levels int [B, H, W] in 0..255."""
    near = _sum_of_nine(distances(edges(levels))) // (9 << 16)
    embossed = jnp.clip(_correlate(equalise(near), LIGHT), 0, 255)
    return (2 * _sum_of_nine(embossed) + 9) // 18


def edges(levels: Array) -> Array:
    """Canny's edges: bool [B, H, W], from levels int [B, H, W].

    A pixel is an edge if its slope is the steepest across the edge, and exceeds the high threshold or is connected to
    such a pixel through edge pixels above the low threshold.
    """
    x = _correlate(levels, ((-1, 0, 1), (-2, 0, 2), (-1, 0, 1)), "edge")
    y = _correlate(levels, ((-1, -2, -1), (0, 0, 0), (1, 2, 1)), "edge")
    steepness = jnp.abs(x) + jnp.abs(y)
    around = _neighbours(steepness, "constant")
    flat = round(0.41421356 * 2**15) * jnp.abs(x)  # tan(22.5 degrees)
    rise = jnp.abs(y) << 15
    above, left, right, below = (around[i][j] for i, j in ((0, 1), (1, 0), (1, 2), (2, 1)))
    falling = (x ^ y) < 0
    before = jnp.where(falling, around[0][2], around[0][0])
    after = jnp.where(falling, around[2][0], around[2][2])
    steepest = jnp.where(
        rise < flat,
        (steepness > left) & (steepness >= right),
        jnp.where(
            rise > flat + (jnp.abs(x) << 16),
            (steepness > above) & (steepness >= below),
            (steepness > before) & (steepness > after),
        ),
    )
    possible = steepest & (steepness > LOW)

    def spread(state: tuple[Array, Array]) -> tuple[Array, Array]:
        found, _ = state
        touched = jnp.stack([jnp.stack(row) for row in _neighbours(found, "constant")]).any((0, 1))
        return touched & possible, found

    start = possible & (steepness > HIGH)
    found, _ = jax.lax.while_loop(lambda state: (state[0] != state[1]).any(), spread, (start, jnp.zeros_like(start)))
    return found


def distances(targets: Array) -> Array:
    """The chamfer distance to the nearest target, cut off at `FAR`: int [B, H, W] in 2^-16 pixel, from bool [B, H, W].

    Each round updates every pixel from those one move away, until nothing changes; this takes at most `FAR` rounds.
    """
    height, width = targets.shape[1:]
    lengths = {1: STRAIGHT, 2: DIAGONAL, 5: KNIGHT}
    moves = [(y, x, lengths.get(y**2 + x**2)) for y in range(-2, 3) for x in range(-2, 3)]

    def learn(state: tuple[Array, Array]) -> tuple[Array, Array]:
        known, _ = state
        padded = jnp.pad(known, ((0, 0), (2, 2), (2, 2)), constant_values=FAR << 16)
        best = known
        for y, x, length in moves:
            if length is not None:
                best = jnp.minimum(best, length + padded[:, 2 + y : 2 + y + height, 2 + x : 2 + x + width])
        return best, known

    start = jnp.where(targets, 0, FAR << 16).astype(jnp.int32)
    return jax.lax.while_loop(lambda state: (state[0] != state[1]).any(), learn, (start, jnp.zeros_like(start) - 1))[0]


def equalise(levels: Array) -> Array:
    """Levels spread over 0..255 by their rank: int [B, H, W], from levels in 0..20.

    The darkest level that occurs becomes 0; an image of one level is unchanged.
    """
    num_images, total = len(levels), levels.shape[1] * levels.shape[2]
    thresholds = jnp.arange(FAR + 1, dtype=jnp.int32)[None]
    up_to = (levels[:, None] <= thresholds[..., None, None]).sum((2, 3), dtype=jnp.int32)
    first = jnp.where(up_to > 0, up_to, total).min(1, keepdims=True)
    scale = 255.0 / jnp.maximum(total - first, 1).astype(jnp.float32)
    table = jnp.round((up_to - first).astype(jnp.float32) * scale).astype(jnp.int32)
    table = jnp.where(first == total, thresholds, table)
    return jnp.take_along_axis(table, levels.reshape(num_images, total), 1).reshape(levels.shape)


def _correlate(values: Array, kernel: tuple[tuple[int, ...], ...], border: str = "reflect") -> Array:
    """The 3 x 3 filter of whole numbers [B, H, W]."""
    around = _neighbours(values, border)
    terms = [weight * around[i][j] for i, row in enumerate(kernel) for j, weight in enumerate(row) if weight]
    return sum(terms[1:], terms[0])


def _sum_of_nine(values: Array) -> Array:
    return _correlate(values, ((1, 1, 1),) * 3)


def _neighbours(values: Array, border: str) -> list[list[Array]]:
    """The nine shifts of [B, H, W]: row i, column j holds the neighbours at (i - 1, j - 1)."""
    height, width = values.shape[1:]
    padded = jnp.pad(values, ((0, 0), (1, 1), (1, 1)), mode=border)
    return [[padded[:, i : i + height, j : j + width] for j in range(3)] for i in range(3)]
