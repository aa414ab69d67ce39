"""The variational information bottleneck."""

from ib_jax import losses
from ib_jax.bounds.forward import entropy_of_codes, forward
from ib_jax.types import Array, BoundTerms, DecodeFn, EncodeFn, Estimator, Reference


def vib(
    key: Array,
    inputs: Array,
    labels: Array,
    *,
    encode_fn: EncodeFn,
    decode_fn: DecodeFn,
    prior: Reference,
    beta: float | Array | None = None,
    rho: float | Array | None = None,
    num_samples: int = 1,
    estimator: Estimator | None = None,
) -> BoundTerms:
    r"""Variational information bottleneck (VIB).

    .. math:: J = E_{z \sim p(z|x)}[-\log q(y|z)] + \beta\, D(p(z|x) \| r(z)), \quad \beta = \sigma(-\rho)

    The first term, the distortion, is an upper bound on :math:`H(Y|Z)`. The second, the rate, is one on :math:`I(X;Z)`.
    In the mean over the data J bounds :math:`H(Y) - I(Z;Y) + \beta I(X;Z)` from above. The gaps are known:
    :math:`D(p(z) \| r(z))` for the rate and :math:`E[D(p(y|z) \| q(y|z))]` for the distortion.

    Args:
      key: one PRNG key, or one for each example ([B]).
      inputs: float [B, ...].
      labels: int [B], or one-hot or soft, float [B, C]; float [B, Y] if the decoder predicts a Gaussian.
      encode_fn: inputs [B, ...] -> DiagGaussian [B, D], or Gaussian with a full covariance.
      decode_fn: codes [..., D] -> logits [..., C], or a Gaussian over [..., Y].
      prior: r(z), DiagGaussian with fields [D] (`losses.standard_normal(D)` in the paper) or GaussianMixture with
        fields [M] and [M, D]; learned if its fields are parameters.
      beta: weight of the rate, >= 0; a number or an array that broadcasts against [B].
      rho: the same in CEB's form, :math:`\beta = 1 / (1 + e^\rho)`; give one of the two.
      num_samples: samples of z for each example; 0 for the deterministic limit, the mean of z alone.
      estimator: of the rate, "closed_form" or "sampled"; by default closed form where there is one.

    Returns:
      BoundTerms(loss, distortion, rate, entropy_zx, accuracy), each float [B], in nats; entropy_zx is :math:`H(Z|X)`.

    Raises:
      ValueError: `labels` has another shape, not exactly one of beta and rho is given, `num_samples` is negative, or
        `estimator` does not fit.
      AssertionError: the batch axes of inputs and codes differ.

    Source: Alemi, Fischer, Dillon, Murphy, Deep Variational Information Bottleneck, 2017, eq. 17; in rho: Fischer and
    Alemi, CEB Improves Model Robustness, 2020, eq. 7.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import DiagGaussian, bounds, losses
      >>> encode_fn = lambda x: DiagGaussian(x, jnp.ones_like(x))
      >>> decode_fn = lambda z: jnp.stack([z[..., 0], -z[..., 0]], -1)
      >>> terms = bounds.vib(jax.random.key(0), jnp.array([[3.0]]), jnp.array([0]), encode_fn=encode_fn,
      ...                    decode_fn=decode_fn, prior=losses.standard_normal(1), beta=0.1)
      >>> terms.rate
      Array([4.5], dtype=float32)
    """
    beta = losses.choose_beta(beta, rho)
    run = forward(key, inputs, labels, encode_fn=encode_fn, decode_fn=decode_fn, num_samples=num_samples)
    rate = losses.divergence(run.codes, prior, estimator)
    loss = run.distortion + losses.weigh(beta, rate)
    entropy_zx = entropy_of_codes(run.codes, estimator)
    return BoundTerms(loss, run.distortion, rate=rate, entropy_zx=entropy_zx, accuracy=run.accuracy)
