"""How seldom-used programs are compiled: quickly."""

import os
from collections.abc import Callable
from typing import Any

import jax

_LEVEL = "xla_backend_optimization_level"


def jit_quickly(fn: Callable[..., Any], **options: Any) -> Any:
    """`jax.jit` with little optimisation on the CPU, for programs that are waited for while they are compiled.

    XLA's CPU backend takes matrix products and convolutions from a library, whatever it is told; of the rest at level 1
    no slower code was seen than at its usual 3, and a sixth to a third less time to compile. Elsewhere it is `jax.jit`,
    and where XLA_FLAGS says a level that one holds.

    Args:
      fn: to compile.
      **options: of `jax.jit`.

    Returns:
      The compiled function.

    Example:
      >>> from ib_jax.compiling import jit_quickly
      >>> print(jit_quickly(lambda x: 2 * x)(3))
      6
    """
    told = _LEVEL in os.environ.get("XLA_FLAGS", "")
    quick = {_LEVEL: 1} if jax.default_backend() == "cpu" and not told else None
    return jax.jit(fn, compiler_options=quick, **options)
