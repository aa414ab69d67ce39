"""Natural shifts of the data: images of some of the classes that a model knows."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from ib_jax.types import Array


def restrict_to_classes(logits: Array, classes: np.ndarray | Sequence[int]) -> Array:
    """Restricts a model to some classes: logits of the others become -inf.

    The classes keep their numbers, and so do the labels. An argmax is then among `classes`, and a softmax renormalises
    over them: p(y | x, y in classes). Pure and jittable.

    Args:
      logits: float [..., C].
      classes: int [K], distinct and in 0..C-1; known when traced.

    Returns:
      float [..., C].

    Raises:
      ValueError: `classes` is empty, repeats a class or has one outside 0..C-1.

    Source: Hendrycks et al. 2021, arXiv:1907.07174: ImageNet-A is judged among its 200 classes
    (`data.imagenet_a_classes`), not among ImageNet's 1,000.

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax import evaluation
      >>> evaluation.restrict_to_classes(jnp.array([[5.0, 1.0, 2.0, 9.0]]), [1, 2]).argmax(-1)
      Array([2], dtype=int32)
    """
    num_classes = logits.shape[-1]
    chosen = np.asarray(classes)
    if chosen.ndim != 1 or not chosen.size or not np.issubdtype(chosen.dtype, np.integer):
        raise ValueError(f"classes must be integers [K] with K >= 1, got {chosen.dtype} {chosen.shape}")
    if chosen.min() < 0 or chosen.max() >= num_classes:
        raise ValueError(f"classes must be in 0..{num_classes - 1}, got {chosen.min()}..{chosen.max()}")
    if len(np.unique(chosen)) != len(chosen):
        raise ValueError(f"classes must be distinct, got {len(chosen)} of which {len(np.unique(chosen))} are")
    allowed = np.zeros(num_classes, bool)
    allowed[chosen] = True
    return jnp.where(allowed, logits, -jnp.inf)
