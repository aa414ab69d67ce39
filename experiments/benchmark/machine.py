"""What a program costs, as JAX and XLA count it, and what the machine can do: its matrix peak, devices and memory."""

import functools
import math
import os
import re
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend import core

from experiments.core.settings import SettingError
from experiments.core.worker import peak_resident
from ib_jax import data, training

_ALL_REDUCE = re.compile(r"= [^\n]*? all-reduce(?:-start)?\(")
SIZES = (1024, 2048, 4096)
ACCELERATOR_SIZES = (4096, 8192, 16384)  # small ones would measure the dispatch


class Cost(NamedTuple):
    """What a program costs; None for what is not known."""

    products: float | None = None  # FLOPs of its matrix products and convolutions
    xla: float | None = None  # FLOPs as XLA counts them, element-wise work included
    num_bytes: float | None = None  # read and written, as XLA counts them

    def times(self, count: int) -> "Cost":
        """Of so many of them."""
        return Cost(*(None if each is None else count * each for each in self))


class Program:
    """A jitted or mapped function, compiled at its first call; its arguments must always have the same shapes.

    Over several processes the compiled program only tells of itself, and the function is compiled once more when it is
    called: JAX takes a process's own part of the arguments there, but not in a program compiled ahead.
    """

    def __init__(self, fn: Callable[..., Any]):
        self._fn: Any = fn
        self._compiled: Any = None
        self._seconds = 0.0

    def __call__(self, *args: Any) -> Any:
        if self._compiled is None:
            start = time.perf_counter()
            self._compiled = self._fn.lower(*args).compile()
            self._seconds = time.perf_counter() - start
        return (self._compiled if jax.process_count() == 1 else self._fn)(*args)

    def describe(self, *, all_reduces: bool = False) -> dict[str, Any]:
        """Seconds of tracing and compiling, the bytes of a device that it needs with its arguments, its all-reduces."""
        memory, needed = self._compiled.memory_analysis(), None
        if memory is not None:
            outputs = memory.output_size_in_bytes - memory.alias_size_in_bytes
            needed = memory.argument_size_in_bytes + outputs + memory.temp_size_in_bytes
        counted = {"all_reduces": count_all_reduces(self._compiled.as_text())} if all_reduces else {}
        return {"compile_seconds": self._seconds, "program_bytes": needed, **counted}


def count_all_reduces(text: str) -> int:
    """All-reduces in the text of an XLA program; those inside a loop count once."""
    return len(_ALL_REDUCE.findall(text))


def step_cost(step: Any, state: Any, batch: training.Batch, products: float = 0.0, share: float = 1.0) -> Cost:
    """Of one train step on one device, from `make_train_step` without an axis.

    State and batch, whose images are as they lie on the device, may be arrays or their shapes. Without FLOPs of its
    products they are counted: forward, weight gradients and input gradients, but of the first layer. The share is that
    of `xla_cost`.
    """

    def prepared(state: Any, batch: training.Batch) -> Any:
        return step(state, batch._replace(inputs=data.to_unit_interval(batch.inputs)), state.key)

    products = products or product_flops(prepared, state, batch)
    return xla_cost(jax.jit(prepared, donate_argnums=0).lower(state, batch), products, share)


def xla_cost(lowered: Any, products: float, share: float = 1.0) -> Cost:
    """The cost of a lowered program with so many FLOPs of matrix products; a loop's body counts once.

    Where XLA counts less than a share of the products, because the compiled program calls a library for them, the count
    is of the program before optimisation.
    """
    for program in (lowered.compile(), lowered):
        analysis = program.cost_analysis()
        analysis = analysis[0] if isinstance(analysis, list) else analysis
        if analysis and analysis.get("flops", 0.0) >= max(share * products, 1.0):
            return Cost(products, float(analysis["flops"]), float(analysis.get("bytes accessed", 0.0)))
    return Cost(products)


def product_flops(fn: Callable[..., Any], *args: Any) -> int:
    """FLOPs of a function's convolutions and matrix products, those with padding included; a loop's body counts once.

    Example:
      >>> product_flops(jnp.matmul, jnp.ones((2, 3)), jnp.ones((3, 4)))
      48
    """
    return _products(jax.make_jaxpr(fn)(*args).jaxpr)


def _products(jaxpr: core.Jaxpr) -> int:
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name in ("conv_general_dilated", "dot_general"):
            left, right, out = (variable.aval.shape for variable in (*equation.invars, *equation.outvars))  # type: ignore[attr-defined]
            numbers = equation.params["dimension_numbers"]
            if equation.primitive.name == "dot_general":
                summed = math.prod(left[axis] for axis in numbers[0][0])
            else:
                summed = math.prod(right) // right[numbers.rhs_spec[0]]
            total += 2 * math.prod(out) * summed
        for parameter in jax.tree.leaves(equation.params, is_leaf=_is_jaxpr):
            inner = parameter.jaxpr if isinstance(parameter, core.ClosedJaxpr) else parameter
            total += _products(inner) if isinstance(inner, core.Jaxpr) else 0
    return total


def _is_jaxpr(x: Any) -> bool:
    return isinstance(x, core.Jaxpr | core.ClosedJaxpr)


class MatrixPeak:
    """The machine's own matrix rate: a square product in XLA, on one device.

    At the precision at which the networks' products are computed, JAX's default. On GPUs and TPUs that may be less than
    float32 (TF32, or bfloat16 passes), so there float32 at the highest precision is measured beside it. Without sizes
    of the square matrices the platform decides.
    """

    def __init__(self, sizes: Sequence[int], dtype: str):
        on_cpu = jax.default_backend() == "cpu"
        precisions: dict[str, Any] = {"default": None}
        if dtype == "float32" and not on_cpu:
            precisions["highest"] = jax.lax.Precision.HIGHEST
        self._dtype = dtype
        self._products = {
            name: jax.jit(functools.partial(jnp.matmul, precision=precision)) for name, precision in precisions.items()
        }
        self._rounds: dict[str, list[dict[int, float]]] = {name: [] for name in precisions}
        chosen = sizes or (SIZES if on_cpu else ACCELERATOR_SIZES)
        self._matrices = {size: jax.random.normal(jax.random.key(0), (size, size), jnp.dtype(dtype)) for size in chosen}
        for matrix in self._matrices.values():
            for product in self._products.values():
                jax.block_until_ready(product(matrix, matrix))

    def measure(self) -> None:
        """A round: at every size the best of several products in a row, more of them for small matrices."""
        for name, product in self._products.items():
            rates = {}
            for size, matrix in self._matrices.items():
                seconds = math.inf
                for _ in range(max(3, 10 * 1024 // size)):
                    start = time.perf_counter()
                    jax.block_until_ready(product(matrix, matrix))
                    seconds = min(seconds, time.perf_counter() - start)
                rates[size] = 2 * size**3 / seconds
            self._rounds[name].append(rates)

    def summary(self) -> dict[str, Any]:
        """FLOP/s of the best size, by the median of the rounds, at the default precision; the highest beside it."""
        peaks = {name: best_size(rounds) for name, rounds in self._rounds.items()}
        return {"dtype": self._dtype, "precision": "default", **peaks.pop("default"), **peaks}


def best_size(rounds: Sequence[Mapping[int, float]]) -> dict[str, Any]:
    """FLOP/s of the best size, by the median of the rounds; each round holds the rate by size."""
    medians = {size: statistics.median(rates[size] for rates in rounds) for size in rounds[0]}
    best = max(medians, key=lambda size: medians[size])
    highest = max(max(rates.values()) for rates in rounds)
    return {"flops_per_second": medians[best], "size": best, "best_seen": highest, "rounds": list(rounds)}


def own_arithmetic(num_devices: int) -> int:
    """How many of so many devices have arithmetic of their own: those of a CPU share its cores, process by process."""
    return num_devices if jax.default_backend() != "cpu" else max(1, num_devices // jax.local_device_count())


def check_threads(num_devices: int) -> None:
    """Checks that so many devices of a CPU have threads enough to meet in an all-reduce.

    Raises:
      SettingError: they have not, and could wait for each other for ever.
    """
    variable = os.environ.get("PJRT_NPROC", "")
    threads = int(variable) if variable.isdigit() else os.cpu_count() or 1
    if num_devices > 1 and threads < 2 * num_devices:
        raise SettingError(
            f"{num_devices} devices of a CPU need at least {2 * num_devices} threads, got {threads}: "
            f"set PJRT_NPROC={2 * num_devices} or more before the start"
        )


def peak_memory() -> dict[str, Any]:
    """The most memory that was in use: of the fullest local device, or of the whole process where none tells."""
    stats = [device.memory_stats() or {} for device in jax.local_devices()]
    peaks = [int(each["peak_bytes_in_use"]) for each in stats if "peak_bytes_in_use" in each]
    if peaks:
        return {"bytes": max(peaks), "of": "the fullest device of this process"}
    return {"bytes": peak_resident(), "of": "the whole process, resident"}
