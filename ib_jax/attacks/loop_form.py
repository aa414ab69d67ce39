"""Whether loops over a network are compiled whole, or driven from the host and unrolled. Decided here alone."""

import jax
from jax.extend import core

from ib_jax.attacks.problem import Problem
from ib_jax.types import LogitsFn


def compiles_whole(logits_fn: LogitsFn, problem: Problem) -> bool:
    """Whether a compiled loop over the network is as fast as its steps one by one.

    XLA's CPU backend runs a convolution inside a loop by a path that is many times slower, so there a convolutional
    network is driven from the host. GPUs, TPUs and networks of matrix products have no such trouble.
    """
    if jax.default_backend() != "cpu":
        return True
    return not _holds(jax.make_jaxpr(logits_fn)(problem.keys, problem.inputs).jaxpr, "conv_general_dilated")


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
