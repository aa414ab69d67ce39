"""The Polyak average of the parameters: exact to float32's rounding, however slowly it moves."""

import math

import jax
import jax.numpy as jnp
import optax

from ib_jax.types import Array, Params


def move_average(average: optax.EmaState, params: Params, decay: float) -> optax.EmaState:
    r"""One step of the average, :math:`m_t = d\, m_{t-1} + (1 - d)\, \theta_t`.

    By way of the debiased average, :math:`m_t = (1 - d^t)\, a_{t-1} + (1 - d) (\theta_t - a_{t-1})`, :math:`a_t = m_t /
    (1 - d^t)`: of constant parameters it is the constant in every step, where the recursion itself, in float32, adds up
    what is lost in rounding (d itself is 1 in float32 from 1 - 3e-8 on).

    Args:
      average: its state, as of `optax.ema`.
      params: the new parameters.
      decay: d in [0, 1).

    Returns:
      The next state.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> from ib_jax.training.average import debiased_average, move_average
      >>> state = optax.ema(0.999).init(jnp.zeros(()))
      >>> print(debiased_average(move_average(state, jnp.float32(3.0), 0.999), 0.999))
      3.0
    """
    count, started = optax.safe_increment(average.count), average.count > 0

    def move(total: Array, leaf: Array) -> Array:
        dtype = _wide(leaf)
        new, old = _weight(count, decay, dtype), jnp.where(started, _weight(average.count, decay, dtype), 1.0)
        own = leaf.astype(dtype)
        before = jnp.where(started, total.astype(dtype) / old, own)
        return (new * before + jnp.asarray(1.0 - decay, dtype) * (own - before)).astype(total.dtype)

    return optax.EmaState(count, jax.tree.map(move, average.ema, params))


def debiased_average(average: optax.EmaState, decay: float) -> Params:
    r"""The average itself, :math:`\sum_t (1-d) d^{T-t} \theta_t / (1 - d^T)`, after T >= 1 steps; before, zeros.

    Args:
      average: its state.
      decay: d in [0, 1), as in every step.

    Returns:
      A pytree like the parameters.
    """
    count = jnp.maximum(average.count, 1)

    def debias(total: Array) -> Array:
        return (total.astype(_wide(total)) / _weight(count, decay, _wide(total))).astype(total.dtype)

    return jax.tree.map(debias, average.ema)


def _weight(count: Array, decay: float, dtype: jnp.dtype) -> Array:
    """1 - d^t, which is all but 0 for a slow average: not as a difference."""
    rate = math.log1p(-(1.0 - decay)) if decay else -math.inf
    return -jnp.expm1(count.astype(dtype) * jnp.asarray(rate, dtype))


def _wide(leaf: Array) -> jnp.dtype:
    return jnp.dtype(jnp.float64 if leaf.dtype == jnp.float64 else jnp.float32)
