"""The end of every encoder: from features to a Gaussian over codes."""

from collections.abc import Callable
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from ib_jax import losses
from ib_jax.types import AnyGaussian, Array, DiagGaussian, Gaussian

Initializer = Callable[..., Array]
Scale = Literal["learned", "full", "unit", "zero"]

XAVIER: Initializer = nn.initializers.xavier_uniform()
"""The initial weights of the authors' notebook."""

HE: Initializer = nn.initializers.he_normal()
"""The initial weights of convolutions."""


def gaussian_head(
    features: Array,
    latent_dim: int,
    scale: Scale,
    *,
    scale_shift: float = -5.0,
    kernel_init: Initializer = XAVIER,
    compute_dtype: DTypeLike = jnp.float32,
) -> AnyGaussian:
    r"""One dense layer to mean and scale; called inside the compact method of a Flax module.

    .. math:: \mu = W_\mu h + b_\mu, \quad \sigma = \mathrm{softplus}(W_\rho h + b_\rho + s), \quad
              L = \mathrm{diag}(\sigma)\, (I + \mathrm{lower}(W_\lambda h + b_\lambda))

    Args:
      features: float [B, F].
      latent_dim: D; 0 takes the features themselves as the mean, without a layer, so D = F.
      scale: "learned"; "full", the Cholesky factor L of a full covariance; "unit", a scale of 1 (CEB's encoder); or
        "zero", the deterministic limit. The layer has 2 D outputs, D (D - 1) / 2 more for L, and D for the last two.
      scale_shift: s.
      kernel_init: initialiser of the weights; the bias starts at zero.
      compute_dtype: of the product; mean and scale are float32.

    Returns:
      DiagGaussian with fields [B, D]; for "full" Gaussian with fields [B, D] and [B, D, D].

    Raises:
      ValueError: a learned scale needs a layer, so `latent_dim` must be positive.

    Source: Fischer and Alemi, CEB Improves Model Robustness, 2020, section 2.2 and listing 1 (which takes the pooled
    features as the mean).

    Example:
      >>> import flax.linen as nn, jax, jax.numpy as jnp
      >>> from ib_jax import models
      >>> class Encoder(nn.Module):
      ...     @nn.compact
      ...     def __call__(self, x, train=False):
      ...         return models.gaussian_head(nn.relu(nn.Dense(16)(x)), 2, "learned")
      >>> encoding, _ = Encoder().init_with_output(jax.random.key(0), jnp.zeros((5, 4)))
      >>> encoding.mean.shape, encoding.scale.shape
      ((5, 2), (5, 2))
    """
    learned = scale in ("learned", "full")
    num_below = latent_dim * (latent_dim - 1) // 2 if scale == "full" else 0
    if latent_dim == 0:
        if learned:
            raise ValueError("latent_dim must be positive for a learned scale, got 0")
        outputs = features
    else:
        num_outputs = latent_dim * (2 if learned else 1) + num_below
        outputs = nn.Dense(num_outputs, kernel_init=kernel_init, dtype=compute_dtype)(features)
    outputs = outputs.astype(losses.wide_dtype(outputs))
    if not learned:
        return DiagGaussian(outputs, jnp.full_like(outputs, 1.0 if scale == "unit" else 0.0))
    mean, rho, below = jnp.split(outputs, (latent_dim, 2 * latent_dim), axis=-1)
    scales = jax.nn.softplus(rho + scale_shift)
    if scale == "learned":
        return DiagGaussian(mean, scales)
    factor = jnp.zeros((*mean.shape, latent_dim), mean.dtype).at[..., *np.tril_indices(latent_dim, -1)].set(below)
    return Gaussian(mean, scales[..., None] * (factor + jnp.eye(latent_dim, dtype=mean.dtype)[None]))
