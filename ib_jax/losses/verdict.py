"""Which class a model answers with: at every scale of its logits, and nothing where they are NaN."""

import functools

import jax
import jax.numpy as jnp

from ib_jax.losses.labels import class_mask
from ib_jax.losses.precision import one_program, wide_dtype
from ib_jax.losses.sampling import at_least_one, sampled_logits
from ib_jax.types import Array, LogitsFn


def pooled_logits(logits: Array) -> Array:
    r"""Logits of the mean softmax over samples, up to a constant.

    .. math:: l_c = \log \frac1S \sum_s \frac{e^{l_{sc} - m_s}}{Z_s} - \log \frac1S \sum_s \frac1{Z_s},
              \quad m_s = \max_c l_{sc}, \quad Z_s = \sum_c e^{l_{sc} - m_s}

    A softmax in float32 ties logits that differ by less than 1e-8, or by more than 87 from the largest. This form does
    neither, so that its largest entry is the class of the largest mean probability at every scale of the logits. Equal
    samples give their own logits back, less the largest.

    Args:
      logits: float [S, ..., C]; -inf for a class that cannot be answered.

    Returns:
      float [..., C], in nats; of one sample the logits as they are, else float32 for logits of lower precision.

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax import losses
      >>> losses.pooled_logits(jnp.array([[2e-9, 1e-9], [2e-9, 1e-9]])).argmax(-1)
      Array(0, dtype=int32)
    """
    if logits.shape[0] == 1:
        return logits[0]
    return _pooled(logits)


@one_program
def _pooled(logits: Array) -> Array:
    logits = logits.astype(wide_dtype(logits))
    top = jax.lax.stop_gradient(logits.max(-1, keepdims=True))
    infinite = jnp.isinf(top)  # inf - inf would be NaN
    below = jnp.where(infinite, jnp.where(logits == top, 0.0, -jnp.inf), logits - jnp.where(infinite, 0.0, top))
    # Fused with the product that made a logit, the difference is of the unrounded product: off by half a unit in the
    # last place, which is hundreds at logits of 1e10. Then no class would be at 0, or one above it.
    leader = class_mask(logits.argmax(-1), logits.shape[-1])
    below -= jax.lax.stop_gradient(jnp.where(leader, below, jnp.maximum(below, 0.0)))
    weight = 1.0 / jnp.exp(below).sum(-1, keepdims=True)
    total = weight.sum(0)
    change = (jnp.expm1(below) * weight).sum(0) / total
    near = change > -0.5
    # The same where a class is far behind; one at -inf in every sample stays there, without a gradient.
    never = jnp.isneginf(below).all(0)
    log_probability = jnp.where(never, 0.0, below) + jnp.log(weight)
    far = jnp.where(never, -jnp.inf, jax.nn.logsumexp(log_probability, axis=0) - jnp.log(total))
    pooled = jnp.where(near, jnp.log1p(jnp.where(near, change, 0.0)), far)
    return jnp.where(jnp.isnan(top).any(0), jnp.nan, pooled)  # not left to exp: see `mean_probabilities`


def predicted_class(logits: Array) -> Array:
    """The class with the largest logit; no class where there is no answer.

    Args:
      logits: float [..., C].

    Returns:
      int32 [...], in [0, C); -1 where a logit is NaN or all are -inf: such an example is neither right nor wrong.

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax import losses
      >>> losses.predicted_class(jnp.array([[1e-9, 2e-9], [jnp.nan, 0.0]]))
      Array([ 1, -1], dtype=int32)
    """
    largest = logits.max(-1)  # NaN if any is
    answers = jnp.isfinite(largest) | (largest > 0)
    return jnp.where(answers, logits.argmax(-1).astype(jnp.int32), -1)


@functools.partial(jax.jit, static_argnums=2, inline=True)  # as `one_program`
def likeliest_others(logits: Array, labels: Array, count: int) -> Array:
    """The most probable classes other than the label, in falling order.

    Args:
      logits: float [B, C].
      labels: int [B].
      count: k < C.

    Returns:
      int32 [B, k].

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax import losses
      >>> losses.likeliest_others(jnp.array([[3.0, 1.0, 2.0]]), jnp.array([0]), 2)
      Array([[2, 1]], dtype=int32)
    """
    return jax.lax.top_k(jnp.where(class_mask(labels, logits.shape[-1]), -jnp.inf, logits), count)[1]


def count_classes(logits_fn: LogitsFn, keys: Array, inputs: Array) -> int:
    """How many classes a model answers with, from its types alone.

    Args:
      logits_fn: (keys [B], inputs [B, ...]) -> logits [B, C]; traced, not run.
      keys: one key for each example, [B].
      inputs: float [B, ...]; in place of an empty batch, one made-up example.

    Returns:
      C.

    Raises:
      ValueError: the answer is something else than floating logits [B, C].

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import losses
      >>> losses.count_classes(lambda keys, x: x, jax.random.split(jax.random.key(0), 2), jnp.zeros((2, 5)))
      5
    """
    keys, inputs = at_least_one(keys, inputs)
    batch_size = inputs.shape[0]
    answers = jax.eval_shape(logits_fn, keys, inputs)
    if not isinstance(answers, jax.ShapeDtypeStruct):
        what = f"{type(answers).__name__} of {len(answers)}" if hasattr(answers, "__len__") else type(answers).__name__
        raise ValueError(
            f"logits_fn must return one array, logits [{batch_size}, C], got {what}: pick the logits from it"
        )
    if answers.ndim != 2 or answers.shape[0] != batch_size:
        raise ValueError(f"logits_fn must return logits [{batch_size}, C], got shape {list(answers.shape)}")
    if not jnp.issubdtype(answers.dtype, jnp.floating):
        raise ValueError(f"logits_fn must return floating logits, got {answers.dtype}: convert them with astype(float)")
    return answers.shape[1]


def sampled_class(keys: Array, logits_fn: LogitsFn, inputs: Array, num_samples: int) -> Array:
    """The class that a stochastic classifier answers with: the largest mean probability over samples of it.

    Args:
      keys: one key for each example, [B].
      logits_fn: (keys [B], inputs [B, ...]) -> logits [B, C].
      inputs: float [B, ...].
      num_samples: S >= 1; the samples are those of `sampled_probabilities`.

    Returns:
      int32 [B], as of `predicted_class`: -1 where the logits of a sample are NaN.

    Raises:
      ValueError: `num_samples` is less than 1.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import losses
      >>> keys = losses.per_example_keys(jax.random.key(0), 1)
      >>> losses.sampled_class(keys, lambda keys, x: x, jnp.array([[1e-9, 2e-9]]), 12)
      Array([1], dtype=int32)
    """
    return predicted_class(pooled_logits(sampled_logits(keys, logits_fn, inputs, num_samples)))
