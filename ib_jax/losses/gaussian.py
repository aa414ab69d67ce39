"""Kernels over Gaussians and their mixtures: log-density, entropy, KL divergence. In nats, float32 or more."""

import functools
import math

import chex
import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular

from ib_jax.losses.precision import one_program, one_rank, widened
from ib_jax.types import AnyGaussian, Array, DiagGaussian, Gaussian, GaussianMixture, Reference

_HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)


def standard_normal(latent_dim: int) -> DiagGaussian:
    """The prior :math:`N(0, I)` over codes of `latent_dim` dimensions.

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
    r"""Log-density of a Gaussian, or of a mixture of diagonal ones, in nats.

    .. math:: \log p(z) = -\tfrac12 \|L^{-1} (z - \mu)\|_2^2 - \log \det L - \tfrac D2 \log 2\pi, \qquad
              \log \sum_m w_m p_m(z) \text{ for a mixture}

    with L the Cholesky factor of the covariance, :math:`\mathrm{diag}(\sigma)` where it is diagonal.

    Args:
      dist: DiagGaussian with fields [..., D], Gaussian with fields [..., D] and [..., D, D], or GaussianMixture with
        fields [..., M] and [..., M, D].
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
    *fields, value = _promote(*dist, value)
    dist = _of_rank(type(dist)(*fields), value.ndim)
    value, _ = one_rank(value, dist.mean)
    return -(0.5 * jnp.square(_whiten(dist, value - dist.mean)) + _log_scale(dist) + _HALF_LOG_TWO_PI).sum(-1)


def gaussian_entropy(dist: AnyGaussian) -> Array:
    r"""Differential entropy of a Gaussian, in nats: :math:`\log \det L + \tfrac D2 \log 2\pi e`.

    Args:
      dist: DiagGaussian with fields [..., D], or Gaussian with fields [..., D] and [..., D, D].

    Returns:
      float [...], in nats, of any sign, minus infinity where a scale is zero; float32 for inputs of lower precision.

    Raises:
      AssertionError: an argument is not floating.

    Example:
      >>> from ib_jax import losses
      >>> print(f"{losses.gaussian_entropy(losses.standard_normal(1)):.4f}")
      1.4189
    """
    return (_log_scale(type(dist)(*_promote(*dist))) + _HALF_LOG_TWO_PI + 0.5).sum(-1)


def kl_divergence(p: AnyGaussian, q: AnyGaussian) -> Array:
    r"""KL divergence between Gaussians, in nats.

    .. math:: D(p \| q) = \tfrac12 \Big[ \|L_q^{-1} L_p\|_F^2 + \|L_q^{-1} (\mu_p - \mu_q)\|_2^2 - D \Big]
              + \log \det L_q - \log \det L_p

    with L the Cholesky factors of the covariances, :math:`\mathrm{diag}(\sigma)` where they are diagonal. If `p` is the
    encoder :math:`p(z|x)` and `q` the prior :math:`r(z)`, the mean over the data bounds :math:`I(X;Z)` from above.

    Args:
      p: DiagGaussian with fields [..., D], or Gaussian with fields [..., D] and [..., D, D].
      q: of the same kind or the other; its fields broadcast against those of `p`.

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
    p_mean, p_scale, q_mean, q_scale = _promote(*p, *q)
    p, q = _of_rank(type(p)(p_mean, p_scale), q_mean.ndim), _of_rank(type(q)(q_mean, q_scale), p_mean.ndim)
    variance, log_ratio = _compared(p, q)
    return (0.5 * (variance + jnp.square(_whiten(q, p.mean - q.mean)) - 1.0) - log_ratio).sum(-1)


def _of_rank(dist: AnyGaussian, rank: int) -> AnyGaussian:
    """Axes of 1 at the front of both fields, so that the mean has at least so many."""
    new = (1,) * (rank - dist.mean.ndim)
    return type(dist)(*(jnp.reshape(field, new + field.shape) for field in dist))


def _whiten(dist: AnyGaussian, vectors: Array) -> Array:
    """L^-1 v, [..., D], of vectors of the Gaussian's rank."""
    if isinstance(dist, DiagGaussian):
        return vectors / dist.scale
    solve = functools.partial(solve_triangular, lower=True)
    return jnp.vectorize(solve, signature="(d,d),(d)->(d)")(dist.scale_tril, vectors)


def _compared(p: AnyGaussian, q: AnyGaussian) -> tuple[Array, Array]:
    """Of each dimension the variance of L_q^-1 z for z from p, and log det L_p - log det L_q in parts, [..., D]."""
    if isinstance(p, DiagGaussian) and isinstance(q, DiagGaussian):
        ratio = p.scale / q.scale
        return jnp.square(ratio), _safe_log(ratio)  # of one ratio: a small divergence is the difference of the two
    columns = jnp.vectorize(jnp.diag, signature="(d)->(d,d)")(p.scale) if isinstance(p, DiagGaussian) else lower(p).mT
    each = type(q)(q.mean[..., None, :], q[1][..., None, :] if isinstance(q, DiagGaussian) else q[1][..., None, :, :])
    return jnp.square(_whiten(each, columns)).sum(-2), _log_scale(p) - _log_scale(q)


def _log_scale(dist: AnyGaussian) -> Array:
    """log sigma, or the logarithms of the diagonal of L, [..., D]."""
    scale = dist.scale if isinstance(dist, DiagGaussian) else jnp.diagonal(dist.scale_tril, axis1=-2, axis2=-1)
    return _safe_log(scale)


def lower(dist: Gaussian) -> Array:
    """The Cholesky factor without what may lie above its diagonal, [..., D, D]."""
    return jnp.tril(dist.scale_tril)


@one_program
def _safe_log(value: Array) -> Array:
    """log with a gradient of 0 at 0, so that the deterministic limit (scale 0) does not turn a gradient into NaN."""
    positive = value > 0
    return jnp.where(positive, jnp.log(jnp.where(positive, value, 1.0)), -jnp.inf)


def _promote(*arrays: Array) -> list[Array]:
    arrays = tuple(map(jnp.asarray, arrays))
    chex.assert_type(list(arrays), float)
    return widened(*arrays)
