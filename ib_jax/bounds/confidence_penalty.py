"""The confidence penalty: a regularised baseline."""

import jax.numpy as jnp

from ib_jax import losses
from ib_jax.bounds.forward import forward
from ib_jax.types import Array, BoundTerms, DecodeFn, EncodeFn


def confidence_penalty(
    key: Array,
    inputs: Array,
    labels: Array,
    *,
    encode_fn: EncodeFn,
    decode_fn: DecodeFn,
    penalty: float | Array = 0.1,
    entropy_threshold: float | Array | None = None,
) -> BoundTerms:
    r"""Cross-entropy minus a reward for the entropy of the prediction, at the mean of the encoder.

    .. math:: J = -\log q(y|z) - \lambda H(q(\cdot|z)), \quad z = \mu(x)

    With an entropy threshold :math:`\Gamma` the penalty is :math:`\lambda \max(0, \Gamma - H)`: only confident
    predictions pay it.

    Args:
      key: ignored; taken so that every objective is called alike.
      inputs: float [B, ...].
      labels: int [B], or one-hot or soft, float [B, C].
      encode_fn: inputs [B, ...] -> DiagGaussian [B, D], or Gaussian with a full covariance; only the mean is used.
      decode_fn: codes [..., D] -> logits [..., C].
      penalty: lambda >= 0; 0 is plain cross-entropy.
      entropy_threshold: Gamma in nats, or None for a reward at every entropy.

    Returns:
      BoundTerms(loss, distortion, prediction_entropy, accuracy), float [B], in nats. Without a threshold the loss can
      be negative: it is lowest for a right answer that is not certain.

    Raises:
      ValueError: `labels` has another shape.
      AssertionError: the batch axes of inputs and codes differ.

    Source: Pereyra et al., Regularizing Neural Networks by Penalizing Confident Output Distributions, 2017.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import DiagGaussian, bounds
      >>> terms = bounds.confidence_penalty(
      ...     jax.random.key(0), jnp.zeros((1, 2)), jnp.array([0]), penalty=1.0,
      ...     encode_fn=lambda x: DiagGaussian(x, jnp.zeros_like(x)), decode_fn=lambda z: z)
      >>> terms.distortion, terms.loss  # log 2, and log 2 - log 2
      (Array([0.6931472], dtype=float32), Array([0.], dtype=float32))
    """
    run = forward(key, inputs, labels, encode_fn=encode_fn, decode_fn=decode_fn, num_samples=0)
    entropy = losses.prediction_entropy(run.prediction).mean(0)
    reward = entropy if entropy_threshold is None else jnp.minimum(entropy - entropy_threshold, 0.0)
    return BoundTerms(
        run.distortion - penalty * reward, run.distortion, prediction_entropy=entropy, accuracy=run.accuracy
    )
