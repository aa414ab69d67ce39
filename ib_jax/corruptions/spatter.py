"""Spatter: drops of water on the lens, or mud."""

import jax.numpy as jnp

from ib_jax.corruptions import draws, separable
from ib_jax.corruptions.constants import strength
from ib_jax.corruptions.drops import drop_relief
from ib_jax.corruptions.pixels import check_batch, to_levels, to_unit
from ib_jax.types import Array

WATER = (175 / 255, 238 / 255, 238 / 255)
MUD = (63 / 255, 42 / 255, 20 / 255)


def spatter(keys: Array, images: Array, *, severity: int, constants: str = "cifar10") -> Array:
    """Water (severities 1 to 3) or mud (4 and 5) on the lens.

    Args:
      keys: one PRNG key for each image, [B].
      images: uint8 [B, H, W, 3].
      severity: 1 to 5; the constants are mean and standard deviation of the noise that becomes liquid, the standard
        deviation of the filter that smooths it, the threshold above which there is liquid, and the opacity of water or
        the standard deviation of the filter that smooths mud; the last number is 1 for mud.
      constants: "cifar10" or "imagenet".

    Returns:
      uint8 [B, H, W, 3].

    Raises:
      ValueError: an argument is not as above.

    Source: Hendrycks and Dietterich 2019.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import corruptions
      >>> black = jnp.zeros((1, 16, 16, 3), jnp.uint8)
      >>> keys = jax.random.split(jax.random.key(0), 1)
      >>> run = jax.jit(corruptions.spatter, static_argnames="severity")
      >>> muddy = run(keys, black, severity=5)
      >>> muddy.max((0, 1, 2))
      Array([61, 40, 19], dtype=uint8)
    """
    check_batch(keys, images)
    mean, spread, sigma, threshold, last, is_mud = strength("spatter", severity, constants)
    noise = mean + spread * draws.normal16(keys, images.shape[1:3])
    liquid = pour(noise, sigma, threshold)
    return add_mud(images, liquid, threshold, last) if is_mud else add_water(images, liquid, last)


def pour(noise: Array, sigma: float, threshold: float) -> Array:
    """Noise, float [B, H, W], smoothed, and 0 below the threshold: float [B, H, W]."""
    smooth = separable.apply(separable.gaussian(noise.shape[1:], sigma), noise[..., None])[..., 0]
    return jnp.where(smooth < threshold, 0.0, smooth)


def add_water(images: Array, liquid: Array, opacity: float) -> Array:
    """Images under drops of water, whose relief is lit from one side.

    Args:
      images: uint8 [B, H, W, 3].
      liquid: float [B, H, W], as of `pour`.
      opacity: of the strongest drop.

    Returns:
      uint8 [B, H, W, 3]; an image without any drop stays as it is (the benchmark divides zero by zero there).
    """
    levels = (liquid * 255.0).astype(jnp.int32) & 255  # what is brighter than white wraps, as in the benchmark
    shine = (levels * drop_relief(levels)).astype(jnp.float32)
    strongest = shine.max((1, 2), keepdims=True)
    share = opacity * shine / jnp.where(strongest > 0, strongest, 1.0)
    return to_levels(to_unit(images) + share[..., None] * jnp.asarray(WATER, jnp.float32).reshape(1, 1, 1, 3))


def add_mud(images: Array, liquid: Array, threshold: float, sigma: float) -> Array:
    """Images under mud: opaque where liquid lies, with its rim smoothed and cut off at an opacity of 0.8.

    Args:
      images: uint8 [B, H, W, 3].
      liquid: float [B, H, W], as of `pour`.
      threshold: above which there is liquid.
      sigma: standard deviation of the filter that smooths the rim, in pixels.

    Returns:
      uint8 [B, H, W, 3].
    """
    mask = (liquid > threshold).astype(jnp.float32)[..., None]
    smooth = separable.apply(separable.gaussian(images.shape[1:3], sigma), mask)
    opacity = jnp.where(smooth < 0.8, 0.0, smooth)
    return to_levels(to_unit(images) * (1.0 - opacity) + opacity * jnp.asarray(MUD, jnp.float32).reshape(1, 1, 1, 3))
