"""Brightness, contrast, colour and sharpness: blends with a degraded image, bit for bit as Pillow's ImageEnhance."""

import jax
import jax.numpy as jnp
from jax import lax

from ib_jax.augment.geometry import Amount
from ib_jax.augment.image import check_image
from ib_jax.types import Array


@jax.jit
def brightness(image: Array, factor: Amount) -> Array:
    r"""Blends with black: :math:`f x` for the factor f.

    Args:
      image: uint8 [H, W, 3].
      factor: f, float []; 0 is black, 1 the image, more than 1 brighter.

    Returns:
      uint8 [H, W, 3], equal to Pillow's `ImageEnhance.Brightness(image).enhance(factor)`.

    Raises:
      ValueError: not uint8 [H, W, 3].

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax.augment import operations
      >>> operations.brightness(jnp.full((1, 1, 3), 100, jnp.uint8), 1.5)
      Array([[[150, 150, 150]]], dtype=uint8)
    """
    check_image(image)
    return blend(jnp.zeros((), jnp.uint8), image, factor)


@jax.jit
def contrast(image: Array, factor: Amount) -> Array:
    r"""Blends with the rounded mean m of the grey image: :math:`m + f (x - m)` for the factor f.

    Args:
      image: uint8 [H, W, 3].
      factor: f, float []; 0 is uniformly grey, 1 the image, more than 1 has more contrast.

    Returns:
      uint8 [H, W, 3], equal to Pillow's `ImageEnhance.Contrast(image).enhance(factor)`.

    Raises:
      ValueError: not uint8 [H, W, 3].

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax.augment import operations
      >>> operations.contrast(jnp.array([[[100] * 3, [120] * 3]], jnp.uint8), 2.0)[..., 0]
      Array([[ 90, 130]], dtype=uint8)
    """
    check_image(image)
    count = image.shape[0] * image.shape[1]
    mean = (2 * grey(image).sum() + count) // (2 * count)
    return blend(mean, image, factor)


@jax.jit
def color(image: Array, factor: Amount) -> Array:
    """Blends with the grey image.

    Args:
      image: uint8 [H, W, 3].
      factor: float []; 0 is grey, 1 the image, more than 1 has stronger colours.

    Returns:
      uint8 [H, W, 3], equal to Pillow's `ImageEnhance.Color(image).enhance(factor)`.

    Raises:
      ValueError: not uint8 [H, W, 3].

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax.augment import operations
      >>> operations.color(jnp.array([[[200, 100, 0]]], jnp.uint8), 0.5)
      Array([[[159, 109,  59]]], dtype=uint8)
    """
    check_image(image)
    # Flat, because the CPU is slow at loops of length three.
    return blend(jnp.repeat(grey(image), 3), image.reshape(-1), factor).reshape(image.shape)


@jax.jit
def sharpness(image: Array, factor: Amount) -> Array:
    """Blends with the smoothed image.

    Smoothing takes the mean over 3 x 3 pixels, the central one with weight 5 of 13; border pixels are unchanged.

    Args:
      image: uint8 [H, W, 3].
      factor: float []; 0 is smooth, 1 the image, more than 1 sharper.

    Returns:
      uint8 [H, W, 3], equal to Pillow's `ImageEnhance.Sharpness(image).enhance(factor)`.

    Raises:
      ValueError: not uint8 [H, W, 3].

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax.augment import operations
      >>> image = jnp.zeros((3, 3, 3), jnp.uint8).at[1, 1].set(130)
      >>> operations.sharpness(image, 0.0)[1, 1]
      Array([50, 50, 50], dtype=uint8)
    """
    check_image(image)
    height, width, _ = image.shape
    # Merge width and channels into one axis: neighbours are three apart, and the loops are long.
    rows = image.reshape(height, 3 * width)
    padded = jnp.pad(rows, ((1, 1), (3, 3))).astype(jnp.int32)
    around = [padded[i : i + height, 3 * j : 3 * (j + width)] for i in range(3) for j in range(3)]
    total = sum(around, 4 * around[4])
    # Pillow adds float32 products and rounds; a multiple of 1/13 is never close enough to a half for it to matter.
    smooth = ((2 * total + 13) // 26).astype(jnp.uint8)
    y, x = jnp.arange(height, dtype=jnp.int32)[:, None], jnp.arange(3 * width, dtype=jnp.int32)[None]
    inside = (y > 0) & (y < height - 1) & (x >= 3) & (x < 3 * width - 3)
    return blend(jnp.where(inside, smooth, rows), rows, factor).reshape(image.shape)


def grey(image: Array) -> Array:
    """Luma by ITU-R 601-2 with Pillow's 16-bit weights, rounded: uint8 [H, W, 3] -> int32 [H, W] in 0..255."""
    # All sums are below 2^24, so float32 is exact; a matrix product is three times as fast on the CPU.
    weights = jnp.array([19595, 38470, 7471], jnp.float32)
    luma = jnp.dot(image.astype(jnp.float32), weights, precision=lax.Precision.HIGHEST)
    return (luma.astype(jnp.int32) + (1 << 15)) >> 16


def blend(lesser: Array, image: Array, factor: Amount) -> Array:
    """lesser + factor (image - lesser), clipped to 0..255 and truncated, in float32 as Pillow's `Image.blend`.

    Args:
      lesser: levels 0..255, broadcasting against `image`.
      image: uint8.
      factor: 0 gives `lesser`, 1 `image`, others extrapolate.

    Returns:
      uint8, shaped as `image`.
    """
    factor = jnp.asarray(factor, jnp.float32)
    base = lesser.astype(jnp.float32)
    difference = image.astype(jnp.float32) - base
    # Compilers fuse a product and a sum into one operation with one rounding, where Pillow rounds twice. Split into two
    # halves of 12 bits, the factor gives two exact products, so their sum is the rounded product, fused or not.
    bits = lax.bitcast_convert_type(factor, jnp.uint32)
    upper = lax.bitcast_convert_type(bits & jnp.uint32(0xFFFFF000), jnp.float32)
    product = difference * upper + difference * (factor - upper)
    return jnp.clip(base + product, 0, 255).astype(jnp.uint8)
