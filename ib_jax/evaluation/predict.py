"""Predictions of a stochastic classifier."""

from ib_jax import losses
from ib_jax.types import DecodeFn, EncodeFn, LogitsFn


def sampled_logits_fn(encode_fn: EncodeFn, decode_fn: DecodeFn) -> LogitsFn:
    """The classifier as an attack sees it: logits at one sample of z, drawn with each example's own key.

    Args:
      encode_fn: inputs [B, ...] -> DiagGaussian [B, D], or Gaussian with a full covariance.
      decode_fn: codes [..., D] -> logits [..., C].

    Returns:
      (key or keys [B], inputs [B, ...]) -> logits [B, C]. With a scale of zero it is deterministic.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import DiagGaussian, evaluation
      >>> logits_fn = evaluation.sampled_logits_fn(lambda x: DiagGaussian(x, jnp.ones_like(x)), lambda z: z)
      >>> logits_fn(jax.random.key(0), jnp.zeros((3, 2))).shape
      (3, 2)
    """
    return lambda keys, inputs: decode_fn(losses.sample(keys, encode_fn(inputs)))[0]
