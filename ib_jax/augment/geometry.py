"""Shear, translation and rotation: nearest neighbours and a constant fill, bit for bit as Pillow has them.

An output pixel (x, y) shows the source pixel that holds the point (a x + b y + c, d x + e y + f), coordinates taken at
pixel centres. Pillow computes that in 16.16 fixed point, and so does this. With an amount that is a Python or NumPy
number the six coefficients are rounded from float64, as Pillow rounds them; with a JAX value (inside `jit` or `vmap`)
from float32, which moves a source point by some 1e-4 pixels at most.
"""

import math
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ib_jax.augment.image import Fill, check_image, fill_colour
from ib_jax.types import Array

Amount = float | Array
"""How much: a number, or a scalar JAX array."""

_ONE = 1 << 16  # 1.0 in 16.16 fixed point


def shear_x(image: Array, amount: Amount, *, fill: Fill = 0) -> Array:
    """Shears along the width: the point (x, y) shows the source's (x + amount y, y), at pixel centres.

    Args:
      image: uint8 [H, W, 3].
      amount: pixels along the width for each along the height.
      fill: level of pixels from outside the image.

    Returns:
      uint8 [H, W, 3], equal to Pillow's `image.transform(size, AFFINE, (1, amount, 0, 0, 1, 0))`.

    Raises:
      ValueError: not uint8 [H, W, 3], or no such fill.

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax.augment import operations
      >>> image = jnp.broadcast_to(jnp.arange(1, 4, dtype=jnp.uint8)[:, None], (3, 3, 3))
      >>> operations.shear_x(image, 1.0)[..., 0]
      Array([[2, 3, 0],
             [3, 0, 0],
             [0, 0, 0]], dtype=uint8)
    """
    return affine(image, coefficients("shear_x", amount, image.shape), fill=fill)


def shear_y(image: Array, amount: Amount, *, fill: Fill = 0) -> Array:
    """Shears along the height: the point (x, y) shows the source's (x, y + amount x); otherwise as `shear_x`.

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax.augment import operations
      >>> operations.shear_y(jnp.full((2, 2, 3), 9, jnp.uint8), 1.0)[..., 0]
      Array([[9, 0],
             [0, 0]], dtype=uint8)
    """
    return affine(image, coefficients("shear_y", amount, image.shape), fill=fill)


def translate_x(image: Array, pixels: Amount, *, fill: Fill = 0) -> Array:
    """Moves the image to the left: pixel (x, y) shows source pixel (x + pixels, y); otherwise as `shear_x`.

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax.augment import operations
      >>> operations.translate_x(jnp.full((2, 2, 3), 9, jnp.uint8), 1)[..., 0]
      Array([[9, 0],
             [9, 0]], dtype=uint8)
    """
    return affine(image, coefficients("translate_x", pixels, image.shape), fill=fill)


def translate_y(image: Array, pixels: Amount, *, fill: Fill = 0) -> Array:
    """Moves the image up: pixel (x, y) shows source pixel (x, y + pixels); otherwise as `shear_x`.

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax.augment import operations
      >>> operations.translate_y(jnp.full((2, 2, 3), 9, jnp.uint8), 1)[..., 0]
      Array([[9, 9],
             [0, 0]], dtype=uint8)
    """
    return affine(image, coefficients("translate_y", pixels, image.shape), fill=fill)


def rotate(image: Array, degrees: Amount, *, fill: Fill = 0) -> Array:
    """Rotates about the centre, counter-clockwise.

    Args:
      image: uint8 [H, W, 3].
      degrees: the angle.
      fill: level of pixels from outside the image.

    Returns:
      uint8 [H, W, 3], equal to Pillow's `image.rotate(degrees)`.

    Raises:
      ValueError: not uint8 [H, W, 3], or no such fill.

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax.augment import operations
      >>> image = jnp.broadcast_to(jnp.arange(4, dtype=jnp.uint8).reshape(2, 2, 1), (2, 2, 3))
      >>> operations.rotate(image, 90)[..., 0]
      Array([[1, 3],
             [0, 2]], dtype=uint8)
    """
    return affine(image, coefficients("rotate", degrees, image.shape), fill=fill)


def coefficients(operation: str, amount: Amount, shape: tuple[int, ...]) -> Any:
    """The six coefficients of an operation named as above, for images [H, W, 3]: int32 [6] in 16.16 fixed point."""
    xp: ModuleType = jnp if isinstance(amount, jax.Array) else np
    if operation == "rotate":
        height, width = shape[:2]
        angle = -amount * (math.pi / 180)
        cos, sin = xp.cos(angle), xp.sin(angle)
        if xp is np:  # Pillow does, so that a quarter turn has no remainders
            cos, sin = round(float(cos), 15), round(float(sin), 15)
        matrix = [cos, sin, 0.0, -sin, cos, 0.0]
        matrix[2] = width / 2 - (cos * width + sin * height) / 2
        matrix[5] = height / 2 - (cos * height - sin * width) / 2
    else:
        matrix = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
        matrix[{"shear_x": 1, "translate_x": 2, "shear_y": 3, "translate_y": 5}[operation]] = amount
    a, b, c, d, e, f = matrix
    at_centres = xp.stack([xp.asarray(value) for value in (a, b, c + (a + b) / 2, d, e, f + (d + e) / 2)])
    return xp.floor(at_centres * _ONE + 0.5).astype(xp.int32)


def affine(image: Array, fixed: Array, *, fill: Fill = 0) -> Array:
    """Looks up, for each pixel, the source pixel that six coefficients name.

    Args:
      image: uint8 [H, W, 3].
      fixed: int32 [6], from `coefficients`.
      fill: level of pixels from outside the image.

    Returns:
      uint8 [H, W, 3].

    Raises:
      ValueError: not uint8 [H, W, 3], or no such fill.
    """
    check_image(image)
    return _look_up(image, jnp.asarray(fixed), fill_colour(fill))


@jax.jit
def _look_up(image: Array, fixed: Array, colour: Array) -> Array:
    height, width, _ = image.shape
    x, y = jnp.arange(width, dtype=jnp.int32)[None], jnp.arange(height, dtype=jnp.int32)[:, None]
    source_x = (fixed[0] * x + fixed[1] * y + fixed[2]) >> 16
    source_y = (fixed[3] * x + fixed[4] * y + fixed[5]) >> 16
    inside = (source_x >= 0) & (source_x < width) & (source_y >= 0) & (source_y < height)
    # A last pixel holds the fill. Channels first: the CPU gathers thrice as fast, and the others do not mind.
    channels = jnp.concatenate([jnp.moveaxis(image, -1, 0).reshape(3, -1), colour[:, None]], 1)
    source = jnp.where(inside, source_y * width + source_x, height * width)
    return jnp.moveaxis(channels.at[:, source].get(mode="promise_in_bounds"), 0, -1)
