"""What is done to the training images of an MLP."""

from typing import Any

import jax

from ib_jax import data, training
from ib_jax.types import Array


def noisy(config: Any) -> training.Augment:
    """Gaussian noise of `input_noise`, in units of the pixel range and drawn anew in each step; none without it."""
    scale = getattr(config, "input_noise", 0.0)

    def augment(keys: Array, inputs: Array) -> Array:
        if not scale:
            return inputs
        images = data.to_unit_interval(inputs)
        return images + scale * jax.vmap(lambda key: jax.random.normal(key, images.shape[1:], images.dtype))(keys)

    return augment
