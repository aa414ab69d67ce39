"""The conditional entropy bottleneck."""

from ib_jax import losses
from ib_jax.bounds.forward import Forward, entropy_of_codes, forward
from ib_jax.types import Array, Backward, BoundTerms, DecodeFn, EncodeFn, Estimator


def ceb(
    key: Array,
    inputs: Array,
    labels: Array,
    *,
    encode_fn: EncodeFn,
    decode_fn: DecodeFn,
    backward: Backward,
    rho: float | Array,
    num_samples: int = 1,
    estimator: Estimator | None = None,
) -> BoundTerms:
    r"""Conditional entropy bottleneck (CEB).

    .. math:: J = E_{z \sim e(z|x)}[-\log q(y|z)] + e^{-\rho}\, E_{z \sim e(z|x)}[\log e(z|x) - \log b(z|y)]

    The second term, the residual, is an upper bound on the residual information :math:`I(X;Z|Y)` in the mean over the
    data; the gap is :math:`E[D(p(z|y) \| b(z|y))]`. Where both are tight, CEB has the same optima as VIB with
    :math:`\beta = \sigma(-\rho)`.

    Args:
      key: one PRNG key, or one for each example ([B]).
      inputs: float [B, ...].
      labels: int [B], or one-hot or soft, float [B, C]; float [B, Y] if the decoder predicts a Gaussian.
      encode_fn: inputs [B, ...] -> DiagGaussian [B, D], or Gaussian with a full covariance.
      decode_fn: codes [..., D] -> logits [..., C], or a Gaussian over [..., Y].
      backward: b(z|y), a table with one density for each class, DiagGaussian with fields [C, D] or GaussianMixture with
        fields [C, M] and [C, M, D], or a function from the labels to densities with fields [B, ...]; learned if its
        fields are parameters.
      rho: real; the weight of the residual is :math:`e^{-\rho}`, and infinity turns the bottleneck off.
      num_samples: samples of z for each example; 0 for the deterministic limit, the mean of z alone.
      estimator: of the residual, "closed_form" (for diagonal Gaussians) or "sampled" (eq. 9 of the paper); by default
        closed form where there is one.

    Returns:
      BoundTerms(loss, distortion, residual, entropy_zx, entropy_zy, accuracy), each float [B], in nats. After the loss
      come the paper's :math:`H(Y|Z)`, :math:`I(X;Z|Y)`, :math:`H(Z|X)` and :math:`H(Z|Y)`. The entropies of z are
      differential and may have either sign.

    Raises:
      ValueError: `labels` has another shape, `num_samples` is negative, or `estimator` does not fit.
      AssertionError: the batch axes of inputs and codes differ.

    Source: Fischer and Alemi, CEB Improves Model Robustness, 2020, eqs. 6, 8, 9 and listing 3.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import DiagGaussian, bounds
      >>> backward = DiagGaussian(jnp.array([[2.0], [-2.0]]), jnp.ones((2, 1)))
      >>> terms = bounds.ceb(jax.random.key(0), jnp.array([[3.0]]), jnp.array([0]), rho=0.0, backward=backward,
      ...                    encode_fn=lambda x: DiagGaussian(x, jnp.ones_like(x)),
      ...                    decode_fn=lambda z: jnp.concatenate([z, -z], -1))
      >>> terms.residual  # (3 - 2)^2 / 2
      Array([0.5], dtype=float32)
    """
    run = forward(key, inputs, labels, encode_fn=encode_fn, decode_fn=decode_fn, num_samples=num_samples)
    return residual_terms(run, labels, backward, rho, estimator)


def residual_terms(
    run: Forward, labels: Array, backward: Backward, rho: float | Array, estimator: Estimator | None
) -> BoundTerms:
    """The terms of CEB from a model that has run on a batch."""
    residual = losses.class_divergence(run.codes, backward, labels, estimator)
    entropy_zx = entropy_of_codes(run.codes, estimator)
    return BoundTerms(
        loss=run.distortion + losses.weigh(losses.rho_to_gamma(rho), residual),
        distortion=run.distortion,
        residual=residual,
        entropy_zx=entropy_zx,
        entropy_zy=entropy_zx + residual,
        accuracy=run.accuracy,
    )
