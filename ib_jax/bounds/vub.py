"""The variational upper bound: VIB with a reward for the entropy of the classifier."""

import jax.numpy as jnp

from ib_jax import losses
from ib_jax.bounds.forward import entropy_of_codes, forward
from ib_jax.types import Array, BoundTerms, DecodeFn, EncodeFn, Estimator, Reference


def vub(
    key: Array,
    inputs: Array,
    labels: Array,
    *,
    encode_fn: EncodeFn,
    decode_fn: DecodeFn,
    prior: Reference,
    label_entropy: float | Array,
    beta: float | Array | None = None,
    rho: float | Array | None = None,
    num_samples: int = 1,
    estimator: Estimator | None = None,
) -> BoundTerms:
    r"""Variational upper bound (VUB) on the information bottleneck.

    .. math:: J = \beta\, D(p(z|x) \| r(z)) + E_{z \sim p(z|x)}\big[-\log q(y|z)
              - \min\{H(Y),\, H(q(\cdot|z))\}\big]

    The minimum is taken for each example and sample. In the mean over the data
    :math:`L_{IB} = \beta I(X;Z) - I(Z;Y) \le J_{VIB} - H(Y) \le J \le J_{VIB}`: J is below VIB because VIB's usual form
    drops the constant H(Y); with H(Y) kept, VIB is the tighter of the two. What VUB changes is the optimum. Where the
    minimum is not H(Y), it is a confidence penalty of weight one, and the best decoder is no longer :math:`p(y|z)` but
    a more cautious one. With C classes, an example that is classified right has its lowest loss at the confidence q
    that solves :math:`q \log\frac{(C - 1) q}{1 - q} = 1`: 0.78 for two classes and 0.48 for ten.

    Args:
      key: one PRNG key, or one for each example ([B]).
      inputs: float [B, ...].
      labels: int [B], or one-hot or soft, float [B, C]; float [B, Y] if the decoder predicts a Gaussian.
      encode_fn: inputs [B, ...] -> DiagGaussian [B, D], or Gaussian with a full covariance.
      decode_fn: codes [..., D] -> logits [..., C], or a Gaussian over [..., Y].
      prior: r(z), DiagGaussian with fields [D] (`losses.standard_normal(D)` in the paper) or GaussianMixture with
        fields [M] and [M, D]; learned if its fields are parameters.
      label_entropy: H(Y) in nats: log C for balanced classes, or measured with
        `evaluation.label_entropy(labels, num_classes)`. For a vector target it is the differential entropy;
        :math:`J \le J_{VIB}` then needs H(Y) and H(q) to be at least 0.
      beta: weight of the rate, >= 0; a number or an array that broadcasts against [B].
      rho: the same in CEB's form, :math:`\beta = 1 / (1 + e^\rho)`; give one of the two.
      num_samples: samples of z for each example; 0 for the deterministic limit, the mean of z alone.
      estimator: of the rate, "closed_form" or "sampled"; by default closed form where there is one.

    Returns:
      BoundTerms(loss, distortion, rate, entropy_zx, prediction_entropy, accuracy), each float [B], in nats.
      prediction_entropy is that of q, before the minimum; entropy_zx is :math:`H(Z|X)`.

    Raises:
      ValueError: `labels` has another shape, not exactly one of beta and rho is given, `num_samples` is negative, or
        `estimator` does not fit.
      AssertionError: the batch axes of inputs and codes differ.

    Source: Tighter Bounds on the Information Bottleneck with Application to Deep Learning (arXiv 2402.07639), eq. 10.

    Example:
      >>> import jax, jax.numpy as jnp, math
      >>> from ib_jax import DiagGaussian, bounds, losses
      >>> terms = bounds.vub(
      ...     jax.random.key(0), jnp.zeros((1, 2)), jnp.array([0]), beta=0.5, label_entropy=math.log(2.0),
      ...     encode_fn=lambda x: DiagGaussian(x, jnp.ones_like(x)), decode_fn=lambda z: 0.0 * z,
      ...     prior=losses.standard_normal(2))
      >>> terms.distortion, terms.loss  # log 2, and log 2 - log 2
      (Array([0.6931472], dtype=float32), Array([0.], dtype=float32))
    """
    beta = losses.choose_beta(beta, rho)
    run = forward(key, inputs, labels, encode_fn=encode_fn, decode_fn=decode_fn, num_samples=num_samples)
    rate = losses.divergence(run.codes, prior, estimator)
    entropy = losses.prediction_entropy(run.prediction)
    reward = jnp.minimum(label_entropy, entropy).mean(0)
    loss = losses.weigh(beta, rate) + run.distortion - reward
    return BoundTerms(
        loss,
        run.distortion,
        rate=rate,
        entropy_zx=entropy_of_codes(run.codes, estimator),
        prediction_entropy=entropy.mean(0),
        accuracy=run.accuracy,
    )
