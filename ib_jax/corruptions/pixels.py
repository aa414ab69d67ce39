"""Batches of images for the corruptions: uint8 outside, float32 shares of white inside."""

import jax
import jax.numpy as jnp

from ib_jax.keys import counter_key
from ib_jax.types import Array

ROUNDING = 1e-3
"""Of a level. The references compute in float64 and cut fractions off; what is a whole number there may come out a
little below it in float32, and would lose a level."""


def check_batch(keys: Array, images: Array) -> None:
    """Checks for a batch of colour images, which may be empty, with a key for each image.

    Raises:
      ValueError: the batch or the keys have another form; the message says which.
    """
    if images.ndim != 4 or images.shape[-1] != 3 or min(images.shape[1:3]) < 1:
        raise ValueError(f"images must have shape [B, H, W, 3] with H and W at least 1, got {images.shape}")
    if images.dtype != jnp.uint8:
        raise ValueError(f"images must be uint8, values from 0 to 255, got {images.dtype}")
    if not jnp.issubdtype(keys.dtype, jax.dtypes.prng_key):
        raise ValueError(f"keys must be typed PRNG keys as of jax.random.key and jax.random.split, got {keys.dtype}")
    if keys.shape != images.shape[:1]:
        raise ValueError(f"keys must be one for each of the {len(images)} images, got shape {keys.shape}")


def to_unit(images: Array) -> Array:
    """uint8 levels to float32 shares of white, in [0, 1]."""
    return images.astype(jnp.float32) / 255.0


def to_levels(values: Array) -> Array:
    """Shares of white to uint8 levels: clipped to [0, 1], the fraction of a level cut off as in the benchmark."""
    return cut_levels(jnp.clip(values, 0.0, 1.0) * 255.0)


def cut_levels(levels: Array) -> Array:
    """Float levels to uint8: clipped to [0, 255], fractions cut off."""
    return jnp.clip(levels + ROUNDING, 0.0, 255.0).astype(jnp.uint8)


def split_keys(keys: Array, count: int) -> tuple[Array, ...]:
    """`count` independent keys [B] from the keys [B] of a batch."""
    return tuple(jax.vmap(lambda key: jax.random.split(key, count), out_axes=1)(counter_key(keys)))
