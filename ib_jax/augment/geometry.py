r"""Shear, translation and rotation: nearest neighbours and a constant fill, bit for bit as in Pillow.

Output pixel :math:`(x, y)` takes the source pixel that holds the point :math:`(a x + b y + c, d x + e y + f)`, with
coordinates at pixel centres. As in Pillow, the arithmetic is 16.16 fixed point. For a Python or NumPy amount the six
coefficients are rounded from float64, as in Pillow; for a JAX value (inside `jit` or `vmap`) from float32, which moves
a source point by about 1e-4 pixels at most.
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
"""The amount of an operation: a number, or a scalar JAX array."""

_ONE = 1 << 16  # 1.0 in 16.16 fixed point


def shear_x(image: Array, amount: Amount, *, fill: Fill = 0) -> Array:
    r"""Shears along the width: point :math:`(x, y)` takes the source's :math:`(x + a y, y)`, at pixel centres.

    Args:
      image: uint8 [H, W, 3].
      amount: a, float []; pixels along the width for each pixel along the height.
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
    r"""Shears along the height: point :math:`(x, y)` takes the source's :math:`(x, y + a x)`, at pixel centres.

    Args:
      image: uint8 [H, W, 3].
      amount: a, float []; pixels along the height for each pixel along the width.
      fill: level of pixels from outside the image.

    Returns:
      uint8 [H, W, 3], equal to Pillow's `image.transform(size, AFFINE, (1, 0, 0, amount, 1, 0))`.

    Raises:
      ValueError: not uint8 [H, W, 3], or no such fill.

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax.augment import operations
      >>> operations.shear_y(jnp.full((2, 2, 3), 9, jnp.uint8), 1.0)[..., 0]
      Array([[9, 0],
             [0, 0]], dtype=uint8)
    """
    return affine(image, coefficients("shear_y", amount, image.shape), fill=fill)


def translate_x(image: Array, pixels: Amount, *, fill: Fill = 0) -> Array:
    r"""Moves the image to the left: pixel :math:`(x, y)` takes source pixel :math:`(x + p, y)`.

    Args:
      image: uint8 [H, W, 3].
      pixels: p, float []; negative moves to the right.
      fill: level of pixels from outside the image.

    Returns:
      uint8 [H, W, 3], equal to Pillow's `image.transform(size, AFFINE, (1, 0, pixels, 0, 1, 0))`.

    Raises:
      ValueError: not uint8 [H, W, 3], or no such fill.

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax.augment import operations
      >>> operations.translate_x(jnp.full((2, 2, 3), 9, jnp.uint8), 1)[..., 0]
      Array([[9, 0],
             [9, 0]], dtype=uint8)
    """
    return affine(image, coefficients("translate_x", pixels, image.shape), fill=fill)


def translate_y(image: Array, pixels: Amount, *, fill: Fill = 0) -> Array:
    r"""Moves the image up: pixel :math:`(x, y)` takes source pixel :math:`(x, y + p)`.

    Args:
      image: uint8 [H, W, 3].
      pixels: p, float []; negative moves down.
      fill: level of pixels from outside the image.

    Returns:
      uint8 [H, W, 3], equal to Pillow's `image.transform(size, AFFINE, (1, 0, 0, 0, 1, pixels))`.

    Raises:
      ValueError: not uint8 [H, W, 3], or no such fill.

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
      degrees: the angle, float [].
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
    """The six coefficients of a named operation for images [H, W, 3]: int32 [6] in 16.16 fixed point."""
    xp: ModuleType = jnp if isinstance(amount, jax.Array) else np
    if operation == "rotate":
        height, width = shape[:2]
        angle = -amount * (math.pi / 180)
        cos, sin = xp.cos(angle), xp.sin(angle)
        if xp is np:  # as in Pillow, so that a quarter turn is exact
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
    """Looks up the source pixel of each pixel under an affine map.

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
    # An extra last pixel holds the fill. Channels first: the CPU gathers three times as fast, at no cost elsewhere.
    channels = jnp.concatenate([jnp.moveaxis(image, -1, 0).reshape(3, -1), colour[:, None]], 1)
    source = jnp.where(inside, source_y * width + source_x, height * width)
    return jnp.moveaxis(channels.at[:, source].get(mode="promise_in_bounds"), 0, -1)
