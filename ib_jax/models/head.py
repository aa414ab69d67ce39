"""The end of every encoder: from features to a diagonal Gaussian over codes."""

from collections.abc import Callable
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from ib_jax import losses
from ib_jax.types import Array, DiagGaussian

Initializer = Callable[..., Array]
Scale = Literal["learned", "unit", "zero"]

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
) -> DiagGaussian:
    r"""One dense layer to mean and scale; called inside the compact method of a Flax module.

    .. math:: \mu = W_\mu h + b_\mu, \quad \sigma = \mathrm{softplus}(W_\rho h + b_\rho + s)

    Args:
      features: float [B, F].
      latent_dim: D; 0 takes the features themselves as the mean, without a layer, so D = F.
      scale: "learned"; "unit", a scale of 1 (CEB's encoder); or "zero", the deterministic limit. But for learned ones
        the layer has D outputs.
      scale_shift: s.
      kernel_init: initialiser of the weights; the bias starts at zero.
      compute_dtype: of the product; mean and scale are float32.

    Returns:
      DiagGaussian with fields [B, D].

    Raises:
      ValueError: a learned scale needs a layer, so `latent_dim` must be positive.

    Source: Fischer and Alemi, CEB Improves Model Robustness, 2020, section 2.2 and listing 1 (which takes the pooled
    features as the mean).
    """
    learned = scale == "learned"
    if latent_dim == 0:
        if learned:
            raise ValueError("latent_dim must be positive for a learned scale, got 0")
        outputs = features
    else:
        outputs = nn.Dense(latent_dim * (2 if learned else 1), kernel_init=kernel_init, dtype=compute_dtype)(features)
    outputs = outputs.astype(losses.wide_dtype(outputs))
    if not learned:
        return DiagGaussian(outputs, jnp.full_like(outputs, 1.0 if scale == "unit" else 0.0))
    mean, rho = jnp.split(outputs, 2, axis=-1)
    return DiagGaussian(mean, jax.nn.softplus(rho + scale_shift))
