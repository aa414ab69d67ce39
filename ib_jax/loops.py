"""Decides how loops over a network run: compiled whole, or step by step from the host."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

_MOST_WRITTEN_OUT = 64


def compiles_whole(fn: Callable[..., Any], *args: Any) -> bool:
    """Whether a compiled loop over a network is as fast as its steps one by one.

    XLA's CPU backend runs a convolution inside a loop by a path that is 6 to 100 times slower, so there training,
    evaluation and attacks call a convolutional network's steps one after another from the host. GPUs, TPUs and networks
    of matrix products have no such cost: they stay one compiled loop.

    Args:
      fn: the network, or anything that calls it; it is traced, not run.
      args: its arguments, arrays or their `jax.ShapeDtypeStruct`.

    Returns:
      False on the CPU if `fn` convolves, otherwise True.

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax import loops
      >>> loops.compiles_whole(jnp.sin, jnp.ones(3))
      True
    """
    if jax.default_backend() != "cpu":
        return True
    return not _holds(jax.make_jaxpr(fn)(*args).jaxpr, "conv_general_dilated")


def scan(body: Callable[[Any, Any], tuple[Any, Any]], state: Any, xs: Any, length: int) -> tuple[Any, Any]:
    """`jax.lax.scan`, without a loop for a single step: XLA keeps a loop of one step, as slow as a longer one.

    Args:
      body: (state, x) -> (state, y).
      state: at the start.
      xs: pytree of arrays [length, ...], or None.
      length: number of steps.

    Returns:
      (state at the end, ys [length, ...]).

    Example:
      >>> from ib_jax import loops
      >>> loops.scan(lambda state, x: (state + 1, state), 0, None, 1)
      (1, Array([0], dtype=int32, weak_type=True))
    """
    if length != 1:
        return jax.lax.scan(body, state, xs, length=length)
    state, y = body(state, jax.tree.map(lambda leaf: leaf[0], xs))
    return state, jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], y)


def repeat(body: Callable[[Any], Any], state: Any, num_steps: int | jax.Array, *, whole: bool) -> Any:
    """Applies a function repeatedly inside a program: in a loop, or unrolled where a loop would be slow.

    Args:
      body: state -> state.
      state: at the start.
      num_steps: how often, >= 0; a traced number always takes a loop.
      whole: the result of `compiles_whole` for the network in `body`. If it is False, up to 64 steps are unrolled; the
        more steps, the longer the compilation.

    Returns:
      The state at the end.

    Example:
      >>> from ib_jax import loops
      >>> print(loops.repeat(lambda state: 2 * state, 1, 5, whole=True))
      32
    """
    known = isinstance(num_steps, int)
    if known and (num_steps == 1 or (not whole and num_steps <= _MOST_WRITTEN_OUT)):
        for _ in range(num_steps):
            state = body(state)
        return state
    return jax.lax.fori_loop(0, num_steps, lambda _, state: body(state), state)


def _holds(jaxpr: core.Jaxpr, primitive: str) -> bool:
    for equation in jaxpr.eqns:
        if equation.primitive.name == primitive:
            return True
        for parameter in jax.tree.leaves(
            equation.params, is_leaf=lambda x: isinstance(x, core.Jaxpr | core.ClosedJaxpr)
        ):
            inner = parameter.jaxpr if isinstance(parameter, core.ClosedJaxpr) else parameter
            if isinstance(inner, core.Jaxpr) and _holds(inner, primitive):
                return True
    return False
