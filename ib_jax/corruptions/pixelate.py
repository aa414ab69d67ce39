"""Pixelation: fewer pixels, enlarged again."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from ib_jax.corruptions.constants import strength
from ib_jax.corruptions.pixels import check_batch
from ib_jax.types import Array


def pixelate(keys: Array, images: Array, *, severity: int, constants: str = "cifar10") -> Array:
    """Fewer pixels: shrinks each side by box means to a share c, truncated but at least one, and enlarges it again.

    Args:
      keys: one PRNG key for each image, [B]; not used.
      images: uint8 [B, H, W, 3].
      severity: 1 to 5; c is the share of the side.
      constants: "cifar10" or "imagenet".

    Returns:
      uint8 [B, H, W, 3], equal to Pillow's `image.resize(small, BOX).resize((W, H), BOX)` at every size.

    Raises:
      ValueError: an argument is not as above.

    Source: Hendrycks and Dietterich 2019, who use Pillow's box filter.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import corruptions
      >>> ramp = jnp.broadcast_to(jnp.arange(8, dtype=jnp.uint8)[None, None, :, None], (1, 8, 8, 3))
      >>> keys = jax.random.split(jax.random.key(0), 1)
      >>> run = jax.jit(corruptions.pixelate, static_argnames="severity")
      >>> run(keys, ramp, severity=5)[0, 0, :, 0]
      Array([1, 1, 2, 4, 4, 5, 7, 7], dtype=uint8)
    """
    check_batch(keys, images)
    share = strength("pixelate", severity, constants)
    sides = images.shape[1:3]
    new_sides = tuple(max(1, int(side * share)) for side in sides)
    planes = images.transpose(0, 3, 1, 2).astype(jnp.float32)
    for axis in (0, 1) if down_first(sides, new_sides) else (1, 0):  # Pillow rounds to levels after each
        planes = _shrink(planes, axis, new_sides[axis])
    small = planes.astype(jnp.uint8).transpose(0, 2, 3, 1)
    down, across = (enlarged(side, new_side) for side, new_side in zip(sides, new_sides, strict=True))
    return small[:, :, across][:, down]


def down_first(sides: tuple[int, ...], new_sides: tuple[int, ...]) -> bool:
    """Whether Pillow resizes the height before the width; both are (H, W).

    Since version 13 it does if the height loses more than twice as many pixels as the width, or any while the width
    loses none. Earlier versions resize the width first, except some for images a hundred times as tall as wide.
    """
    down, across = (side - new_side for side, new_side in zip(sides, new_sides, strict=True))
    return down > max(0, 2 * across)


def _shrink(planes: Array, axis: int, new_size: int) -> Array:
    """Means of planes [B, C, H, W] along H (axis 0) or W (1), rounded half up to levels.

    The half added to a whole number keeps rounding of the quotient harmless.
    """
    size = planes.shape[2 + axis]
    first = np.searchsorted(enlarged(size, new_size), np.arange(new_size))  # pixel that shows each new one
    inside, counts = (jnp.asarray(array[first], jnp.float32) for array in boxes(size, new_size))
    counts = counts.reshape((1, 1, -1, 1) if axis == 0 else (1, 1, 1, -1))
    precision = jax.lax.Precision.HIGHEST  # sums of levels are whole numbers, and must stay so
    sums = jnp.einsum(("bchw,ph->bcpw", "bchw,pw->bchp")[axis], planes, inside, precision=precision)
    return jnp.floor((2.0 * sums + counts + 0.5) / (2.0 * counts))


@functools.lru_cache(maxsize=64)
def boxes(size: int, new_size: int) -> tuple[np.ndarray, np.ndarray]:
    """The pixels that each pixel is a mean of, once a side was shrunk and enlarged again by box filters.

    Args:
      size: pixels of the side.
      new_size: pixels in between, at most `size`.

    Returns:
      (bool [size, size]: whether the pixel of the column counts for that of the row; how many do, int [size]).
    """
    inside = box_members(size, new_size)[enlarged(size, new_size)]
    return inside, inside.sum(1)


def enlarged(size: int, new_size: int) -> np.ndarray:
    """Which of `new_size` pixels each of `size` shows: int [size]."""
    return np.nonzero(box_members(new_size, size))[1]


def box_members(size: int, new_size: int) -> np.ndarray:
    """The pixels that a box filter takes the mean of: bool [new_size, size].

    New pixel i covers [i, i + 1) * size / new_size, or half a pixel on both sides of its middle if that is more, and
    takes those pixels whose middles lie in that, the upper end included. Enlarged, it takes one.

    Where a middle lies on an end, rounding decides. So this asks the two questions that Pillow asks, in float64 and in
    its order: whether the pixel is between the first and the last, and whether it is near enough.
    """
    scale = size / new_size
    width = max(scale, 1.0)
    pixels, middles = np.arange(size), (np.arange(new_size)[:, None] + 0.5) * scale
    first, last = ((middles + side * 0.5 * width + 0.5).astype(int) for side in (-1, 1))
    distance = (pixels - middles + 0.5) * (1.0 / width)
    return (pixels >= first) & (pixels < last) & (distance > -0.5) & (distance <= 0.5)
