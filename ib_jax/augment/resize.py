"""Bilinear resizing of an image or a part of it, antialiased when it shrinks, and the centre crop for evaluation."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from ib_jax.augment.image import check_image
from ib_jax.types import Array


class Box(NamedTuple):
    """A part of an image, in pixels: integers or int [] arrays; it must lie inside the image."""

    top: Array | int
    left: Array | int
    height: Array | int
    width: Array | int


@functools.partial(jax.jit, static_argnames="size")
def resize(image: Array, size: tuple[int, int], *, box: Box | None = None) -> Array:
    """Resizes an image, or a part of it as if that part had been cropped first.

    Each new pixel is a weighted mean with a triangular filter, as wide as two pixels of the coarser grid.

    Args:
      image: uint8 [H, W, 3].
      size: (H', W').
      box: the part to resize; its fields may be traced. None: the whole image.

    Returns:
      uint8 [H', W', 3], equal to Pillow's `image.crop(box).resize((W', H'), BILINEAR)` except where a mean lies halfway
      between two levels: Pillow rounds its weights, so such ties go either way, by one level and rarely two. Levels are
      rounded after the first of two passes, in the order of Pillow 13: height first if it loses more than twice as many
      pixels as the width, or any while the width loses none; otherwise width first, as in earlier versions.

    Raises:
      ValueError: not uint8 [H, W, 3], or a size of less than 1.

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax import augment
      >>> image = jnp.broadcast_to(jnp.array([0, 20, 40, 60], jnp.uint8)[:, None], (2, 4, 3))
      >>> augment.resize(image, (1, 2))[..., 0]
      Array([[14, 46]], dtype=uint8)
    """
    check_image(image)
    if min(size) < 1:
        raise ValueError(f"size must be at least 1 x 1, got {size}")
    height, width, _ = image.shape
    part = Box(0, 0, height, width) if box is None else box
    across = _weights(width, size[1], part.left, part.width)
    down = _weights(height, size[0], part.top, part.height)

    def pass_across(levels: Array) -> Array:
        return _rounded(jnp.einsum("hwc,vw->hvc", levels, across, precision=lax.Precision.HIGHEST))

    def pass_down(levels: Array) -> Array:
        return _rounded(jnp.einsum("hwc,uh->uwc", levels, down, precision=lax.Precision.HIGHEST))

    down_first = part.height - size[0] > jnp.maximum(0, 2 * (part.width - size[1]))
    found = lax.cond(
        down_first,
        lambda levels: pass_across(pass_down(levels)),
        lambda levels: pass_down(pass_across(levels)),
        image.astype(jnp.float32),
    )
    return found.astype(jnp.uint8)


@functools.partial(jax.jit, static_argnames=("size", "shorter_side"))
def center_crop(image: Array, size: int = 224, *, shorter_side: int = 256) -> Array:
    """Resizes the shorter side and crops the central square, as for evaluation on ImageNet.

    Args:
      image: uint8 [H, W, 3].
      size: pixels along each side of the result.
      shorter_side: pixels along the shorter side before the crop, at least `size`.

    Returns:
      uint8 [size, size, 3].

    Raises:
      ValueError: not uint8 [H, W, 3], or not 1 <= size <= shorter_side.

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax import augment
      >>> augment.center_crop(jnp.zeros((30, 50, 3), jnp.uint8), 28, shorter_side=32).shape
      (28, 28, 3)
    """
    check_image(image)
    if not 1 <= size <= shorter_side:
        raise ValueError(f"size must be between 1 and shorter_side = {shorter_side}, got {size}")
    shortest = min(image.shape[:2])
    height, width = (shorter_side * length // shortest for length in image.shape[:2])
    top, left = (round((length - size) / 2) for length in (height, width))
    return resize(image, (height, width))[top : top + size, left : left + size]


def _weights(length: int, new_length: int, start: Array | int, extent: Array | int) -> Array:
    """The weight of each pixel of [start, start + extent) in each new pixel: float [new_length, length]."""
    start, extent = jnp.asarray(start, jnp.float32), jnp.asarray(extent, jnp.float32)
    step = extent / new_length
    middle = start + (jnp.arange(new_length, dtype=jnp.float32) + 0.5)[:, None] * step
    pixel = jnp.arange(length, dtype=jnp.float32)[None]
    weight = jnp.maximum(1 - jnp.abs(pixel + 0.5 - middle) / jnp.maximum(step, 1), 0)
    weight = jnp.where((pixel >= start) & (pixel < start + extent), weight, 0)
    return weight / weight.sum(1, keepdims=True)


def _rounded(levels: Array) -> Array:
    return jnp.clip(jnp.floor(levels + 0.5), 0, 255)
