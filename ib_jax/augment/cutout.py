"""Cutout: a square hole in the image."""

import jax
import jax.numpy as jnp

from ib_jax.augment.geometry import Amount
from ib_jax.augment.image import Augment, Fill, check_image, fill_colour
from ib_jax.types import Array


def cutout(size: int = 16, *, fill: Fill = 0) -> Augment:
    """Cuts a square hole with its centre uniform over the image; the hole is clipped at the border.

    Args:
      size: pixels along each side, even: [centre - size / 2, centre + size / 2).
      fill: level of the hole. The original fills with zero after normalisation, which is the data's mean colour.

    Returns:
      Augment: (key, image uint8 [H, W, 3]) -> the same shape.

    Raises:
      ValueError: `size` is odd or less than 0; from the result, an image that is not uint8 [H, W, 3].

    Source: DeVries and Taylor, Improved Regularization of Convolutional Neural Networks with Cutout, 2017.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import augment
      >>> int((augment.cutout(4)(jax.random.key(1), jnp.ones((32, 32, 3), jnp.uint8)) == 0).sum()) / 3
      16.0
    """
    if size < 0 or size % 2:
        raise ValueError(f"size must be even and at least 0, got {size}")

    def apply(key: Array, image: Array) -> Array:
        check_image(image)
        return cut_out(image, size, jax.random.uniform(key, (2,), jnp.float32), fill=fill)

    return apply


def cut_out(image: Array, size: Amount, centre: Array, *, fill: Fill = 0) -> Array:
    """Cuts a square hole at a given centre.

    Args:
      image: uint8 [H, W, 3].
      size: float [], pixels along each side; an odd size is reduced by one.
      centre: float [2] in [0, 1), (down, across); the centre is pixel floor(centre * (H, W)).
      fill: level of the hole.

    Returns:
      uint8 [H, W, 3].

    Raises:
      ValueError: not uint8 [H, W, 3], or no such fill.

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax.augment import operations
      >>> operations.cut_out(jnp.ones((3, 3, 3), jnp.uint8), 2, jnp.array([0.5, 0.5]))[..., 0]
      Array([[0, 0, 1],
             [0, 0, 1],
             [1, 1, 1]], dtype=uint8)
    """
    check_image(image)
    return _cut_out(image, jnp.asarray(size), jnp.asarray(centre), fill_colour(fill))


@jax.jit
def _cut_out(image: Array, size: Array, centre: Array, colour: Array) -> Array:
    half = size.astype(jnp.int32) // 2
    inside = []
    for axis in range(2):
        length = image.shape[axis]
        middle = jnp.minimum((centre[axis] * length).astype(jnp.int32), length - 1)
        position = jnp.arange(length, dtype=jnp.int32)
        inside.append((position >= middle - half) & (position < middle + half))
    hole = inside[0][:, None] & inside[1][None]
    return jnp.where(hole[..., None], colour[None, None], image)
