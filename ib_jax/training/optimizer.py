"""The paper's optimizer."""

import jax
import optax

from ib_jax.types import Array


def paper_adam(
    learning_rate: float | Array,
    *,
    steps_per_decay: int,
    decay_rate: float = 0.97,
    b1: float = 0.5,
    b2: float = 0.999,
    weight_decay: float | Array = 0.0,
) -> optax.GradientTransformation:
    r"""Adam with a staircase decay: the rate at step t is `learning_rate * decay_rate ** (t // steps_per_decay)`.

    Args:
      learning_rate: initial rate; 1e-4 in the paper.
      steps_per_decay: steps between two decays; two epochs in the paper.
      decay_rate: factor of each decay, in (0, 1].
      b1: decay of the first moment; 0.5 in the paper.
      b2: decay of the second moment.
      weight_decay: decoupled weight decay, each step times the learning rate; the paper has none.

    Returns:
      optax.GradientTransformation. In a sweep the learning rate and the weight decay may be traced, a member's own.

    Raises:
      ValueError: an argument is out of its range.

    Source: Alemi et al., 2017, appendix, and the authors' notebook MNISTVIB.

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax import training
      >>> state = training.paper_adam(1e-4, steps_per_decay=1200).init({"w": jnp.zeros(3)})
      >>> sorted(state.hyperparams)
      ['b1', 'b2', 'eps', 'eps_root', 'learning_rate', 'weight_decay']
    """
    if not _traced(learning_rate) and not learning_rate > 0:
        raise ValueError(f"learning_rate must be positive, got {learning_rate}")
    if steps_per_decay < 1:
        raise ValueError(f"steps_per_decay must be at least 1, got {steps_per_decay}")
    if not 0 < decay_rate <= 1:
        raise ValueError(f"decay_rate must be in (0, 1], got {decay_rate}")
    if not _traced(weight_decay) and not weight_decay >= 0:
        raise ValueError(f"weight_decay must be at least 0, got {weight_decay}")
    schedule = optax.exponential_decay(learning_rate, steps_per_decay, decay_rate, staircase=True)
    # With b1 in the state XLA cannot fold it in: folded (0.5 g + 0.5 m is "cheap"), the CPU compiler computes the first
    # moment twice and copies the old one in every step, which costs a tenth of the step's speed.
    return optax.inject_hyperparams(optax.adamw)(schedule, b1=b1, b2=b2, weight_decay=weight_decay)


def _traced(value: float | Array) -> bool:
    return isinstance(value, jax.core.Tracer)
