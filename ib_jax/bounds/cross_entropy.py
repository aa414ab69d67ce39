"""Plain cross-entropy: the deterministic baseline."""

from ib_jax.bounds.forward import forward
from ib_jax.types import Array, BoundTerms, DecodeFn, EncodeFn


def cross_entropy(key: Array, inputs: Array, labels: Array, *, encode_fn: EncodeFn, decode_fn: DecodeFn) -> BoundTerms:
    r"""Cross-entropy at the mean of the encoder, the deterministic baseline: :math:`J = -\log q(y | z = \mu(x))`.

    Args:
      key: ignored; taken so that every objective is called alike.
      inputs: float [B, ...].
      labels: int [B], or one-hot or soft, float [B, C]; float [B, Y] if the decoder predicts a Gaussian.
      encode_fn: inputs [B, ...] -> DiagGaussian [B, D], or Gaussian with a full covariance; only the mean is used.
      decode_fn: codes [..., D] -> logits [..., C].

    Returns:
      BoundTerms(loss, distortion, accuracy): loss and distortion are the cross-entropy, float [B], in nats. A
      deterministic code has no finite rate, so there is no rate term.

    Raises:
      ValueError: `labels` has another shape.
      AssertionError: the batch axes of inputs and codes differ.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import DiagGaussian, bounds
      >>> bounds.cross_entropy(jax.random.key(0), jnp.zeros((1, 2)), jnp.array([0]),
      ...                      encode_fn=lambda x: DiagGaussian(x, jnp.zeros_like(x)), decode_fn=lambda z: z).loss
      Array([0.6931472], dtype=float32)
    """
    run = forward(key, inputs, labels, encode_fn=encode_fn, decode_fn=decode_fn, num_samples=0)
    return BoundTerms(run.distortion, run.distortion, accuracy=run.accuracy)
