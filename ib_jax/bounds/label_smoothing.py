"""Label smoothing: a regularised baseline."""

import jax.numpy as jnp

from ib_jax import losses
from ib_jax.bounds.forward import forward
from ib_jax.types import Array, BoundTerms, DecodeFn, EncodeFn


def label_smoothing(
    key: Array,
    inputs: Array,
    labels: Array,
    *,
    encode_fn: EncodeFn,
    decode_fn: DecodeFn,
    smoothing: float | Array = 0.1,
) -> BoundTerms:
    r"""Cross-entropy against smoothed labels, at the mean of the encoder.

    .. math:: J = -(1 - \alpha) \log q(y|z) - \frac{\alpha}{C} \sum_c \log q(c|z), \quad z = \mu(x)

    Args:
      key: ignored; taken so that every objective is called alike.
      inputs: float [B, ...].
      labels: int [B], or one-hot or soft, float [B, C].
      encode_fn: inputs [B, ...] -> DiagGaussian [B, D], or Gaussian with a full covariance; only the mean is used.
      decode_fn: codes [..., D] -> logits [..., C].
      smoothing: alpha in [0, 1]; 0 is plain cross-entropy.

    Returns:
      BoundTerms(loss, distortion, accuracy): `loss` is J, `distortion` the cross-entropy of the unsmoothed labels;
      float [B], in nats.

    Raises:
      ValueError: `labels` has another shape, or the decoder does not return logits.
      AssertionError: the batch axes of inputs and codes differ.

    Source: Szegedy et al., Rethinking the Inception Architecture, 2016; Pereyra et al., 2017.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import DiagGaussian, bounds
      >>> bounds.label_smoothing(jax.random.key(0), jnp.zeros((1, 2)), jnp.array([0]), smoothing=0.1,
      ...                        encode_fn=lambda x: DiagGaussian(x, jnp.zeros_like(x)), decode_fn=lambda z: z).loss
      Array([0.6931472], dtype=float32)
    """
    run = forward(key, inputs, labels, encode_fn=encode_fn, decode_fn=decode_fn, num_samples=0)
    if isinstance(run.prediction, tuple):
        raise ValueError("decode_fn must return logits: a label that is a vector has no classes to smooth over")
    num_classes = run.prediction.shape[-1]
    spread = losses.cross_entropy(run.prediction, jnp.full(num_classes, 1.0 / num_classes, jnp.float32)).mean(0)
    loss = (1.0 - smoothing) * run.distortion + smoothing * spread
    return BoundTerms(loss, run.distortion, accuracy=run.accuracy)
