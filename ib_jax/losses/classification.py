"""Kernels over logits: cross-entropy, entropy and margin. Per example, in nats, at least float32 inside."""

import chex
import jax
import jax.numpy as jnp

from ib_jax.losses.labels import check_labels, class_mask, is_soft
from ib_jax.losses.precision import one_program, wide_dtype
from ib_jax.losses.verdict import predicted_class
from ib_jax.types import Array


def _split_label(logits: Array, labels: Array) -> tuple[Array, Array]:
    """The label's logit [...], and the logits with the label's place at -inf [..., C]; NaN for a label out of range."""
    labels = jnp.asarray(labels)
    chex.assert_type([logits, labels], [float, int])
    if logits.ndim < 1 or logits.shape[-1] < 2:
        raise ValueError(f"logits must have shape [..., C] with C >= 2 classes, got shape {logits.shape}")
    check_labels(labels, logits.shape[:-1], logits.shape[-1], may_lack_axes=True)
    logits = logits.astype(wide_dtype(logits))
    is_label = class_mask(jnp.broadcast_to(labels, logits.shape[:-1]), logits.shape[-1])
    own = jnp.where(is_label, logits, 0.0).sum(-1)
    # A label out of range must not pass for a class: indexing would wrap -1 round to the last one.
    own = jnp.where(is_label.any(-1), own, jnp.nan)
    return own, jnp.where(is_label, -jnp.inf, logits)


@one_program
def _hard_cross_entropy(logits: Array, labels: Array) -> Array:
    own, others = _split_label(logits, labels)
    return jax.nn.softplus(jax.nn.logsumexp(others, axis=-1) - own)


@one_program
def _surprisal(logits: Array) -> Array:
    """-log softmax, [..., C], with the value and gradient of the leading class kept where it is all but sure."""
    logits = logits.astype(wide_dtype(logits))
    leading = jax.nn.one_hot(logits.argmax(-1), logits.shape[-1], dtype=bool)
    own = jnp.where(leading, logits, 0.0).sum(-1, keepdims=True)
    others = jax.nn.logsumexp(jnp.where(leading, -jnp.inf, logits), axis=-1, keepdims=True)
    surprisal = jax.nn.softplus(others - own)
    # Not `surprisal + (own - logits)` for all: the leading class's gradient would be lost in 1 - 1.
    return jnp.where(leading, surprisal, surprisal + (own - logits))


def cross_entropy(logits: Array, labels: Array) -> Array:
    r"""Cross-entropy of labels under a softmax, in nats.

    .. math:: -\log q(y) = \mathrm{softplus}\Big(\log \sum_{j \ne y} e^{l_j} - l_y\Big)

    For labels that are distributions, :math:`-\sum_c p_c \log q(c)`. This form keeps the value and the gradient of a
    confident prediction, which `logsumexp(l) - l_y` rounds to zero in float32 from a gap of 17 nats on: attacks need
    that gradient.

    Args:
      logits: float [..., C], C >= 2.
      labels: int [...], or float (or bool) [..., C], one-hot or soft; either may leave out axes at the front, over
        which it is then the same (labels [B] of samples [S, B, C]), and is broadcast in no other way. An integer label
        outside [0, C) gives NaN; the rows of soft ones are taken as they are, so they should sum to one.

    Returns:
      float [...], >= 0, in nats; float32 for inputs of lower precision.

    Raises:
      ValueError: `logits` has fewer than two classes, or `labels` another shape.
      AssertionError: `logits` is not floating.

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax import losses
      >>> losses.cross_entropy(jnp.array([[0.0, 0.0], [30.0, 0.0]]), jnp.array([1, 0]))
      Array([6.931e-01, 9.358e-14], dtype=float32)
    """
    labels = jnp.asarray(labels)
    if not is_soft(labels):
        return _hard_cross_entropy(logits, labels)
    chex.assert_type(logits, float)
    check_labels(labels, logits.shape[:-1], logits.shape[-1], may_lack_axes=True)
    surprisal = _surprisal(logits)
    labels = jnp.broadcast_to(labels, surprisal.shape).astype(surprisal.dtype)
    # 0 log 0 = 0: a class at minus infinity adds nothing where its label is 0.
    return (labels * jnp.where(labels == 0, 0.0, surprisal)).sum(-1)


def correct(logits: Array, labels: Array) -> Array:
    """Whether the label is the most probable class.

    Args:
      logits: float [..., C].
      labels: int [...] or, one-hot or soft, [..., C], as of `cross_entropy`; of a soft label the most probable class
        counts.

    Returns:
      float32 [...], 1 or 0; NaN where there is no answer (see `predicted_class`), so that no mean hides it.

    Raises:
      ValueError: `labels` has another shape.

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax import losses
      >>> losses.correct(jnp.array([[2.0, 1.0], [0.0, 1.0], [0.0, jnp.nan]]), jnp.array([0, 0, 0]))
      Array([ 1.,  0., nan], dtype=float32)
    """
    labels = check_labels(labels, logits.shape[:-1], logits.shape[-1], may_lack_axes=True)
    labels = labels.argmax(-1) if is_soft(labels) else labels
    answer = predicted_class(logits)
    right = answer == jnp.broadcast_to(labels, answer.shape).astype(answer.dtype)
    return jnp.where(answer < 0, jnp.nan, right.astype(jnp.float32))


def entropy(logits: Array) -> Array:
    r"""Entropy of a softmax, in nats.

    .. math:: H(q) = -\sum_c q_c \log q_c, \quad q = \mathrm{softmax}(l)

    Args:
      logits: float [..., C].

    Returns:
      float [...], between 0 and log C, in nats; float32 for inputs of lower precision.

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax import losses
      >>> print(f"{losses.entropy(jnp.zeros(4)):.4f}")  # log 4
      1.3863
    """
    chex.assert_type(logits, float)
    log_q = jax.nn.log_softmax(logits.astype(wide_dtype(logits)))
    q = jnp.exp(log_q)
    # 0 log 0 = 0: a class at minus infinity adds nothing.
    return -jnp.where(q > 0, q * jnp.where(q > 0, log_q, 0.0), 0.0).sum(-1)


def margin(logits: Array, labels: Array) -> Array:
    r"""Margin of the label over the best other class: :math:`l_y - \max_{j \ne y} l_j`.

    Negative exactly when another class wins. The true class is left out of the maximum with -inf, so negative logits
    are handled too (masking with zero is a known mistake of other libraries).

    Args:
      logits: float [..., C], C >= 2.
      labels: int [...], as of `cross_entropy`; a label outside [0, C) gives NaN.

    Returns:
      float [...], in units of the logits (nats of log-odds); float32 for inputs of lower precision.

    Raises:
      ValueError: `logits` has fewer than two classes, or `labels` another shape.
      AssertionError: `logits` is not floating or `labels` not integer.

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax import losses
      >>> losses.margin(jnp.array([[-1.0, -4.0, -2.0]]), jnp.array([0]))
      Array([1.], dtype=float32)
    """
    return _margin(logits, jnp.asarray(labels))


@one_program
def _margin(logits: Array, labels: Array) -> Array:
    own, others = _split_label(logits, labels)
    return own - others.max(-1)
