"""Learned priors r(z)."""

import flax.linen as nn
import jax.numpy as jnp

from ib_jax.types import DiagGaussian, GaussianMixture


class LearnedPrior(nn.Module):
    """A diagonal Gaussian prior r(z) with learned mean and scale, N(0, I) at the start.

    The rate under the best such prior is never above the rate under N(0, I), so the bound on :math:`I(X;Z)` is tighter.

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
        mean = self.param("mean", nn.initializers.zeros, (self.latent_dim,), jnp.float32)
        log_scale = self.param("log_scale", nn.initializers.zeros, (self.latent_dim,), jnp.float32)
        return DiagGaussian(mean, jnp.exp(log_scale))


class MixturePrior(nn.Module):
    """A prior r(z) that is a mixture of Gaussians with learned weights, means and scales.

    It can follow the marginal of the codes where one Gaussian cannot, so the rate under it is the tighter bound on
    :math:`I(X;Z)`; it needs the sampled rate.

    Attributes:
      latent_dim: D.
      num_components: M >= 1. The means start at random places of scale 1, the scales at 1 and the weights equal.

    Example:
      >>> import jax
      >>> from ib_jax import models
      >>> models.MixturePrior(2, num_components=5).init_with_output(jax.random.key(0))[0].mean.shape
      (5, 2)
    """

    latent_dim: int
    num_components: int

    @nn.compact
    def __call__(self) -> GaussianMixture:
        """() -> GaussianMixture with fields [M] and [M, D]."""
        shape = (self.num_components, self.latent_dim)
        logits = self.param("logits", nn.initializers.zeros, (self.num_components,), jnp.float32)
        mean = self.param("mean", nn.initializers.normal(1.0), shape, jnp.float32)
        log_scale = self.param("log_scale", nn.initializers.zeros, shape, jnp.float32)
        return GaussianMixture(logits, mean, jnp.exp(log_scale))
