"""A classifier as attacks and evaluation call it: logits from parameters, keys and inputs."""

from collections.abc import Callable

from ib_jax import losses
from ib_jax.models.classifier import Classifier
from ib_jax.types import Array, Params

ApplyFn = Callable[[Params, Array, Array], Array]
"""(params, keys [B], inputs [B, ...]) -> logits [B, C], as `attacks.Runner` takes it."""


def sampled_apply(model: Classifier) -> ApplyFn:
    """The classifier at one sample of z, each example's from its own key; with a scale of zero it is deterministic.

    Args:
      model: a classifier.

    Returns:
      (params, keys [B], inputs [B, ...]) -> logits [B, C].

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import models
      >>> model = models.mlp_classifier(latent_dim=2, num_classes=10, hidden=(16,))
      >>> images = jnp.zeros((3, 8, 8, 1))
      >>> params = model.init(jax.random.key(0), images)
      >>> models.sampled_apply(model)(params, jax.random.split(jax.random.key(1), 3), images).shape
      (3, 10)
    """

    def apply(params: Params, keys: Array, inputs: Array) -> Array:
        return model.decode(params, losses.sample(keys, model.encode(params, inputs)))[0]

    return apply


def mean_apply(model: Classifier) -> ApplyFn:
    """The classifier at the mean of p(z|x); the keys are not used.

    Args:
      model: a classifier.

    Returns:
      (params, keys [B], inputs [B, ...]) -> logits [B, C].

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import models
      >>> model = models.mlp_classifier(latent_dim=2, num_classes=10, hidden=(16,))
      >>> images = jnp.zeros((3, 8, 8, 1))
      >>> params = model.init(jax.random.key(0), images)
      >>> models.mean_apply(model)(params, None, images).shape
      (3, 10)
    """

    def apply(params: Params, keys: Array, inputs: Array) -> Array:
        return model.decode(params, model.encode(params, inputs).mean)

    return apply
