"""Differences of logits in units of their own spread, which attacks climb where a softmax is saturated."""

import chex
import jax
import jax.numpy as jnp

from ib_jax.losses.classification import margin
from ib_jax.losses.labels import check_labels
from ib_jax.losses.precision import wide_dtype
from ib_jax.types import Array


def dlr(logits: Array, labels: Array) -> Array:
    r"""Difference of logits ratio: minus the margin of the label, in units of the gap from first to third.

    .. math:: \mathrm{DLR} = -\frac{l_y - \max_{j \ne y} l_j}{l_{\pi_1} - l_{\pi_3}}

    with :math:`\pi` the classes in falling order. Neither a shift nor a scale of the logits changes it, so that a
    confident model cannot hide its gradient. Positive exactly when another class wins. If the denominator is zero or
    infinite (equal logits, or fewer than three classes above -inf), the result is the difference itself.

    Args:
      logits: float [..., C], C >= 3.
      labels: int [...], as of `cross_entropy`; a label outside [0, C) gives NaN.

    Returns:
      float [...], without a unit; float32 for inputs of lower precision.

    Raises:
      ValueError: `logits` has fewer than three classes, or `labels` another shape.

    Source: Croce and Hein, Reliable Evaluation of Adversarial Robustness with an Ensemble of Diverse Parameter-free
    Attacks, 2020.

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax import losses
      >>> losses.dlr(jnp.array([[4.0, 1.0, 0.0]]), jnp.array([0]))
      Array([-0.75], dtype=float32)
    """
    first, _, third = jnp.moveaxis(_top(logits, 3, "dlr"), -1, 0)
    return _ratio(-margin(logits, labels), first - third)


def targeted_dlr(logits: Array, labels: Array, targets: Array) -> Array:
    r"""Targeted difference of logits ratio: how far the target is ahead of the label; without a unit as `dlr`.

    .. math:: -\frac{l_y - l_t}{l_{\pi_1} - \tfrac12 (l_{\pi_3} + l_{\pi_4})}

    Args:
      logits: float [..., C], C >= 4.
      labels: int [...], as of `cross_entropy`.
      targets: int, as `labels`.

    Returns:
      float [...], without a unit; float32 for inputs of lower precision.

    Raises:
      ValueError: `logits` has fewer than four classes, or `labels` or `targets` another shape.

    Source: Croce and Hein, 2020, as `dlr`.

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax import losses
      >>> losses.targeted_dlr(jnp.array([[4.0, 2.0, 1.0, -1.0]]), jnp.array([0]), jnp.array([2]))
      Array([-0.75], dtype=float32)
    """
    first, _, third, fourth = jnp.moveaxis(_top(logits, 4, "targeted_dlr"), -1, 0)
    logits = logits.astype(first.dtype)
    ahead = _pick(logits, targets, "targets") - _pick(logits, labels, "labels")
    return _ratio(ahead, first - 0.5 * (third + fourth))


def _ratio(ahead: Array, unit: Array) -> Array:
    return ahead / jnp.where((unit > 0) & jnp.isfinite(unit), unit, 1.0)


def _top(logits: Array, count: int, name: str) -> Array:
    chex.assert_type(logits, float)
    if logits.ndim < 1 or logits.shape[-1] < count:
        raise ValueError(f"{name} needs logits [..., C] of at least {count} classes, got shape {logits.shape}")
    return jax.lax.top_k(logits.astype(wide_dtype(logits)), count)[0]


def _pick(logits: Array, classes: Array, name: str) -> Array:
    classes = check_labels(classes, logits.shape[:-1], name=name, may_lack_axes=True)
    classes = jnp.broadcast_to(classes, logits.shape[:-1])
    picked = jnp.take_along_axis(logits, classes[..., None], axis=-1, mode="clip")[..., 0]
    # A class out of range must not pass for another.
    return jnp.where((classes >= 0) & (classes < logits.shape[-1]), picked, jnp.nan)
