"""Snow: bright flakes that fall across a paler image."""

import jax.numpy as jnp

from ib_jax.corruptions import draws, separable
from ib_jax.corruptions.constants import strength
from ib_jax.corruptions.motion import blur_along
from ib_jax.corruptions.pixels import check_batch, split_keys, to_levels, to_unit
from ib_jax.types import Array


def snow(keys: Array, images: Array, *, severity: int, constants: str = "cifar10") -> Array:
    """Snow: random flakes, blurred along the direction in which they fall, and their mirror image.

    Args:
      keys: one PRNG key for each image, [B].
      images: uint8 [B, H, W, 3].
      severity: 1 to 5; the constants are mean and standard deviation of the noise that flakes are made of, its zoom
        factor, the threshold above which it is a flake, radius and standard deviation of the motion blur, and the share
        of the image that is not bleached.
      constants: "cifar10" or "imagenet".

    Returns:
      uint8 [B, H, W, 3].

    Raises:
      ValueError: an argument is not as above.

    Source: Hendrycks and Dietterich 2019, with the motion blur of `motion_blur`.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import corruptions
      >>> black = jnp.zeros((1, 8, 8, 3), jnp.uint8)
      >>> keys = jax.random.split(jax.random.key(0), 1)
      >>> run = jax.jit(corruptions.snow, static_argnames="severity")
      >>> int(run(keys, black, severity=5).min())  # 0.2 * 0.5 * 255
      25
    """
    check_batch(keys, images)
    mean, spread, factor, threshold, radius, sigma, left = strength("snow", severity, constants)
    noise_keys, angle_keys = split_keys(keys, 2)
    noise = mean + spread * draws.normal16(noise_keys, images.shape[1:3])
    flakes = make_flakes(noise, factor, threshold)
    return add_snow(images, blur_along(flakes, draws.uniform(angle_keys, (), -135.0, -45.0), radius, sigma), left)


def make_flakes(noise: Array, factor: float, threshold: float) -> Array:
    """Noise, float [B, H, W], zoomed and cut at the threshold: levels in whole numbers, float [B, H, W, 1]."""
    zoomed = separable.apply(separable.zoom(noise.shape[1:], (factor,)), noise[..., None])
    return jnp.floor(jnp.clip(jnp.where(zoomed < threshold, 0.0, zoomed), 0.0, 1.0) * 255.0)


def add_snow(images: Array, layer: Array, left: float) -> Array:
    """Images, bleached by a share of 1 - left, under a layer of snow, levels [B, H, W, 1]."""
    values, snow_layer = to_unit(images), jnp.round(layer) / 255.0
    grey = values @ jnp.array([[0.299], [0.587], [0.114]], jnp.float32)
    bleached = left * values + (1.0 - left) * jnp.maximum(values, 1.5 * grey + 0.5)
    return to_levels(bleached + snow_layer + snow_layer[:, ::-1, ::-1])
