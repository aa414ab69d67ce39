"""Kernels over diagonal Gaussians and their mixtures: log-density, entropy, KL divergence. In nats, float32 or more."""

import math

import chex
import jax
import jax.numpy as jnp

from ib_jax.losses.precision import one_program, one_rank, widened
from ib_jax.types import Array, DiagGaussian, GaussianMixture, Reference

_HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)


def standard_normal(latent_dim: int) -> DiagGaussian:
    """The prior N(0, I) over codes of `latent_dim` dimensions.

    Args:
      latent_dim: D >= 1.

    Returns:
      DiagGaussian with mean 0 and scale 1, each float32 [D].

    Raises:
      ValueError: `latent_dim` is less than 1.

    Example:
      >>> from ib_jax import losses
      >>> losses.standard_normal(2).scale
      Array([1., 1.], dtype=float32)
    """
    if latent_dim < 1:
        raise ValueError(f"latent_dim must be at least 1, got {latent_dim}")
    return DiagGaussian(jnp.zeros(latent_dim, jnp.float32), jnp.ones(latent_dim, jnp.float32))


def log_prob(dist: Reference, value: Array) -> Array:
    r"""Log-density of a diagonal Gaussian or of a mixture of them, in nats.

    .. math:: \log p(z) = -\tfrac12 \sum_d \Big(\frac{z_d - \mu_d}{\sigma_d}\Big)^2 - \sum_d \log \sigma_d
              - \tfrac D2 \log 2\pi, \qquad \log \sum_m w_m p_m(z) \text{ for a mixture}

    Args:
      dist: DiagGaussian with fields [..., D], or GaussianMixture with fields [..., M] and [..., M, D].
      value: float [..., D], broadcast against the Gaussian.

    Returns:
      float [...], in nats; float32 for inputs of lower precision.

    Raises:
      AssertionError: an argument is not floating.

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax import losses
      >>> print(f"{losses.log_prob(losses.standard_normal(1), jnp.zeros(1)):.4f}")  # -log(2 pi) / 2
      -0.9189
    """
    if isinstance(dist, GaussianMixture):
        components = log_prob(DiagGaussian(dist.mean, dist.scale), value[..., None, :])
        log_weights = jax.nn.log_softmax(dist.logits.astype(components.dtype))
        log_weights, components = one_rank(log_weights, components)
        return jax.nn.logsumexp(log_weights + components, axis=-1)
    mean, scale, value = one_rank(*_promote(dist.mean, dist.scale, value))
    standardised = (value - mean) / scale
    return -(0.5 * jnp.square(standardised) + _safe_log(scale) + _HALF_LOG_TWO_PI).sum(-1)


def gaussian_entropy(dist: DiagGaussian) -> Array:
    r"""Differential entropy of a diagonal Gaussian, in nats: :math:`\sum_d \log \sigma_d + \tfrac D2 \log 2\pi e`.

    Args:
      dist: DiagGaussian with fields [..., D].

    Returns:
      float [...], in nats, of any sign, minus infinity where a scale is zero; float32 for inputs of lower precision.

    Raises:
      AssertionError: an argument is not floating.

    Example:
      >>> from ib_jax import losses
      >>> print(f"{losses.gaussian_entropy(losses.standard_normal(1)):.4f}")
      1.4189
    """
    _, scale = _promote(*dist)
    return (_safe_log(scale) + _HALF_LOG_TWO_PI + 0.5).sum(-1)


def kl_divergence(p: DiagGaussian, q: DiagGaussian) -> Array:
    r"""KL divergence between diagonal Gaussians, in nats.

    .. math:: D(p \| q) = \sum_d \tfrac12 \Big[ \frac{\sigma_{p,d}^2}{\sigma_{q,d}^2}
              + \frac{(\mu_{p,d} - \mu_{q,d})^2}{\sigma_{q,d}^2} - 1 \Big] - \log \frac{\sigma_{p,d}}{\sigma_{q,d}}

    With `p` the encoder p(z|x) and `q` the prior r(z), its mean over the data bounds I(X;Z) from above.

    Args:
      p: DiagGaussian with fields [..., D].
      q: DiagGaussian with fields [..., D], broadcast against those of `p`.

    Returns:
      float [...], >= 0 up to rounding, in nats; infinite where a scale of `p` is zero; float32 for inputs of lower
      precision.

    Raises:
      AssertionError: an argument is not floating.

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax import DiagGaussian, losses
      >>> losses.kl_divergence(DiagGaussian(jnp.full((1, 2), 3.0), jnp.ones((1, 2))), losses.standard_normal(2))
      Array([9.], dtype=float32)
    """
    p_mean, p_scale, q_mean, q_scale = one_rank(*_promote(*p, *q))
    ratio = p_scale / q_scale
    shift = (p_mean - q_mean) / q_scale
    return (0.5 * (jnp.square(ratio) + jnp.square(shift) - 1.0) - _safe_log(ratio)).sum(-1)


@one_program
def _safe_log(value: Array) -> Array:
    """log with a gradient of 0 at 0, so that the deterministic limit (scale 0) does not turn a gradient into NaN."""
    positive = value > 0
    return jnp.where(positive, jnp.log(jnp.where(positive, value, 1.0)), -jnp.inf)


def _promote(*arrays: Array) -> list[Array]:
    arrays = tuple(map(jnp.asarray, arrays))
    chex.assert_type(list(arrays), float)
    return widened(*arrays)
