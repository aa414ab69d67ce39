"""A check for models whose answer for one example depends on the others in the batch."""

import jax.numpy as jnp
import numpy as np

from ib_jax import losses
from ib_jax.evaluation.findings import Finding, draw_logits, logits_differ, require_inputs, require_share
from ib_jax.types import Array, LogitsFn


def check_batch(key: Array, logits_fn: LogitsFn, inputs: Array, *, tolerance: float = 1e-4) -> Finding | None:
    """Looks for a model whose answer depends on an example's place in the batch, or on the others in it.

    Each half of the batch is also shown by itself, in reverse order and repeated to the same size, every example with
    its own key. Batch norm in training mode, and noise drawn from one key for all, then give other logits. They count
    as different from a relative difference of `tolerance` on (of the logit itself plus the median size of all), and
    below float32 of eight units of precision: sums in another order differ by some 1e-6, and deep networks amplify it.

    Args:
      key: one PRNG key, or one for each example ([B]).
      logits_fn: (keys [B], inputs) -> logits [B, C].
      inputs: float [B, ...], a few; of a single one nothing can be said.
      tolerance: relative difference that is put down to rounding, in [0, 1). Raise it to some 0.05 for a model that
        computes in bfloat16 and gives float32.

    Returns:
      A Finding if the logits of any example differ; None if they do not, or B is 1.

    Raises:
      ValueError: there are no inputs, the logits are not floating [B, C], or `tolerance` is out of its range.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import evaluation
      >>> normalised = lambda keys, x: jax.nn.standardize(x, axis=0)  # batch norm as in training
      >>> evaluation.check_batch(jax.random.key(0), normalised, jnp.array([[1.0, 2.0], [2.0, 5.0], [0.0, 9.0]])).check
      'batch'
    """
    require_share("tolerance", tolerance)
    keys, inputs = require_inputs(key, inputs)
    size = len(inputs)
    if size == 1:
        return None
    (whole,) = draw_logits(keys, logits_fn, inputs, 1)
    tolerance = max(tolerance, 8.0 * float(jnp.finfo(whole.dtype).eps))
    half = -(-size // 2)
    differ, flip = np.zeros(size, bool), np.zeros(size, bool)
    for start in (0, size - half):
        # Each example is now in another place, or in another place too, beside others.
        order = np.resize(np.arange(start, start + half)[::-1], size)
        (other,) = draw_logits(keys[order], logits_fn, inputs[order], 1)
        mine, theirs = (np.asarray(losses.predicted_class(jnp.asarray(each))) for each in (whole[order], other))
        np.logical_or.at(differ, order, logits_differ(whole[order], other, tolerance))
        np.logical_or.at(flip, order, mine != theirs)
    if not differ.any():
        return None
    flip &= differ
    return Finding(
        "batch",
        f"The logits of {int(differ.sum())} of {size} examples (the predicted class of {int(flip.sum())}) change with"
        " the other examples in the batch, or with the place in it, so an attack's success depends on its batches. Put"
        " batch norm into evaluation mode, with its running statistics, and draw noise from each example's own key.",
        {"share_differ": float(differ.mean()), "share_flip": float(flip.mean())},
    )
