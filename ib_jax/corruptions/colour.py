"""Brightness, contrast and saturation."""

import jax.numpy as jnp

from ib_jax.corruptions.constants import strength
from ib_jax.corruptions.pixels import check_batch, to_levels, to_unit
from ib_jax.types import Array


def brightness(keys: Array, images: Array, *, severity: int, constants: str = "cifar10") -> Array:
    """Adds c to the value in HSV (hue, saturation, value), clipped at one.

    Args:
      keys: one PRNG key for each image, [B]; not used.
      images: uint8 [B, H, W, 3].
      severity: 1 to 5; c is a share of white.
      constants: "cifar10" or "imagenet".

    Returns:
      uint8 [B, H, W, 3].

    Raises:
      ValueError: an argument is not as above.

    Source: Hendrycks and Dietterich 2019.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import corruptions
      >>> image = jnp.full((1, 8, 8, 3), 100, jnp.uint8).at[..., 2].set(50)
      >>> keys = jax.random.split(jax.random.key(0), 1)
      >>> run = jax.jit(corruptions.brightness, static_argnames="severity")
      >>> run(keys, image, severity=5)[0, 0, 0]
      Array([176, 176,  88], dtype=uint8)
    """
    check_batch(keys, images)
    more = strength("brightness", severity, constants)
    values = to_unit(images)
    # With hue and saturation kept, all three channels grow in proportion; black has no hue and turns grey.
    largest = values.max(-1, keepdims=True)
    brighter = jnp.clip(largest + more, 0.0, 1.0)
    return to_levels(jnp.where(largest > 0, values * (brighter / jnp.where(largest > 0, largest, 1.0)), brighter))


def saturate(keys: Array, images: Array, *, severity: int, constants: str = "cifar10") -> Array:
    r"""Paler or stronger colours: saturation s becomes :math:`a s + b`, clipped to [0, 1].

    Args:
      keys: one PRNG key for each image, [B]; not used.
      images: uint8 [B, H, W, 3].
      severity: 1 to 5; the constants are a and b.
      constants: "cifar10" or "imagenet".

    Returns:
      uint8 [B, H, W, 3]. A grey pixel has the hue of red, which shows if b > 0.

    Raises:
      ValueError: an argument is not as above.

    Source: Hendrycks and Dietterich 2019.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import corruptions
      >>> image = jnp.full((1, 8, 8, 3), 100, jnp.uint8).at[..., 2].set(50)
      >>> keys = jax.random.split(jax.random.key(0), 1)
      >>> run = jax.jit(corruptions.saturate, static_argnames="severity")
      >>> run(keys, image, severity=2)[0, 0, 0]
      Array([100, 100,  95], dtype=uint8)
    """
    check_batch(keys, images)
    factor, more = strength("saturate", severity, constants)
    values = to_unit(images)
    largest, smallest = values.max(-1, keepdims=True), values.min(-1, keepdims=True)
    spread = largest - smallest
    grey = spread == 0
    saturation = spread / jnp.where(largest > 0, largest, 1.0)
    new_saturation = jnp.clip(saturation * factor + more, 0.0, 1.0)
    # The hue is each channel's distance below the largest, as a share of the spread; it does not change.
    below = (largest - values) / jnp.where(grey, 1.0, spread)
    below = jnp.where(grey, jnp.array([0.0, 1.0, 1.0], jnp.float32).reshape(1, 1, 1, 3), below)
    return to_levels(largest * (1.0 - new_saturation * below))


def contrast(keys: Array, images: Array, *, severity: int, constants: str = "cifar10") -> Array:
    r"""Less contrast: :math:`c (x - \bar x) + \bar x`, with the mean of each channel over the image.

    Args:
      keys: one PRNG key for each image, [B]; not used.
      images: uint8 [B, H, W, 3].
      severity: 1 to 5; c is the share of the contrast that is left.
      constants: "cifar10" or "imagenet".

    Returns:
      uint8 [B, H, W, 3].

    Raises:
      ValueError: an argument is not as above.

    Source: Hendrycks and Dietterich 2019.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import corruptions
      >>> image = jnp.zeros((1, 8, 8, 3), jnp.uint8).at[:, 4:].set(200)
      >>> keys = jax.random.split(jax.random.key(0), 1)
      >>> run = jax.jit(corruptions.contrast, static_argnames="severity")
      >>> run(keys, image, severity=2)[0, ::7, 0, 0]
      Array([ 50, 150], dtype=uint8)
    """
    check_batch(keys, images)
    left = strength("contrast", severity, constants)
    # The sum of levels is a whole number, exact in int32; of shares it would be rounded.
    total = images.astype(jnp.int32).sum((1, 2), keepdims=True, dtype=jnp.int32).astype(jnp.float32)
    mean = total / (images.shape[1] * images.shape[2]) / 255.0
    return to_levels((to_unit(images) - mean) * left + mean)
