"""Pixelation: fewer pixels, enlarged again."""

import functools

import jax.numpy as jnp
import numpy as np

from ib_jax.corruptions.constants import strength
from ib_jax.corruptions.pixels import check_batch
from ib_jax.types import Array


def pixelate(keys: Array, images: Array, *, severity: int, constants: str = "cifar10") -> Array:
    """Fewer pixels: each side shrunk to a share c by means over boxes, and enlarged again.

    Args:
      keys: one PRNG key for each image, [B]; not used.
      images: uint8 [B, H, W, 3].
      severity: 1 to 5; c is the share of the side.
      constants: "cifar10" or "imagenet".

    Returns:
      uint8 [B, H, W, 3].

    Raises:
      ValueError: an argument is not as above.

    Source: Hendrycks and Dietterich 2019, who have Pillow's box filter do it.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import corruptions
      >>> ramp = jnp.broadcast_to(jnp.arange(8, dtype=jnp.uint8)[None, None, :, None], (1, 8, 8, 3))
      >>> corruptions.pixelate(jax.random.split(jax.random.key(0), 1), ramp, severity=5)[0, 0, :, 0]
      Array([1, 1, 2, 4, 4, 5, 7, 7], dtype=uint8)
    """
    check_batch(keys, images)
    share = strength("pixelate", severity, constants)
    height, width = images.shape[1:3]
    small = int(height * share), int(width * share)
    # Pillow goes along the rows first, and rounds to levels in between.
    shrunk = _box_means(_box_means(images, small[1], axis=2), small[0], axis=1)
    up_rows, up_columns = (box_taps(few, many)[0][:, 0] for few, many in zip(small, (height, width), strict=True))
    return shrunk[:, up_rows][:, :, up_columns]


def _box_means(images: Array, new_size: int, axis: int) -> Array:
    """Means over boxes along an axis, rounded half up: uint8 with `new_size` pixels there."""
    taps, counts = box_taps(images.shape[axis], new_size)
    shape = [1] * images.ndim
    shape[axis] = new_size
    total = jnp.asarray(counts).reshape(shape)
    for taken in taps.T:
        values = jnp.take(images, np.maximum(taken, 0), axis, mode="clip").astype(jnp.int32)
        total = total + 2 * jnp.where((taken >= 0).reshape(shape), values, 0)
    return (total // (2 * counts.reshape(shape))).astype(jnp.uint8)


@functools.lru_cache(maxsize=64)
def box_taps(size: int, new_size: int) -> tuple[np.ndarray, np.ndarray]:
    """The pixels that a box filter takes the mean of, one row for each new pixel.

    New pixel i covers [i, i + 1) * size / new_size, or half a pixel on both sides of its middle if that is more, and
    takes those pixels whose middles lie in that, the upper end included.

    Args:
      size: pixels before.
      new_size: pixels after.

    Returns:
      (pixels int [new_size, K], -1 where there are less than K; how many int [new_size]).
    """
    scale = size / new_size
    middles = (np.arange(new_size)[:, None] + 0.5) * scale
    distance = (np.arange(size) + 0.5 - middles) / max(scale, 1.0)
    inside = (distance > -0.5) & (distance <= 0.5)
    counts = inside.sum(1)
    taps = np.full((new_size, counts.max()), -1)
    for row, (pixels, count) in enumerate(zip(inside, counts, strict=True)):
        taps[row, :count] = np.flatnonzero(pixels)
    return taps, counts
