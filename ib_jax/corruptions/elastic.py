"""Elastic transform: an affine map and a smooth random displacement."""

import jax
import jax.numpy as jnp
import numpy as np

from ib_jax.corruptions import draws, separable
from ib_jax.corruptions.constants import strength
from ib_jax.corruptions.pixels import check_batch, split_keys, to_levels, to_unit
from ib_jax.types import Array


def elastic_transform(keys: Array, images: Array, *, severity: int, constants: str = "cifar10") -> Array:
    """A random affine map, then a smooth random displacement of every pixel, both by linear interpolation.

    Args:
      keys: one PRNG key for each image, [B].
      images: uint8 [B, H, W, 3], mirrored beyond the border.
      severity: 1 to 5; the constants are the size of the displacement before it is smoothed, the standard deviation of
        the filter that smooths it, and the greatest move of the three points that define the affine map, in pixels.
      constants: "cifar10" or "imagenet".

    Returns:
      uint8 [B, H, W, 3].

    Raises:
      ValueError: an argument is not as above.

    Source: Hendrycks and Dietterich 2019. The package imagecorruptions has another transform by this name, without the
      affine map and with constants of its own.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import corruptions
      >>> grey = jnp.full((1, 8, 8, 3), 128, jnp.uint8)
      >>> keys = jax.random.split(jax.random.key(0), 1)
      >>> run = jax.jit(corruptions.elastic_transform, static_argnames="severity")
      >>> int(run(keys, grey, severity=5).min())
      128
    """
    check_batch(keys, images)
    size, sigma, reach = strength("elastic_transform", severity, constants)
    height, width = images.shape[1:3]
    point_keys, field_keys = split_keys(keys, 2)
    maps = affine_maps((height, width), draws.uniform(point_keys, (3, 2), -reach, reach))
    noise = draws.uniform(field_keys, (height, width, 2), -1.0, 1.0)
    smooth = separable.gaussian((height, width), sigma, "reflect", 3.0)
    return to_levels(displace(apply_affine(to_unit(images), maps), size * separable.apply(smooth, noise)))


def affine_maps(shape: tuple[int, int], moves: Array) -> Array:
    """The affine maps that move three points of an image: three corners of a square in its middle.

    Args:
      shape: (H, W).
      moves: float [B, 3, 2], in pixels.

    Returns:
      float [B, 2, 3], from (x, y, 1) after the move to (x, y) before it.
    """
    middle, reach = np.array(shape) // 2, max(1, min(shape) // 3)
    points = middle + reach * np.array([[1, 1], [1, -1], [-1, -1]])
    from_points = jnp.asarray(np.linalg.inv(np.c_[points, np.ones(3)]), jnp.float32)  # (x, y, 1) rows to shares
    precision = jax.lax.Precision.HIGHEST
    forward = jnp.einsum(
        "sp,bpc->bcs", from_points, jnp.asarray(points, jnp.float32)[None] + moves, precision=precision
    )
    (a, b, c), (d, e, f) = forward[:, 0].T, forward[:, 1].T
    determinant = a * e - b * d
    rows = [[e, -b, b * f - c * e], [-d, a, c * d - a * f]]
    return jnp.stack([jnp.stack(row, -1) for row in rows], 1) / determinant[:, None, None]


def apply_affine(images: Array, maps: Array) -> Array:
    """Images under affine maps, float [B, 2, 3] as of `affine_maps`, mirrored at the middle of the border pixels.

    As in OpenCV 5; earlier versions, and so the published sets, round coordinates to 1/32 of a pixel.
    """
    height, width = images.shape[1:3]
    rows, columns = _places(height, width)
    x, y = (
        maps[:, i, 0, None, None] * columns + maps[:, i, 1, None, None] * rows + maps[:, i, 2, None, None]
        for i in range(2)
    )
    return _interpolate(images, y, x, repeat_border=False)


def displace(images: Array, moves: Array) -> Array:
    """Displaces the pixels of images.

    Args:
      images: float [B, H, W, C], mirrored at the outer edge of the border pixels.
      moves: float [B, H, W, 2]: the offset in x and y from a pixel to its source.

    Returns:
      float [B, H, W, C].
    """
    height, width = images.shape[1:3]
    rows, columns = _places(height, width)
    y, x = rows + moves[..., 1], columns + moves[..., 0]
    return _interpolate(images, y, x, repeat_border=True)


def _places(height: int, width: int) -> tuple[Array, Array]:
    """The numbers of rows, float32 [1, H, 1], and of columns, [1, 1, W]."""
    rows, columns = (jnp.arange(size, dtype=jnp.float32) for size in (height, width))
    return rows[None, :, None], columns[None, None]


def _interpolate(images: Array, y: Array, x: Array, *, repeat_border: bool) -> Array:
    """Linear interpolation of images [B, H, W, C] at places [B, H, W]."""
    num_images, height, width, channels = images.shape
    num_pixels = height * width  # by name and not as -1, which an empty batch leaves open
    flat = images.reshape(num_images, num_pixels, channels)
    top, left = jnp.floor(y), jnp.floor(x)
    down, right = ((place - whole).reshape(num_images, num_pixels, 1) for place, whole in ((y, top), (x, left)))
    rows = [_mirror(top + i, height, repeat_border) for i in range(2)]
    columns = [_mirror(left + i, width, repeat_border) for i in range(2)]

    def at(i: int, j: int) -> Array:
        places = (rows[i] * width + columns[j]).reshape(num_images, num_pixels, 1)
        return jnp.take_along_axis(flat, places, 1, mode="promise_in_bounds")

    upper, lower = (at(i, 0) * (1 - right) + at(i, 1) * right for i in range(2))
    return (upper * (1 - down) + lower * down).reshape(images.shape)


def _mirror(index: Array, size: int, repeat_border: bool) -> Array:
    """Whole numbers, as floats, folded into 0..size - 1: int32. Floats, because CPUs vectorise their division."""
    period = max(1, 2 * size - (0 if repeat_border else 2))
    folded = index - period * jnp.floor((index + 0.5) / period)
    return jnp.where(folded < size, folded, period - repeat_border - folded).astype(jnp.int32)
