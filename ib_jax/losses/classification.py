"""Kernels over logits: cross-entropy, entropy and margin. Per example, in nats, at least float32 inside."""

import chex
import jax
import jax.numpy as jnp

from ib_jax.types import Array


def _split_label(logits: Array, labels: Array) -> tuple[Array, Array]:
    """The label's logit [...], and the logits with the label's place at -inf [..., C]; NaN for a label out of range."""
    chex.assert_type([logits, labels], [float, int])
    if logits.ndim < 1 or logits.shape[-1] < 2:
        raise ValueError(f"logits must have shape [..., C] with C >= 2 classes, got shape {logits.shape}")
    logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    num_classes = logits.shape[-1]
    labels = jnp.broadcast_to(labels, logits.shape[:-1])
    is_label = labels[..., None] == jnp.arange(num_classes)
    own = jnp.where(is_label, logits, 0.0).sum(-1)
    # A label out of range must not pass for a class: indexing would wrap -1 round to the last one.
    own = jnp.where((labels >= 0) & (labels < num_classes), own, jnp.nan)
    return own, jnp.where(is_label, -jnp.inf, logits)


def cross_entropy(logits: Array, labels: Array) -> Array:
    r"""Cross-entropy of integer labels under a softmax, in nats.

    .. math:: -\log q(y) = \mathrm{softplus}\Big(\log \sum_{j \ne y} e^{l_j} - l_y\Big)

    This form keeps the value and the gradient of a confident prediction, which `logsumexp(l) - l_y` rounds to zero
    in float32 from a gap of 17 nats on: attacks need that gradient.

    Args:
      logits: float [..., C], C >= 2.
      labels: int, broadcast against the leading axes of `logits`; a label outside [0, C) gives NaN.

    Returns:
      float [...], >= 0, in nats; float32 for inputs of lower precision.

    Raises:
      ValueError: `logits` has fewer than two classes.
      AssertionError: `logits` is not floating or `labels` not integer.

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax import losses
      >>> losses.cross_entropy(jnp.array([[0.0, 0.0], [30.0, 0.0]]), jnp.array([1, 0]))
      Array([6.931e-01, 9.358e-14], dtype=float32)
    """
    own, others = _split_label(logits, labels)
    return jax.nn.softplus(jax.nn.logsumexp(others, axis=-1) - own)


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
    log_q = jax.nn.log_softmax(logits.astype(jnp.promote_types(logits.dtype, jnp.float32)))
    q = jnp.exp(log_q)
    # 0 log 0 = 0: a class at minus infinity adds nothing.
    return -jnp.where(q > 0, q * jnp.where(q > 0, log_q, 0.0), 0.0).sum(-1)


def margin(logits: Array, labels: Array) -> Array:
    r"""Margin of the label over the best other class: :math:`l_y - \max_{j \ne y} l_j`.

    Negative exactly when another class wins. The true class is left out of the maximum with -inf, so negative logits
    are handled too (masking with zero is a known mistake of other libraries).

    Args:
      logits: float [..., C], C >= 2.
      labels: int, broadcast against the leading axes of `logits`; a label outside [0, C) gives NaN.

    Returns:
      float [...], in units of the logits (nats of log-odds); float32 for inputs of lower precision.

    Raises:
      ValueError: `logits` has fewer than two classes.
      AssertionError: `logits` is not floating or `labels` not integer.

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax import losses
      >>> losses.margin(jnp.array([[-1.0, -4.0, -2.0]]), jnp.array([0]))
      Array([1.], dtype=float32)
    """
    own, others = _split_label(logits, labels)
    return own - others.max(-1)
