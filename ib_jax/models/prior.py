"""Learned priors r(z)."""

import flax.linen as nn
import jax.numpy as jnp

from ib_jax.types import DiagGaussian


class LearnedPrior(nn.Module):
    """A diagonal Gaussian prior r(z) with learned mean and scale, N(0, I) at the start.

    The rate under the best such prior is never above the rate under N(0, I), so the bound on I(X;Z) is tighter.

    Attributes:
      latent_dim: D.

    Example:
      >>> import jax
      >>> from ib_jax import models
      >>> models.LearnedPrior(2).init_with_output(jax.random.key(0))[0].scale
      Array([1., 1.], dtype=float32)
    """

    latent_dim: int

    @nn.compact
    def __call__(self) -> DiagGaussian:
        """() -> DiagGaussian with fields [D]."""
        mean = self.param("mean", nn.initializers.zeros, (self.latent_dim,))
        log_scale = self.param("log_scale", nn.initializers.zeros, (self.latent_dim,))
        return DiagGaussian(mean, jnp.exp(log_scale))
