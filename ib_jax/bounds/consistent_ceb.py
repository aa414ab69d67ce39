"""The conditional entropy bottleneck with the consistent classifier."""

import functools

from ib_jax import losses
from ib_jax.bounds.ceb import residual_terms
from ib_jax.bounds.forward import forward
from ib_jax.types import Array, BoundTerms, EncodeFn, Estimator, Reference


def consistent_ceb(
    key: Array,
    inputs: Array,
    labels: Array,
    *,
    encode_fn: EncodeFn,
    backward: Reference,
    rho: float | Array,
    class_probabilities: Array | None = None,
    num_samples: int = 1,
    estimator: Estimator | None = None,
) -> BoundTerms:
    r"""CEB whose classifier is the Bayesian inversion of its backward encoder; it has no decoder of its own.

    .. math:: J = E_z[-\log q(y|z)] + e^{-\rho}\, E_z[\log e(z|x) - \log b(z|y)], \quad
              q(y|z) = \mathrm{softmax}_y(\log b(z|y) + \log p(y))

    For predictions use `losses.bayes_logits(codes, backward, class_probabilities)` as the decoder.

    Args:
      key: one PRNG key, or one for each example ([B]).
      inputs: float [B, ...].
      labels: int [B], or one-hot or soft, float [B, C].
      encode_fn: inputs [B, ...] -> DiagGaussian [B, D], or Gaussian with a full covariance.
      backward: b(z|y), a table with one density for each class, DiagGaussian with fields [C, D] or GaussianMixture with
        fields [C, M] and [C, M, D]; learned if its fields are parameters.
      rho: real; the weight of the residual is :math:`e^{-\rho}`, and infinity turns the bottleneck off.
      class_probabilities: p(y), float [C]: the shares of the classes in the training set
        (`evaluation.label_probabilities`), or None for uniform ones.
      num_samples: samples of z for each example; 0 for the deterministic limit, the mean of z alone.
      estimator: of the residual, "closed_form" (for diagonal Gaussians) or "sampled"; by default closed form where
        there is one.

    Returns:
      BoundTerms(loss, distortion, residual, entropy_zx, entropy_zy, accuracy), each float [B], in nats.

    Raises:
      ValueError: `labels` has another shape, `num_samples` is negative, `estimator` does not fit, or
        `class_probabilities` has another length than the table.
      AssertionError: the batch axes of inputs and codes differ.

    Source: Fischer and Alemi, CEB Improves Model Robustness, 2020, section 2.3, eqs. 10 and 11.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import DiagGaussian, bounds
      >>> backward = DiagGaussian(jnp.array([[2.0], [-2.0]]), jnp.ones((2, 1)))
      >>> terms = bounds.consistent_ceb(
      ...     jax.random.key(0), jnp.array([[0.0]]), jnp.array([0]), rho=0.0, backward=backward, num_samples=0,
      ...     encode_fn=lambda x: DiagGaussian(x, jnp.ones_like(x)))
      >>> terms.distortion, terms.residual  # log 2 half way between the classes, and 2^2 / 2
      (Array([0.6931472], dtype=float32), Array([2.], dtype=float32))
    """
    decode_fn = functools.partial(losses.bayes_logits, backward=backward, class_probabilities=class_probabilities)
    run = forward(key, inputs, labels, encode_fn=encode_fn, decode_fn=decode_fn, num_samples=num_samples)
    return residual_terms(run, labels, backward, rho, estimator)
