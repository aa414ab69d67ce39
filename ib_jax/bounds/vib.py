"""The variational information bottleneck."""

import chex

from ib_jax import losses
from ib_jax.types import Array, BoundTerms, DecodeFn, DiagGaussian, EncodeFn


def vib(
    key: Array,
    inputs: Array,
    labels: Array,
    *,
    encode_fn: EncodeFn,
    decode_fn: DecodeFn,
    prior: DiagGaussian,
    beta: float | Array,
    num_samples: int = 1,
) -> BoundTerms:
    r"""Variational information bottleneck (VIB), the beta form.

    .. math:: J = E_{z \sim p(z|x)}[-\log q(y|z)] + \beta\, D(p(z|x) \| r(z))

    The first term, the distortion, is an upper bound on H(Y|Z), and the second, the rate, one on I(X;Z) in the mean
    over the data, so J bounds H(Y) - I(Z;Y) + beta I(X;Z) from above. The rate is in closed form, the distortion is a
    mean over reparameterised samples.

    Args:
      key: one PRNG key, or one for each example ([B]).
      inputs: float [B, ...].
      labels: int [B].
      encode_fn: inputs [B, ...] -> DiagGaussian with fields [B, D].
      decode_fn: codes [..., D] -> logits [..., C].
      prior: r(z), DiagGaussian with fields [D] (or [B, D]); `losses.standard_normal(D)` in the paper.
      beta: weight of the rate, >= 0; a number or an array that broadcasts against [B].
      num_samples: samples of z for each example, >= 1.

    Returns:
      BoundTerms(loss, distortion, rate), each float [B], in nats.

    Raises:
      ValueError: `num_samples` is less than 1.
      AssertionError: the batch axes of inputs, labels and codes differ.

    Source: Alemi, Fischer, Dillon, Murphy, Deep Variational Information Bottleneck, 2017, eq. 17.

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
    chex.assert_equal_shape_prefix([inputs, labels], 1)
    encoding = encode_fn(inputs)
    chex.assert_equal_shape_prefix([inputs, *encoding], 1)
    codes = losses.sample(key, encoding, num_samples)
    distortion = losses.cross_entropy(decode_fn(codes), labels).mean(0)
    rate = losses.kl_divergence(encoding, prior)
    return BoundTerms(distortion + beta * rate, distortion, rate)
