"""A compiled program, how long it took to compile, and what XLA says of it: FLOPs, memory, collectives."""

import math
import re
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax.extend import core

from ib_jax import data, training

_ALL_REDUCE = re.compile(r"= [^\n]*? all-reduce(?:-start)?\(")


class Program:
    """A jitted or mapped function, compiled at its first call.

    Over several processes the compiled program only tells of itself, and the function is compiled once more when it is
    called: JAX takes a process's own part of the arguments there, but not in a program compiled ahead.

    Args:
      fn: from `jax.jit` or `training.shard_epoch`; its arguments must always have the same shapes.
    """

    def __init__(self, fn: Callable[..., Any]):
        self._fn: Any = fn
        self._compiled: Any = None
        self.compile_seconds = 0.0

    def __call__(self, *args: Any) -> Any:
        if self._compiled is None:
            start = time.perf_counter()
            self._compiled = self._fn.lower(*args).compile()
            self.compile_seconds = time.perf_counter() - start
        return (self._compiled if jax.process_count() == 1 else self._fn)(*args)

    def describe(self) -> dict[str, Any]:
        """Seconds of tracing and compiling, and the bytes of a device that it needs with its arguments."""
        found = self._compiled.memory_analysis()
        needed = None
        if found is not None:
            outputs = found.output_size_in_bytes - found.alias_size_in_bytes
            needed = found.argument_size_in_bytes + outputs + found.temp_size_in_bytes
        return {"compile_seconds": self.compile_seconds, "program_bytes": needed}

    def all_reduces(self) -> int:
        """All-reduces in the compiled program; those inside a loop count once."""
        return count_all_reduces(self._compiled.as_text())


def count_all_reduces(text: str) -> int:
    """All-reduces in an XLA program.

    Example:
      >>> from experiments.benchmark import program as benchmark_program
      >>> benchmark_program.count_all_reduces("%a = f32[2] all-reduce(%b), to_apply=%add\\n %c = f32[2] add(%a, %a)")
      1
    """
    return len(_ALL_REDUCE.findall(text))


class Cost(NamedTuple):
    """What XLA's cost analysis counts: FLOPs, element-wise work included, and bytes read and written."""

    flops: float
    num_bytes: float


def xla_cost(lowered: Any, at_least: float = 0.0) -> Cost | None:
    """The cost of a lowered program as XLA counts it; a loop's body counts once.

    Args:
      lowered: from `fn.lower(...)`.
      at_least: FLOPs of its matrix products. Where the compiled program counts less, because it calls a library for
        them, the count is of the program before optimisation.

    Returns:
      Cost; None where XLA does not say.
    """
    for program in (lowered.compile(), lowered):
        analysis = program.cost_analysis()
        analysis = analysis[0] if isinstance(analysis, list) else analysis
        if analysis and analysis.get("flops", 0.0) >= max(at_least, 1.0):
            return Cost(float(analysis["flops"]), float(analysis.get("bytes accessed", 0.0)))
    return None


def step_cost(step: Any, state: Any, batch: training.Batch, at_least: float = 0.0) -> Cost | None:
    """As `xla_cost`, of one train step on one device.

    Args:
      step: from `make_train_step` without an axis.
      state: TrainState, arrays or their shapes.
      batch: images as they lie on the device, arrays or their shapes.
      at_least: FLOPs of its matrix products.
    """

    def prepared(state: Any, batch: training.Batch) -> Any:
        return step(state, batch._replace(inputs=data.to_unit_interval(batch.inputs)), state.key)

    return xla_cost(jax.jit(prepared, donate_argnums=0).lower(state, batch), at_least)


def product_flops(fn: Callable[..., Any], *args: Any) -> int:
    """FLOPs of a function's convolutions and matrix products, those with padding included; a loop's body counts once.

    Args:
      fn: it is traced, not run.
      args: its arguments, arrays or their shapes.

    Example:
      >>> import jax.numpy as jnp
      >>> from experiments.benchmark import program as benchmark_program
      >>> benchmark_program.product_flops(jnp.matmul, jnp.ones((2, 3)), jnp.ones((3, 4)))
      48
    """
    return _products(jax.make_jaxpr(fn)(*args).jaxpr)


def _shape(variable: Any) -> tuple[int, ...]:
    return tuple(variable.aval.shape)


def _products(jaxpr: core.Jaxpr) -> int:
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name in ("conv_general_dilated", "dot_general"):
            left, right = (_shape(var) for var in equation.invars)
            numbers = equation.params["dimension_numbers"]
            if equation.primitive.name == "dot_general":
                summed = math.prod(left[axis] for axis in numbers[0][0])
            else:
                summed = math.prod(right) // right[numbers.rhs_spec[0]]
            total += 2 * math.prod(_shape(equation.outvars[0])) * summed
        for parameter in jax.tree.leaves(equation.params, is_leaf=_is_jaxpr):
            inner = parameter.jaxpr if isinstance(parameter, core.ClosedJaxpr) else parameter
            total += _products(inner) if isinstance(inner, core.Jaxpr) else 0
    return total


def _is_jaxpr(x: Any) -> bool:
    return isinstance(x, core.Jaxpr | core.ClosedJaxpr)
