"""Which shapes labels may have. Asked before they meet logits: broadcasting would pair them with other examples."""

from typing import Any

import jax
import jax.numpy as jnp

from ib_jax.types import Array


def is_soft(labels: Array) -> bool:
    """Whether labels are distributions over classes (floating or bool, [..., C]) and not class numbers (integer).

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax import losses
      >>> losses.is_soft(jnp.array([[0.5, 0.5]])), losses.is_soft(jnp.array([1]))
      (True, False)
    """
    return not jnp.issubdtype(jnp.asarray(labels).dtype, jnp.integer)


def check_labels(
    labels: Any,
    leading: tuple[int, ...],
    num_classes: int | None = None,
    *,
    name: str = "labels",
    may_lack_axes: bool = False,
) -> Array:
    """Refuses labels whose shape cannot be right; it looks at shapes and types alone, so it works inside `jit`.

    Args:
      labels: class numbers, or one-hot or soft ones; a list will do.
      leading: the shape of class numbers, such as (B,).
      num_classes: C, which allows one-hot and soft labels too, float (or bool) ``[*leading, C]``; None refuses them.
      name: of the argument, for the message.
      may_lack_axes: whether labels may leave out axes at the front, over which they are then the same: those of one
        batch for all samples of a model.

    Returns:
      The labels as an array.

    Raises:
      ValueError: they have another shape; it names the argument, what it is and what would be right.

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax import losses
      >>> losses.check_labels([0, 1], (12, 2), 10, may_lack_axes=True).shape
      (2,)
      >>> losses.check_labels(jnp.zeros((2, 1), int), (2,), 10)
      Traceback (most recent call last):
      ValueError: labels must be int [2] or, one-hot or soft, float [2, 10], got int32 [2, 1]
    """
    labels = jnp.asarray(labels)
    soft = is_soft(labels)
    if not soft or num_classes is not None:
        wanted = (*leading, num_classes) if soft else tuple(leading)
        if labels.shape == wanted:
            return labels
        missing = len(wanted) - labels.ndim
        if may_lack_axes and labels.ndim >= soft and missing > 0 and labels.shape == wanted[missing:]:
            return labels
    right = f"int {list(leading)}"
    if num_classes is not None:
        right += f" or, one-hot or soft, float {[*leading, num_classes]}"
    if may_lack_axes and len(leading) > 0:
        right += " (or without axes at the front)"
    raise ValueError(f"{name} must be {right}, got {labels.dtype} {list(labels.shape)}")


def class_mask(labels: Array, num_classes: int) -> Array:
    """Which class each label names; none for a label outside [0, C).

    Args:
      labels: int [...].
      num_classes: C.

    Returns:
      bool [..., C].

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax import losses
      >>> losses.class_mask(jnp.array([1, -1]), 2)
      Array([[False,  True],
             [False, False]], dtype=bool)
    """
    labels = jnp.asarray(labels)
    dtype = (
        labels.dtype if labels.dtype.itemsize >= 4 else jnp.dtype(jnp.int32)
    )  # uint8 would count no further than 255
    classes = jax.lax.broadcasted_iota(dtype, (1,) * labels.ndim + (num_classes,), labels.ndim)
    return labels.astype(dtype)[..., None] == classes
