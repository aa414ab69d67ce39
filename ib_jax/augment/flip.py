"""Random horizontal flips."""

import jax
import jax.numpy as jnp

from ib_jax.augment.image import Augment, check_image
from ib_jax.types import Array


def random_flip(probability: float = 0.5) -> Augment:
    """Flips the image horizontally with a given probability.

    Args:
      probability: of a flip, in [0, 1].

    Returns:
      Augment: (key, image uint8 [H, W, 3]) -> the same shape.

    Raises:
      ValueError: `probability` is outside [0, 1]; from the result, an image that is not uint8 [H, W, 3].

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import augment
      >>> image = jnp.broadcast_to(jnp.arange(3, dtype=jnp.uint8)[:, None], (1, 3, 3))
      >>> augment.random_flip(1.0)(jax.random.key(0), image)[..., 0]
      Array([[2, 1, 0]], dtype=uint8)
    """
    if not 0 <= probability <= 1:
        raise ValueError(f"probability must be in [0, 1], got {probability}")

    def apply(key: Array, image: Array) -> Array:
        check_image(image)
        return jnp.where(jax.random.bernoulli(key, jnp.float32(probability)), image[:, ::-1], image)

    return apply
