"""What a decoder's prediction costs: one pair of kernels for classes and for vectors. In nats, float32 or more."""

import jax.numpy as jnp

from ib_jax.losses.classification import cross_entropy, entropy
from ib_jax.losses.gaussian import gaussian_entropy, log_prob
from ib_jax.types import Array, Prediction


def negative_log_likelihood(prediction: Prediction, targets: Array) -> Array:
    r""":math:`-\log q(y|z)` of the target under the decoder's prediction, in nats.

    Args:
      prediction: logits [..., C], or a Gaussian of either kind over [..., Y].
      targets: labels as of `cross_entropy` for logits; float [..., Y] for a Gaussian.

    Returns:
      float [...], in nats; for a Gaussian, a density, of any sign.

    Raises:
      ValueError: as `cross_entropy`; `targets` of a Gaussian have another shape.

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax import losses
      >>> losses.negative_log_likelihood(jnp.zeros((1, 2)), jnp.array([1]))  # log 2
      Array([0.6931472], dtype=float32)
      >>> losses.negative_log_likelihood(losses.standard_normal(1), jnp.zeros((1, 1)))  # log(2 pi) / 2
      Array([0.9189385], dtype=float32)
    """
    if isinstance(prediction, tuple):  # a Gaussian of either kind
        wanted, found = prediction.mean.shape, jnp.shape(targets)
        common = min(len(wanted), len(found))
        if common < 1 or wanted[-common:] != found[-common:]:
            raise ValueError(f"targets must be float {list(wanted)} (or without axes at the front), got {list(found)}")
        return -log_prob(prediction, targets)
    return cross_entropy(prediction, targets)


def prediction_entropy(prediction: Prediction) -> Array:
    """Entropy of the decoder's prediction, in nats; for a Gaussian the differential one.

    Args:
      prediction: logits [..., C], or a Gaussian of either kind over [..., Y].

    Returns:
      float [...], in nats.

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax import losses
      >>> losses.prediction_entropy(jnp.zeros((1, 2)))
      Array([0.6931472], dtype=float32)
    """
    return gaussian_entropy(prediction) if isinstance(prediction, tuple) else entropy(prediction)
