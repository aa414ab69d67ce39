"""What an attack climbs, and how it is judged, for models that answer at random."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from ib_jax import losses
from ib_jax.types import Array, LogitsFn

AttackLoss = Callable[[Array, Array], Array]
"""(logits [..., C], labels [...]) -> [...]; an untargeted attack climbs it at the true label, a targeted one descends
it at the target. `losses.cross_entropy`, or `lambda l, y: -losses.margin(l, y)`."""


def ascent_gradient(
    logits_fn: LogitsFn, loss_fn: AttackLoss, labels: Array, targets: Array | None, num_eot_samples: int
) -> Callable[[Array, Array], Array]:
    """The gradient an attack follows, (keys [B], inputs [B, ...]) -> [B, ...].

    It is the mean over `num_eot_samples` samples of the model of the gradients of the loss (expectation over
    transformation). The losses of the batch are added, not averaged, so an example's gradient is its own.
    """
    sign, goal = (1.0, labels) if targets is None else (-1.0, targets)

    def total_loss(inputs: Array, keys: Array) -> Array:
        logits = jax.vmap(logits_fn, (0, None))(losses.sample_keys(keys, num_eot_samples), inputs)
        return sign * loss_fn(logits, goal).mean(0).sum()

    gradient = jax.grad(total_loss)
    return lambda keys, inputs: gradient(inputs, keys)


def judge(
    keys: Array, logits_fn: LogitsFn, inputs: Array, labels: Array, targets: Array | None, num_samples: int
) -> Array:
    """Whether the attack succeeded, bool [B]: the mean softmax over fresh samples names a wrong class, or the goal."""
    predicted = losses.sampled_probabilities(keys, logits_fn, inputs, num_samples).argmax(-1)
    return predicted != labels if targets is None else predicted == targets


def check_arguments(
    inputs: Array, labels: Array, targets: Array | None, bounds: tuple[Array, Array], epsilon: Array
) -> None:
    """Refuses what no attack can handle; values are looked at only outside of `jit`, where they are known.

    Raises:
      ValueError: naming the argument, its value and what would be right.
    """
    batch_size = inputs.shape[0]
    for name, classes in (("labels", labels), ("targets", targets)):
        if classes is not None and (classes.shape != (batch_size,) or not jnp.issubdtype(classes.dtype, jnp.integer)):
            raise ValueError(f"{name} must be int [{batch_size}], got {classes.dtype} {list(classes.shape)}")
    if not jnp.issubdtype(inputs.dtype, jnp.floating):
        raise ValueError(f"inputs must be floating, got {inputs.dtype}; data.to_unit_interval converts images")
    if epsilon.shape not in ((), (batch_size,)):
        raise ValueError(
            f"epsilon must be a scalar or one radius for each of {batch_size} examples, got {epsilon.shape}"
        )
    # In NumPy: inside `jit` even a comparison of two known JAX arrays gives a traced one.
    radii, lower, upper, values = (
        None if isinstance(x, jax.core.Tracer) else np.asarray(x) for x in (epsilon, *bounds, inputs)
    )
    if radii is not None and not (radii >= 0).all():
        raise ValueError(f"epsilon must be at least 0, got {radii}")
    if lower is None or upper is None:
        return
    if not (lower < upper).all():
        raise ValueError(f"bounds must be (lower, upper) with lower < upper, got {(lower, upper)}")
    if values is not None and not ((values >= lower) & (values <= upper)).all():
        raise ValueError(
            f"inputs must lie in bounds, got values from {values.min()} to {values.max()} (NaN included); give the "
            "bounds of your data, or scale the inputs"
        )
