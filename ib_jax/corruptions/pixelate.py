"""Pixelation: fewer pixels, enlarged again."""

import functools

import jax
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
      >>> keys = jax.random.split(jax.random.key(0), 1)
      >>> run = jax.jit(corruptions.pixelate, static_argnames="severity")
      >>> run(keys, ramp, severity=5)[0, 0, :, 0]
      Array([1, 1, 2, 4, 4, 5, 7, 7], dtype=uint8)
    """
    check_batch(keys, images)
    share = strength("pixelate", severity, constants)
    height, width = images.shape[1:3]
    # Pillow goes along the rows first, and rounds to levels in between. Rounding may wait until a row is enlarged.
    planes = images.transpose(0, 3, 1, 2).astype(jnp.float32)
    precision = jax.lax.Precision.HIGHEST  # sums of levels are whole numbers, and must stay so
    inside, counts = (jnp.asarray(array, jnp.float32) for array in boxes(width, int(width * share)))
    rows = _round_means(jnp.einsum("bchw,pw->bchp", planes, inside, precision=precision), counts)
    inside, counts = (jnp.asarray(array, jnp.float32) for array in boxes(height, int(height * share)))
    whole = _round_means(jnp.einsum("bchp,oh->bcpo", rows, inside, precision=precision), counts)
    return whole.transpose(0, 3, 2, 1).astype(jnp.uint8)


def _round_means(sums: Array, counts: Array) -> Array:
    """Sums over `counts`, rounded half up; the half added to a whole number keeps rounding of the quotient harmless."""
    return jnp.floor((2.0 * sums + counts + 0.5) / (2.0 * counts))


@functools.lru_cache(maxsize=64)
def boxes(size: int, new_size: int) -> tuple[np.ndarray, np.ndarray]:
    """The pixels that each pixel is a mean of, once a side was shrunk and enlarged again by box filters.

    Args:
      size: pixels of the side.
      new_size: pixels in between, less than `size`.

    Returns:
      (bool [size, size]: whether the pixel of the column counts for that of the row; how many do, int [size]).
    """
    shrunk, (enlarged,) = box_members(size, new_size), np.nonzero(box_members(new_size, size))[1][None]
    inside = shrunk[enlarged]
    return inside, inside.sum(1)


def box_members(size: int, new_size: int) -> np.ndarray:
    """The pixels that a box filter takes the mean of: bool [new_size, size].

    New pixel i covers [i, i + 1) * size / new_size, or half a pixel on both sides of its middle if that is more, and
    takes those pixels whose middles lie in that, the upper end included. Enlarged, it takes one.
    """
    scale = size / new_size
    middles = (np.arange(new_size)[:, None] + 0.5) * scale
    distance = (np.arange(size) + 0.5 - middles) / max(scale, 1.0)
    return (distance > -0.5) & (distance <= 0.5)
