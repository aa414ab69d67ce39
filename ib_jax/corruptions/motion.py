"""Motion blur: the mean of an image and its copies along a line, weighted by half a Gaussian."""

import jax
import jax.numpy as jnp
import numpy as np

from ib_jax.corruptions import draws
from ib_jax.corruptions.constants import strength
from ib_jax.corruptions.pixels import check_batch, cut_levels
from ib_jax.types import Array

KEEPS_BRIGHTNESS_BELOW = 8
"""Pixels of a side; what leaves a larger image takes its light along."""


def motion_blur(keys: Array, images: Array, *, severity: int, constants: str = "cifar10") -> Array:
    r"""A camera that moves: :math:`\sum_i w_i\, x(p + i d)`, with d of length one and an angle in (-45, 45) degrees.

    Args:
      keys: one PRNG key for each image, [B].
      images: uint8 [B, H, W, 3].
      severity: 1 to 5; the constants are the radius r of 2 r + 1 copies and the standard deviation of their weights,
        in pixels.
      constants: "cifar10" or "imagenet".

    Returns:
      uint8 [B, H, W, 3].

    Raises:
      ValueError: an argument is not as above.

    Source: Hendrycks and Dietterich 2019, who use ImageMagick; here the formula of its port in the package
      imagecorruptions, which truncates levels where ImageMagick rounds.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import corruptions
      >>> grey = jnp.full((1, 24, 24, 3), 128, jnp.uint8)
      >>> keys = jax.random.split(jax.random.key(0), 1)
      >>> run = jax.jit(corruptions.motion_blur, static_argnames="severity")
      >>> int(run(keys, grey, severity=5)[0, 4, 4, 0])
      128
    """
    check_batch(keys, images)
    radius, sigma = strength("motion_blur", severity, constants)
    return cut_levels(blur_along(images.astype(jnp.float32), draws.uniform(keys, (), -45.0, 45.0), radius, sigma))


def blur_along(images: Array, angles: Array, radius: int, sigma: float) -> Array:
    """Motion blur by a given angle.

    Steps are rounded to whole pixels. The border pixels are repeated. A copy that would leave the image entirely is
    dropped with all that follow it, and the image gets darker by their weight. If a side is shorter than 8 pixels,
    where hardly any weight would remain, the remaining copies are normalised instead.

    Args:
      images: float [B, H, W, C].
      angles: float [B], in degrees; at 0 a pixel becomes the mean of itself and those to its right, at 90 below it.
      radius: r, for 2 r + 1 copies.
      sigma: standard deviation of the Gaussian whose right half gives the weights.

    Returns:
      float [B, H, W, C].
    """
    height, width, channels = images.shape[1:]
    num_steps = 2 * radius + 1
    weights = np.exp(-(np.arange(num_steps) ** 2) / (2.0 * sigma**2))
    weights /= weights.sum()
    radians, steps = jnp.deg2rad(angles)[:, None], jnp.arange(num_steps, dtype=jnp.float32)[None]
    down, right = (jnp.ceil(steps * move - 0.5) for move in (jnp.sin(radians), jnp.cos(radians)))
    inside = jnp.cumprod((jnp.abs(down) < height) & (jnp.abs(right) < width), 1)
    shares = inside.astype(jnp.float32) * jnp.asarray(weights, jnp.float32)[None]
    if min(height, width) < KEEPS_BRIGHTNESS_BELOW:
        shares /= shares.sum(1, keepdims=True)
    margin = ((0, 0), (num_steps, num_steps), (num_steps, num_steps), (0, 0))
    padded = jnp.pad(images, margin, mode="edge")
    down, right = (num_steps + offset.astype(jnp.int32) for offset in (down, right))

    def blur(image: Array, down: Array, right: Array, shares: Array) -> Array:
        # One slice for each copy, not a loop: all become one pass over the pixels.
        copies = [
            shares[step]
            * jax.lax.dynamic_slice(image, (down[step], right[step], jnp.int32(0)), (height, width, channels))
            for step in range(num_steps)
        ]
        return sum(copies[1:], copies[0])

    return jax.vmap(blur)(padded, down, right, shares)
