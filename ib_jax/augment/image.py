"""What every augmentation takes and returns, and the checks of it."""

from collections.abc import Callable, Sequence

import jax.numpy as jnp

from ib_jax.types import Array

Augment = Callable[[Array, Array], Array]
"""(key, image uint8 [H, W, 3]) -> image uint8 [H', W', 3]: one key, one image; pure and jittable."""

Fill = int | Sequence[int]
"""The level, 0 to 255, of pixels that come from outside the image; one, or one for each channel."""

MAX_PIXELS = 2**22
"""Sums over an image of so many pixels still fit 32 bits."""


def check_image(image: Array) -> None:
    """Checks that this is one colour image.

    Raises:
      ValueError: it is not uint8 [H, W, 3], or has more than 2^22 pixels.
    """
    if image.ndim != 3 or image.shape[-1] != 3:
        hint = "; augment.batched takes a batch" if image.ndim == 4 else ""
        raise ValueError(f"image must be one image [H, W, 3], got shape {image.shape}{hint}")
    if image.dtype != jnp.uint8:
        raise ValueError(f"image must be uint8 in 0..255, got {image.dtype}; augment before scaling to floats")
    if image.shape[0] * image.shape[1] > MAX_PIXELS:
        raise ValueError(f"image must have at most {MAX_PIXELS} pixels, got {image.shape[0]} x {image.shape[1]}")


def fill_colour(fill: Fill) -> Array:
    """A fill as uint8 [3].

    Raises:
      ValueError: it is neither one level nor three, or outside 0..255.
    """
    levels = [fill] * 3 if isinstance(fill, int) else list(fill)
    if len(levels) != 3 or not all(isinstance(level, int) and 0 <= level <= 255 for level in levels):
        raise ValueError(f"fill must be one level or three, integers in 0..255, got {fill!r}")
    return jnp.array(levels, jnp.uint8)
