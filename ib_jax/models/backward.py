"""Backward encoders b(z|y)."""

import flax.linen as nn
import jax.numpy as jnp

from ib_jax.models.head import XAVIER, Initializer
from ib_jax.types import DiagGaussian


class BackwardEncoder(nn.Module):
    """A diagonal Gaussian over codes for each class: the backward encoder b(z|y) of CEB.

    Attributes:
      latent_dim: D.
      num_classes: C >= 2.
      learned_scale: whether the scales are learned (they start at 1) or stay 1, as in the paper.
      mean_init: initialiser of the means [C, D].

    Source: Fischer and Alemi, CEB Improves Model Robustness, 2020, section 2.2 and listing 2.

    Example:
      >>> import jax
      >>> from ib_jax import models
      >>> models.BackwardEncoder(latent_dim=2, num_classes=10).init_with_output(jax.random.key(0))[0].mean.shape
      (10, 2)
    """

    latent_dim: int
    num_classes: int
    learned_scale: bool = False
    mean_init: Initializer = XAVIER

    @nn.compact
    def __call__(self) -> DiagGaussian:
        """() -> DiagGaussian with fields [C, D]."""
        shape = (self.num_classes, self.latent_dim)
        mean = self.param("mean", self.mean_init, shape, jnp.float32)
        if not self.learned_scale:
            return DiagGaussian(mean, jnp.ones(shape, jnp.float32))
        return DiagGaussian(mean, jnp.exp(self.param("log_scale", nn.initializers.zeros, shape, jnp.float32)))
