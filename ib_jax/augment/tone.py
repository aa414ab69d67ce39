"""Operations on levels: invert, solarise, posterise, and the two based on the histogram, as in Pillow's ImageOps."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from ib_jax.augment.geometry import Amount
from ib_jax.augment.image import check_image
from ib_jax.types import Array


@jax.jit
def invert(image: Array) -> Array:
    r"""Inverts the levels: :math:`255 - x`.

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
    """Inverts the levels that are not below a threshold.

    Args:
      image: uint8 [H, W, 3].
      threshold: float [], 0 to 256.

    Returns:
      uint8 [H, W, 3], equal to Pillow's `ImageOps.solarize(image, threshold)`.

    Raises:
      ValueError: not uint8 [H, W, 3].

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
    """Adds to the levels below a threshold, clipped to 0..255. Pillow has no such operation.

    Args:
      image: uint8 [H, W, 3].
      addition: float [], truncated to an integer.
      threshold: the level from which on nothing is added.

    Returns:
      uint8 [H, W, 3].

    Raises:
      ValueError: not uint8 [H, W, 3].

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
    """Keeps the upper bits of each level.

    Args:
      image: uint8 [H, W, 3].
      bits: int [], 0 to 8; 0 gives black, where Pillow raises an error.

    Returns:
      uint8 [H, W, 3], equal to Pillow's `ImageOps.posterize(image, bits)`.

    Raises:
      ValueError: not uint8 [H, W, 3].

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
    r"""Stretches the levels of each channel: :math:`255 (x - \min) / (\max - \min)`, truncated.

    Pillow computes in float64, where the quotient is sometimes just below the exact integer; this function reproduces
    that. A channel with a single level is unchanged.

    Args:
      image: uint8 [H, W, 3].

    Returns:
      uint8 [H, W, 3], equal to Pillow's `ImageOps.autocontrast(image)`.

    Raises:
      ValueError: not uint8 [H, W, 3].

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax.augment import operations
      >>> operations.auto_contrast(jnp.array([[[50] * 3, [60] * 3, [100] * 3]], jnp.uint8))[..., 0]
      Array([[  0,  51, 254]], dtype=uint8)
    """
    check_image(image)
    height, width, _ = image.shape
    rows = image.reshape(height, 3 * width)  # the CPU is slow at loops of length three
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
    r"""Equalises the histogram of each channel.

    Let :math:`n(x)` pixels lie below level x and :math:`s = \lfloor m / 255 \rfloor`, where m counts the pixels below
    the highest level. Level x becomes :math:`\lfloor (n(x) + \lfloor s / 2 \rfloor) / s \rfloor`, at most 255. A
    channel with :math:`s = 0`, such as one with a single level, is unchanged.

    Args:
      image: uint8 [H, W, 3].

    Returns:
      uint8 [H, W, 3], equal to Pillow's `ImageOps.equalize(image)`.

    Raises:
      ValueError: not uint8 [H, W, 3].

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax.augment import operations
      >>> image = jnp.broadcast_to(jnp.arange(256, dtype=jnp.uint8)[:, None, None] // 2, (256, 2, 3))
      >>> operations.equalize(image)[:6, 0, 0]
      Array([0, 0, 4, 4, 8, 8], dtype=uint8)
    """
    check_image(image)
    below = _pixels_below(image)
    # The highest level is the last one that occurs; `count` minus its pixels is the largest value below `count`.
    count = image.shape[0] * image.shape[1]
    step = jnp.where(below < count, below, 0).max(1, keepdims=True) // 255
    table = jnp.minimum(_divide(below + step // 2, jnp.maximum(step, 1)), 255)
    return _look_up(image, jnp.where(step > 0, table, jnp.arange(256, dtype=jnp.int32)[None]))


def _pixels_below(image: Array) -> Array:
    """The number of pixels of each channel below each level: uint8 [H, W, 3] -> int32 [3, 256]."""
    flat = image.reshape(-1, 3).astype(jnp.int32)
    empty = jnp.zeros(256, jnp.int32)
    # One channel at a time: three times as fast on the CPU as all at once.
    counts = [empty.at[flat[:, channel]].add(1, mode="promise_in_bounds") for channel in range(3)]
    histogram = jnp.stack(counts)
    return jnp.cumsum(histogram, 1) - histogram


def _look_up(image: Array, table: Array) -> Array:
    """table[c, image[..., c]]: [3, 256] -> uint8 [H, W, 3]."""
    index = image.astype(jnp.int32) + 256 * jnp.arange(3, dtype=jnp.int32)[None, None]
    return table.astype(jnp.uint8).reshape(-1).at[index].get(mode="promise_in_bounds")


def _divide(numerator: Array, denominator: Array) -> Array:
    """numerator // denominator of integers: float32 division, which vectorises, and an exact correction."""
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
