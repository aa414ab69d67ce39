"""How loops over a network are written: compiled whole, or driven from the host. Decided here alone."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core


def compiles_whole(fn: Callable[..., Any], *args: Any) -> bool:
    """Whether a compiled loop over a network is as fast as its steps one by one.

    XLA's CPU backend runs a convolution inside a loop by a path that is 6 to 100 times slower, so there training,
    evaluation and attacks call a convolutional network's steps one after another from the host. GPUs, TPUs and networks
    of matrix products have no such trouble: they stay one compiled loop.

    Args:
      fn: the network, or anything that calls it; it is traced, not run.
      args: its arguments, arrays or `jax.ShapeDtypeStruct`s.

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
    """`jax.lax.scan`, in which one step is no loop: XLA keeps a loop of one turn, and loses by it as by a longer one.

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
