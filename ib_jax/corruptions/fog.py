"""Fog: a fractal of plasma over the image."""

import jax
import jax.numpy as jnp

from ib_jax.corruptions import draws
from ib_jax.corruptions.constants import strength
from ib_jax.corruptions.pixels import check_batch, to_levels, to_unit
from ib_jax.types import Array


def fog(keys: Array, images: Array, *, severity: int, constants: str = "cifar10") -> Array:
    r"""Fog: :math:`(x + c P) \max(x) / (\max(x) + c)`, with a plasma fractal P in [0, 1].

    Args:
      keys: one PRNG key for each image, [B].
      images: uint8 [B, H, W, 3].
      severity: 1 to 5; the constants are c and the decay of the fractal's roughness.
      constants: "cifar10" or "imagenet".

    Returns:
      uint8 [B, H, W, 3].

    Raises:
      ValueError: an argument is not as above.

    Source: Hendrycks and Dietterich 2019. The fractal covers the next power of two of the longer side, at least two, as
      theirs does for 32 and 224 pixels.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import corruptions
      >>> black = jnp.zeros((1, 8, 8, 3), jnp.uint8)
      >>> keys = jax.random.split(jax.random.key(0), 1)
      >>> run = jax.jit(corruptions.fog, static_argnames="severity")
      >>> int(run(keys, black, severity=5).max())  # max(x) is 0
      0
    """
    check_batch(keys, images)
    amount, decay = strength("fog", severity, constants)
    return add_fog(images, plasma_over(keys, images.shape[1:3], decay), amount)


def add_fog(images: Array, field: Array, amount: float) -> Array:
    """Images behind fog; `field` is float [B, >= H, >= W] in [0, 1], cropped to the first H rows and W columns."""
    values = to_unit(images)
    brightest = values.max((1, 2, 3), keepdims=True)
    foggy = values + amount * field[:, : images.shape[1], : images.shape[2], None]
    return to_levels(foggy * brightest / (brightest + amount))


def plasma_over(keys: Array, shape: tuple[int, ...], decay: float) -> Array:
    """Random plasma fractals, one for each key, just large enough for images of H x W: float [B, N, N] in [0, 1]."""
    size = 1 << max(1, (max(shape) - 1).bit_length())  # a fractal of one point would have no least and no largest
    return plasma(draws.uniform(keys, (size**2 - 1,), -1.0, 1.0), decay)


def plasma(noise: Array, decay: float) -> Array:
    """Plasma fractals by the diamond-square algorithm on a torus, scaled to [0, 1].

    A grid is refined level by level. Each new point is the mean of its four neighbours, of squares first and then of
    diamonds, plus noise whose size falls by the square of the decay from level to level (the benchmark multiplies its
    amplitude by uniform noise of the same amplitude).

    Args:
      noise: float [B, N^2 - 1] in [-1, 1), N a power of two, at least 2. The 3 s^2 numbers of the level that refines
        s x s points are those of the squares, of the diamonds right of old points, and of those below old points, one
        after another.
      decay: of the amplitude, at least 1.

    Returns:
      float [B, N, N]; the least is 0, the largest 1.
    """
    num_images = len(noise)
    field = jnp.zeros((num_images, 1, 1), noise.dtype)
    used, scale = 0, 1.0
    while used < noise.shape[1]:
        size = field.shape[1]
        new = noise[:, used : used + 3 * size**2].reshape(num_images, 3, size, size)
        noise_middle, noise_right, noise_below = scale * new[:, 0], scale * new[:, 1], scale * new[:, 2]
        to_the_right, below = jnp.roll(field, -1, 2), jnp.roll(field, -1, 1)
        middle = (field + to_the_right + below + jnp.roll(to_the_right, -1, 1)) / 4 + noise_middle
        right = (middle + jnp.roll(middle, 1, 1) + field + to_the_right) / 4 + noise_right
        down = (middle + jnp.roll(middle, 1, 2) + field + below) / 4 + noise_below
        upper, lower = jnp.stack([field, right], -1), jnp.stack([down, middle], -1)
        field = jnp.stack([upper, lower], 2).reshape(num_images, 2 * size, 2 * size)
        field = jax.lax.optimization_barrier(field)  # else XLA computes every level anew for each use of it
        used, scale = used + 3 * size**2, scale / decay**2
    field = field - field.min((1, 2), keepdims=True)
    return field / field.max((1, 2), keepdims=True)
