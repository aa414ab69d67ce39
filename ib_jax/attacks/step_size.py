"""Rules for the length of an attack's steps."""

from collections.abc import Callable

import jax.numpy as jnp

from ib_jax.attacks.refuse import require
from ib_jax.types import Array

StepRule = Callable[[Array, int], Array]
"""(radii [B], number of steps) -> lengths [B]."""

StepSize = float | Array | StepRule
"""A length in units of the inputs (a scalar, or one for each example), or a rule."""


def path_length(total: float) -> StepRule:
    r"""Steps that together are `total` radii long: :math:`\alpha = c \epsilon / n`.

    Args:
      total: c > 0: 2.5 (Madry et al.), 4/3 (the CEB paper), 1 (BIM).

    Returns:
      StepRule.

    Raises:
      ValueError: `total` is not positive and finite.

    Source: Madry et al., 2018; Fischer and Alemi, CEB Improves Model Robustness, 2020.

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax import attacks
      >>> print(attacks.path_length(4 / 3)(jnp.array([0.3]), 20))
      [0.02]
    """
    require("total", total, 0, inside=True)
    return lambda epsilon, num_steps: total * epsilon / num_steps


def share_of_radius(share: float) -> StepRule:
    r"""Steps of a fixed share of the radius, whatever their number: :math:`\alpha = c \epsilon`.

    Args:
      share: c > 0: 0.01 / 0.3 is foolbox' default for L-inf PGD.

    Returns:
      StepRule.

    Raises:
      ValueError: `share` is not positive and finite.

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax import attacks
      >>> print(attacks.share_of_radius(0.1)(jnp.array([0.3]), 20))
      [0.03]
    """
    require("share", share, 0, inside=True)
    return lambda epsilon, num_steps: share * epsilon


def step_lengths(step_size: StepSize, epsilon: Array, num_steps: int) -> Array:
    """The length of each example's steps, [B], from a rule or a given length."""
    lengths = step_size(epsilon, num_steps) if callable(step_size) else jnp.asarray(step_size)
    return jnp.broadcast_to(lengths, epsilon.shape).astype(epsilon.dtype)


def annealed(first: float, last: float, step: Array, num_steps: int) -> Array:
    """From the first to the last along half a cosine, [B], at steps int [B] of so many."""
    return last + (first - last) * (1 + jnp.cos(jnp.pi * step.astype(jnp.float32) / num_steps)) / 2
