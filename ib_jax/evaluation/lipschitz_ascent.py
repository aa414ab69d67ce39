"""A lower bound on the Lipschitz constant of a network, by ascent on difference quotients."""

import math
from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp

from ib_jax.losses import perturbation_norm
from ib_jax.types import Array

_TINY = 1e-30


def lipschitz_ascent(
    key: Array,
    fn: Callable[[Array], Any],
    inputs: Array,
    *,
    num_steps: int = 100,
    radii: tuple[float, float] = (1.0, 0.01),
    step_size: float = 0.1,
) -> Array:
    r"""The steepest difference quotient found from each input, a lower bound on the Lipschitz constant in L2.

    .. math:: L \ge \frac{\|f(x + r d) - f(x)\|_2}{r}, \qquad \|d\|_2 = 1

    At each step d becomes the gradient of the quotient with respect to it, which is a step of power iteration with the
    Jacobian, and x moves by `step_size` in units of r along its normalised gradient; r falls geometrically. It climbs
    quotients, not the norm of the Jacobian, for two reasons: in a network of ReLUs the Jacobian is constant almost
    everywhere, so that its norm has no gradient to climb; and at a kink automatic differentiation may return a Jacobian
    that the function has nowhere, while a quotient is always a lower bound. Rounding adds a relative error of about
    :math:`10^{-7} \max|f| / (L r)`: do not make r too small. The pairs may leave the range of images.

    The loop runs on the host, one compiled step after another, because XLA's CPU backend convolves slowly inside loops.

    Args:
      key: PRNG key of the first directions.
      fn: float [B, ...] -> a pytree of arrays [B, ...], deterministic, each example by itself, with a gradient. The
        norm is over all arrays together.
      inputs: float [B, ...], the starting points.
      num_steps: steps >= 1.
      radii: r at the first and at the last step, > 0, in units of the inputs.
      step_size: length of a move of x, >= 0, in units of r.

    Returns:
      float32 [B]; their maximum is the best lower bound.

    Raises:
      ValueError: `num_steps` is less than 1, a radius is not positive, or `step_size` is negative.

    Source: Wood and Zhang, Estimation of the Lipschitz Constant of a Function, 1996, for quotients as estimates.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import evaluation
      >>> fn = lambda x: x @ jnp.diag(jnp.array([3.0, 1.0]))
      >>> evaluation.lipschitz_ascent(jax.random.key(0), fn, jnp.zeros((1, 2)), num_steps=20).round(3)
      Array([3.], dtype=float32)
    """
    if num_steps < 1:
        raise ValueError(f"num_steps must be at least 1, got {num_steps}")
    if not min(radii) > 0.0:
        raise ValueError(f"radii must be positive, got {radii}")
    if not step_size >= 0.0:
        raise ValueError(f"step_size must be at least 0, got {step_size}")
    inputs = jnp.asarray(inputs)
    chex.assert_type(inputs, float)

    def climbed(start: Array, direction: Array, radius: Array) -> tuple[Array, Array]:
        end = start + radius * direction
        difference = jax.tree.map(lambda a, b: (a - b).reshape(a.shape[0], math.prod(a.shape[1:])), fn(end), fn(start))
        rise = perturbation_norm(jnp.concatenate(jax.tree.leaves(difference), -1), "l2")
        # The step that was taken, after rounding, not the one that was meant.
        quotient = rise / jnp.maximum(perturbation_norm(end - start, "l2"), _TINY)
        return rise.sum(), quotient

    @jax.jit
    def step(start: Array, direction: Array, best: Array, radius: Array) -> tuple[Array, Array, Array]:
        (uphill, towards), quotient = jax.grad(climbed, (0, 1), has_aux=True)(start, direction, radius)
        start = start + step_size * radius * _unit(uphill, jnp.zeros_like(uphill))
        return start, _unit(towards, direction), jnp.maximum(best, quotient)

    start = inputs.astype(jnp.float32)
    direction = _unit(jax.random.normal(key, start.shape, jnp.float32), start)
    best = jnp.zeros(start.shape[0], jnp.float32)
    for radius in jnp.geomspace(*radii, num_steps, dtype=jnp.float32):
        start, direction, best = step(start, direction, best, radius)
    return best


def _unit(vectors: Array, otherwise: Array) -> Array:
    """Each example's vector at length one, or another where it is zero or not finite."""
    size = perturbation_norm(vectors, "l2").reshape(-1, *[1] * (vectors.ndim - 1))
    good = (size > 0) & jnp.isfinite(size)
    return jnp.where(good, vectors / jnp.where(good, size, 1.0), otherwise)
