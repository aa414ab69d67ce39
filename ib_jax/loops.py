"""Whether loops over a network are compiled whole, or driven from the host. Decided here alone."""

from collections.abc import Callable
from typing import Any

import jax
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
