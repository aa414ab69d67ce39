"""What the machine can do: its matrix peak, how many devices have arithmetic of their own, and the memory used."""

import math
import resource
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from experiments.core.settings import SettingError

_SIZES = (1024, 2048, 4096)
_ACCELERATOR_SIZES = (4096, 8192, 16384)  # small ones would measure the dispatch


class MatrixPeak:
    """The machine's own matrix rate: a square product in XLA, on one device.

    At the precision at which the networks' products are computed, JAX's default. On GPUs and TPUs that may be less than
    float32 (TF32, or bfloat16 passes), so there float32 at the highest precision is measured beside it.

    Args:
      sizes: rows of the square matrices; none: such as the platform needs.
      dtype: float32 or bfloat16.
    """

    def __init__(self, sizes: Sequence[int] = (), dtype: str = "float32"):
        on_cpu = jax.default_backend() == "cpu"
        precisions: dict[str, Any] = {"default": None}
        if dtype == "float32" and not on_cpu:
            precisions["highest"] = jax.lax.Precision.HIGHEST
        self._dtype = dtype
        self._products = {name: _product(precision) for name, precision in precisions.items()}
        self._rounds: dict[str, list[dict[int, float]]] = {name: [] for name in precisions}
        key = jax.random.key(0)
        chosen = sizes or (_SIZES if on_cpu else _ACCELERATOR_SIZES)
        self._matrices = {size: jax.random.normal(key, (size, size), jnp.dtype(dtype)) for size in chosen}
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
        found = {name: best_size(rounds) for name, rounds in self._rounds.items()}
        default = found.pop("default")
        return {"dtype": self._dtype, "precision": "default", **default, **found}


def best_size(rounds: Sequence[Mapping[int, float]]) -> dict[str, Any]:
    """FLOP/s of the best size, by the median of the rounds; each round holds the rate by size."""
    medians = {size: statistics.median(rates[size] for rates in rounds) for size in rounds[0]}
    best = max(medians, key=lambda size: medians[size])
    highest = max(max(rates.values()) for rates in rounds)
    return {"flops_per_second": medians[best], "size": best, "best_seen": highest, "rounds": list(rounds)}


def _product(precision: Any) -> Any:
    return jax.jit(lambda a, b: jnp.matmul(a, b, precision=precision))


def own_arithmetic(num_devices: int) -> int:
    """How many of so many devices have arithmetic of their own: those of a CPU share its cores, process by process."""
    return num_devices if jax.default_backend() != "cpu" else max(1, num_devices // jax.local_device_count())


def check_threads(variable: str | None, cores: int, num_devices: int) -> None:
    """Checks that the devices of a CPU have threads enough to meet in an all-reduce.

    Args:
      variable: the value of PJRT_NPROC, the number of threads; None where it is not set.
      cores: threads without it.
      num_devices: of this process.

    Raises:
      ValueError: they have not, and could wait for each other for ever.

    Example:
      >>> from experiments.benchmark import device as benchmark_device
      >>> benchmark_device.check_threads(None, cores=2, num_devices=8)
      Traceback (most recent call last):
      ...
      experiments.core.settings.SettingError: 8 devices of a CPU need at least 16 threads, got 2: set PJRT_NPROC=16 ...
    """
    threads = int(variable) if variable and variable.isdigit() else cores
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
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB, but bytes on macOS
    return {"bytes": resident * (1 if sys.platform == "darwin" else 1024), "of": "the whole process, resident"}
