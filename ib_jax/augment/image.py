"""The types that augmentations take and return, and their checks."""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np

from ib_jax.types import Array

Augment = Callable[[Array, Array], Array]
"""(key, image uint8 [H, W, 3]) -> image uint8 [H', W', 3]: one key, one image; pure and jittable."""

Fill = int | Sequence[int]
"""The level, 0 to 255, of pixels from outside the image: one level, or one for each channel."""

MAX_PIXELS = 2**22
"""The largest image, in pixels, whose sums fit into 32 bits."""


def check_image(image: Array) -> None:
    """Checks that `image` is one colour image.

    Raises:
      ValueError: it is not uint8 [H, W, 3], has no pixel, or more than 2^22.
    """
    if image.ndim != 3 or image.shape[-1] != 3:
        hint = "; augment.batched takes a batch" if image.ndim == 4 else ""
        raise ValueError(f"image must be one image [H, W, 3], got shape {image.shape}{hint}")
    if image.dtype != jnp.uint8:
        raise ValueError(f"image must be uint8 in 0..255, got {image.dtype}; augment before scaling to floats")
    if min(image.shape[:2]) < 1:
        raise ValueError(f"image must have at least 1 x 1 pixels, got {image.shape[0]} x {image.shape[1]}")
    if image.shape[0] * image.shape[1] > MAX_PIXELS:
        raise ValueError(f"image must have at most {MAX_PIXELS} pixels, got {image.shape[0]} x {image.shape[1]}")


def fill_colour(fill: Fill) -> Array:
    """A fill as uint8 [3].

    Raises:
      ValueError: it is neither one level nor three, or outside 0..255.
    """
    levels = np.asarray(fill)
    if levels.shape not in ((), (3,)) or levels.dtype.kind not in "iu" or levels.min() < 0 or levels.max() > 255:
        raise ValueError(f"fill must be one level or three, integers in 0..255, got {fill!r}")
    return jnp.asarray(np.broadcast_to(levels, 3), jnp.uint8)
