"""The prediction of a stochastic classifier, as probabilities."""

import jax
import jax.numpy as jnp

from ib_jax.losses.precision import wide_dtype
from ib_jax.losses.sampling import sampled_logits
from ib_jax.types import Array, LogitsFn


def mean_probabilities(logits: Array) -> Array:
    r"""Mean over samples of the softmax: the prediction of a stochastic classifier.

    .. math:: q_c = \frac1S \sum_s \mathrm{softmax}(l_s)_c

    NaN logits give NaN, also where the compiler knows them, as of a diverged model whose parameters a jitted function
    closes over: for such a constant XLA's exp may return any number on the CPU (seen with JAX 0.10.1).

    Args:
      logits: float [S, ..., C].

    Returns:
      float [..., C], probabilities; float32 for logits of lower precision.

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax import losses
      >>> losses.mean_probabilities(jnp.array([[[9.0, -9.0]], [[-9.0, 9.0]]]))
      Array([[0.5, 0.5]], dtype=float32)
    """
    probabilities = jax.nn.softmax(logits.astype(wide_dtype(logits)))
    return jnp.where(jnp.isnan(logits).any(-1, keepdims=True), jnp.nan, probabilities).mean(0)


def sampled_probabilities(keys: Array, logits_fn: LogitsFn, inputs: Array, num_samples: int) -> Array:
    """The prediction of a stochastic classifier: the mean of the softmax over samples of it.

    Args:
      keys: one key for each example, [B].
      logits_fn: (keys [B], inputs [B, ...]) -> logits [B, C].
      inputs: float [B, ...].
      num_samples: S >= 1.

    Returns:
      float [B, C], probabilities; float32 for logits of lower precision.

    Raises:
      ValueError: `num_samples` is less than 1.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import losses
      >>> keys = losses.per_example_keys(jax.random.key(0), 1)
      >>> losses.sampled_probabilities(keys, lambda keys, x: jnp.zeros((1, 2)), jnp.zeros((1, 3)), 12)
      Array([[0.5, 0.5]], dtype=float32)
    """
    logits = sampled_logits(keys, logits_fn, inputs, num_samples)
    return mean_probabilities(logits)
