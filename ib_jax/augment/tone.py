"""Operations on levels: invert, solarise, posterise, and the two that look at the histogram, as Pillow's ImageOps."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from ib_jax.augment.geometry import Amount
from ib_jax.augment.image import check_image
from ib_jax.types import Array


@jax.jit
def invert(image: Array) -> Array:
    """255 - x.

    Args:
      image: uint8 [H, W, 3].

    Returns:
      uint8 [H, W, 3], equal to Pillow's `ImageOps.invert(image)`.

    Raises:
      ValueError: not uint8 [H, W, 3].

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax.augment import operations
      >>> operations.invert(jnp.array([[[0, 1, 255]]], jnp.uint8))
      Array([[[255, 254,   0]]], dtype=uint8)
    """
    check_image(image)
    return 255 - image


@jax.jit
def solarize(image: Array, threshold: Amount) -> Array:
    """Inverts levels from a threshold (0 to 256) on; otherwise as `invert`.

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax.augment import operations
      >>> operations.solarize(jnp.array([[[99, 100, 255]]], jnp.uint8), 100)
      Array([[[ 99, 155,   0]]], dtype=uint8)
    """
    check_image(image)
    return jnp.where(image.astype(jnp.float32) < threshold, image, 255 - image)


@functools.partial(jax.jit, static_argnames="threshold")
def solarize_add(image: Array, addition: Amount, *, threshold: int = 128) -> Array:
    """Adds to levels below a threshold, up to 255 at most; otherwise as `invert`. Pillow has no such operation.

    Source: tensorflow/tpu, models/official/efficientnet/autoaugment.py.

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax.augment import operations
      >>> operations.solarize_add(jnp.array([[[0, 127, 128]]], jnp.uint8), 100)
      Array([[[100, 227, 128]]], dtype=uint8)
    """
    check_image(image)
    added = jnp.clip(image.astype(jnp.int32) + jnp.asarray(addition).astype(jnp.int32), 0, 255).astype(jnp.uint8)
    return jnp.where(image < threshold, added, image)


@jax.jit
def posterize(image: Array, bits: int | Array) -> Array:
    """Keeps the upper bits (0 to 8) of each level; otherwise as `invert`. Pillow refuses 0, which gives black here.

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax.augment import operations
      >>> operations.posterize(jnp.array([[[63, 64, 255]]], jnp.uint8), 2)
      Array([[[  0,  64, 192]]], dtype=uint8)
    """
    check_image(image)
    mask = (0xFF00 >> jnp.asarray(bits).astype(jnp.int32)) & 0xFF
    return image & mask.astype(jnp.uint8)


@jax.jit
def auto_contrast(image: Array) -> Array:
    """Stretches the levels of each channel, (x - min) 255 / (max - min), cut off; otherwise as `invert`.

    Pillow computes in float64, where the quotient at times comes out just below the integer that it is, and so it does
    here. A channel with one level stays as it is.

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax.augment import operations
      >>> operations.auto_contrast(jnp.array([[[50] * 3, [60] * 3, [100] * 3]], jnp.uint8))[..., 0]
      Array([[  0,  51, 254]], dtype=uint8)
    """
    check_image(image)
    height, width, _ = image.shape
    rows = image.reshape(height, 3 * width)  # the CPU is slow at loops of three
    least, most = (
        bound.astype(jnp.int32)[:, None]
        for bound in (rows.min(0).reshape(width, 3).min(0), rows.max(0).reshape(width, 3).max(0))
    )
    span = jnp.maximum(most - least, 1)
    levels = jnp.arange(256, dtype=jnp.int32)[None]
    scaled = 255 * jnp.maximum(levels - least, 0)
    stretched = _divide(scaled, span)
    short = (stretched * span == scaled) & (jnp.asarray(_short())[least, most] >> (stretched // 15) & 1 == 1)
    table = jnp.where(most > least, jnp.minimum(stretched - short.astype(jnp.int32), 255), levels)
    return _look_up(image, table)


@jax.jit
def equalize(image: Array) -> Array:
    """Spreads the levels of each channel evenly, by its cumulative histogram; otherwise as `invert`.

    With n(x) pixels below level x and step = (pixels - those of the highest level) // 255, level x becomes
    (n(x) + step // 2) // step, at most 255. A channel with one level, or with step 0, stays as it is.

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax.augment import operations
      >>> image = jnp.broadcast_to(jnp.arange(256, dtype=jnp.uint8)[:, None, None] // 2, (256, 2, 3))
      >>> operations.equalize(image)[:6, 0, 0]
      Array([0, 0, 4, 4, 8, 8], dtype=uint8)
    """
    check_image(image)
    below = _pixels_below(image)
    # The highest level is the last with any pixel left.
    count = image.shape[0] * image.shape[1]
    step = jnp.where(below < count, below, 0).max(1, keepdims=True) // 255
    table = jnp.minimum(_divide(below + step // 2, jnp.maximum(step, 1)), 255)
    return _look_up(image, jnp.where(step > 0, table, jnp.arange(256, dtype=jnp.int32)[None]))


def _pixels_below(image: Array) -> Array:
    """How many pixels of each channel are below each level: uint8 [H, W, 3] -> int32 [3, 256]."""
    flat = image.reshape(-1, 3).astype(jnp.int32)
    empty = jnp.zeros(256, jnp.int32)
    # A channel at a time: thrice as fast on the CPU as all in one.
    counts = [empty.at[flat[:, channel]].add(1, mode="promise_in_bounds") for channel in range(3)]
    histogram = jnp.stack(counts)
    return jnp.cumsum(histogram, 1) - histogram


def _look_up(image: Array, table: Array) -> Array:
    """table[c, image[..., c]]: [3, 256] -> uint8 [H, W, 3]."""
    index = image.astype(jnp.int32) + 256 * jnp.arange(3, dtype=jnp.int32)[None, None]
    return table.astype(jnp.uint8).reshape(-1).at[index].get(mode="promise_in_bounds")


def _divide(numerator: Array, denominator: Array) -> Array:
    """numerator // denominator of integers, by float32, which vectorises, and a correction, which makes it exact."""
    quotient = jnp.floor(numerator.astype(jnp.float32) / denominator.astype(jnp.float32)).astype(jnp.int32)
    quotient += ((quotient + 1) * denominator <= numerator).astype(jnp.int32)
    return quotient - (quotient * denominator > numerator).astype(jnp.int32)


@functools.cache
def _short() -> np.ndarray:
    """Where float64 puts k = (x - min) 255 / (max - min), an integer, below k: bit k // 15 of int32 [min, max].

    Such k are multiples of 255 / gcd(255, max - min), which is at least 15 wherever float64 errs at all.
    """
    short = np.zeros((256, 256), np.int32)
    for least in range(256):
        most, level = np.arange(least + 1, 256)[:, None], np.arange(least, 256)
        scale = 255.0 / (most - least)
        stretched = (level * scale - least * scale).astype(np.int64)
        exact, rest = np.divmod(255 * (level - least), most - least)
        errs = (rest == 0) & (level <= most) & (stretched < exact)
        short[least, least + 1 :] = np.where(errs, 1 << (np.minimum(exact, 255) // 15), 0).sum(1)
    return short
