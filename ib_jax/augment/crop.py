"""Random crops: a crop of the padded image, and a crop of random size and shape."""

import math

import jax
import jax.numpy as jnp
from jax import lax

from ib_jax.augment.image import Augment, Fill, check_image, fill_colour
from ib_jax.augment.resize import Box, resize
from ib_jax.types import Array

_TRIES = 10
"""Boxes drawn before falling back to the middle of the image, as in torchvision."""


def pad_crop(padding: int = 4, *, fill: Fill = 0) -> Augment:
    """Pads all four sides and crops back to the image's size at a uniformly random place.

    Args:
      padding: pixels on each side; the crop starts 0 to 2 * padding pixels into the padded image, both ends included.
      fill: level of the padding. The original pads with zero after normalisation, which is the data's mean colour.

    Returns:
      Augment: (key, image uint8 [H, W, 3]) -> the same shape.

    Raises:
      ValueError: `padding` is less than 0; from the result, an image that is not uint8 [H, W, 3].

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import augment
      >>> jax.jit(augment.pad_crop(1))(jax.random.key(3), jnp.ones((3, 3, 3), jnp.uint8))[..., 0]
      Array([[0, 0, 0],
             [1, 1, 1],
             [1, 1, 1]], dtype=uint8)
    """
    if padding < 0:
        raise ValueError(f"padding must be at least 0, got {padding}")

    def apply(key: Array, image: Array) -> Array:
        check_image(image)
        height, width, _ = image.shape
        around = jnp.broadcast_to(fill_colour(fill), (height + 2 * padding, width + 2 * padding, 3))
        padded = lax.dynamic_update_slice(around, image, (padding, padding, 0))
        top, left = jax.random.randint(key, (2,), 0, 2 * padding + 1, jnp.int32)
        return lax.dynamic_slice(padded, (top, left, jnp.int32(0)), image.shape)

    return apply


def random_resized_crop(
    size: int, *, scale: tuple[float, float] = (0.08, 1.0), ratio: tuple[float, float] = (3 / 4, 4 / 3)
) -> Augment:
    """Crops a box of random size and shape, and resizes it to a square.

    The area is a uniform share of the image's, width / height is log-uniform, and the place is uniform. The first of
    ten drawn boxes that fits into the image is used; if none fits, the largest central box with an allowed ratio.

    Args:
      size: pixels along each side of the result.
      scale: least and greatest share of the area, in (0, 1].
      ratio: least and greatest width / height.

    Returns:
      Augment: (key, image uint8 [H, W, 3]) -> uint8 [size, size, 3], resized as by `resize`.

    Raises:
      ValueError: a setting is out of its range; from the result, an image that is not uint8 [H, W, 3].

    Source: Szegedy et al., Going Deeper with Convolutions, 2015; ten tries and the fallback as in torchvision.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import augment
      >>> jax.jit(augment.random_resized_crop(24))(jax.random.key(0), jnp.zeros((40, 60, 3), jnp.uint8)).shape
      (24, 24, 3)
    """
    if size < 1:
        raise ValueError(f"size must be at least 1, got {size}")
    if not 0 < scale[0] <= scale[1] <= 1:
        raise ValueError(f"scale must be 0 < least <= greatest <= 1, got {scale}")
    if not 0 < ratio[0] <= ratio[1]:
        raise ValueError(f"ratio must be 0 < least <= greatest, got {ratio}")

    def apply(key: Array, image: Array) -> Array:
        check_image(image)
        box = draw_box(key, image.shape[0], image.shape[1], scale=scale, ratio=ratio)
        return resize(image, (size, size), box=box)

    return apply


def draw_box(key: Array, height: int, width: int, *, scale: tuple[float, float], ratio: tuple[float, float]) -> Box:
    """Draws the box of `random_resized_crop`.

    Args:
      key: one PRNG key.
      height, width: of the image.
      scale, ratio: as for `random_resized_crop`.

    Returns:
      Box of int [] arrays, inside the image.
    """
    areas, shapes, place = jnp.split(jax.random.uniform(key, (2 * _TRIES + 2,), jnp.float32), (_TRIES, 2 * _TRIES))
    area = height * width * (scale[0] + (scale[1] - scale[0]) * areas)
    shape = ratio[0] * jnp.exp(math.log(ratio[1] / ratio[0]) * shapes)
    heights, widths = (jnp.round(jnp.sqrt(value)).astype(jnp.int32) for value in (area / shape, area * shape))
    fits = (heights > 0) & (heights <= height) & (widths > 0) & (widths <= width)
    largest = _largest(height, width, ratio)
    tall, wide = (
        jnp.where(fits.any(), tried[jnp.argmax(fits)], jnp.int32(last))
        for tried, last in zip((heights, widths), largest, strict=True)
    )
    free = jnp.array([height, width], jnp.int32) - jnp.stack([tall, wide])
    anywhere = jnp.minimum((place * (free + 1).astype(jnp.float32)).astype(jnp.int32), free)
    top, left = jnp.where(fits.any(), anywhere, free // 2)
    return Box(top, left, tall, wide)


def _largest(height: int, width: int, ratio: tuple[float, float]) -> tuple[int, int]:
    """The largest height and width in the image whose ratio is allowed."""
    if width / height < ratio[0]:
        return max(1, min(height, round(width / ratio[0]))), width
    if width / height > ratio[1]:
        return height, max(1, min(width, round(height * ratio[1])))
    return height, width
