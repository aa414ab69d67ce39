"""The scaling suite of `experiments.benchmark`: the train step on one device, two, four, ... and all of all processes.

Weak scaling gives every device the same batch, strong scaling divides one global batch. Up to a process's own devices
every process trains by itself, all at the same time; the last row is all of them together. The batches lie on the
devices before the clock starts, each device's own, so that neither memory nor shuffling grows with their number; all
devices hold the same images, but draw their own noise.
"""

import functools
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import jax
from rich.console import Console

from experiments.benchmark import jax_programs as benchmark_jax
from experiments.benchmark.device import MatrixPeak, check_threads, peak_memory
from experiments.benchmark.program import Program, Stretch, step_flops
from experiments.benchmark.show import summary
from experiments.benchmark.turns import Row, Turn, Work, add_speed, take_turns, timed
from experiments.core.recipe import Recipe
from ib_jax import data, training
from ib_jax.training import parallel

if TYPE_CHECKING:
    from experiments.benchmark.settings import Config

WEAK, STRONG = "weak", "strong"
_FLOAT_BYTES = 4  # gradients are float32, whatever the precision of the products


def device_counts(local: int, total: int) -> list[int]:
    """Powers of two up to a process's devices, all of these, and all devices of all processes.

    Example:
      >>> from experiments.benchmark import scaling as benchmark_scaling
      >>> benchmark_scaling.device_counts(6, 12)
      [1, 2, 4, 6, 12]
    """
    powers = {2**power for power in range(local.bit_length())}
    return sorted(powers | {local, total})


class ScalingBenchmark:
    """The train step on some of the devices.

    Args:
      config: sizes and steps.
    """

    def __init__(self, config: "Config"):
        self._steps, self._vib = config.steps, benchmark_jax.train_config(config)
        # The recipe needs images to start from; what it trains on is handed over.
        self._recipe = Recipe(self._vib, benchmark_jax.random_dataset(self._vib.batch_size))
        self._shapes = jax.eval_shape(self._recipe.init)
        self.num_parameters = sum(leaf.size for leaf in jax.tree.leaves(self._shapes.params))
        self.programs: dict[tuple[str, int], Program] = {}

    def start(self, kind: str, num_devices: int, device_batch: int) -> Turn:
        """The turn of a row: so many devices of this process, or all of all."""
        devices = None if num_devices == jax.device_count() else jax.local_devices()[:num_devices]
        epoch = training.make_stretch(self._recipe.step(parallel.AXIS), prepare=data.to_unit_interval)
        run = self.programs[kind, num_devices] = Program(training.shard_epoch(epoch, devices))
        state = training.replicate(self._recipe.init(), devices)
        batches = training.replicate(self._batches(device_batch), devices)

        def stretch() -> float:
            nonlocal state
            state, metrics = jax.block_until_ready(run(state, batches))
            return float(training.unreplicate(metrics["loss"])[-1])

        return timed(Stretch(stretch, run))

    def _batches(self, device_batch: int) -> training.Batch:
        images, labels = benchmark_jax.random_dataset(self._steps * device_batch).train
        shape = self._steps, device_batch
        return training.Batch(images.reshape(*shape, *images.shape[1:]), labels.reshape(shape))

    def work(self, num_devices: int, device_batch: int) -> Work:
        """What a stretch takes, over all devices."""
        each = num_devices * self._steps
        products, xla = self._flops(device_batch)
        return Work(self._steps, each * device_batch, each * products, None if xla is None else each * xla, num_devices)

    @functools.cache  # noqa: B019
    def _flops(self, device_batch: int) -> tuple[int, float | None]:
        """Of one step on one device: of the products, and as XLA counts."""
        products = benchmark_jax.matmul_flops(benchmark_jax.layers(self._vib), device_batch)
        batch = training.Batch(*benchmark_jax.random_dataset(device_batch).train)
        return products, step_flops(self._recipe.step(None), self._shapes, batch, products)


def scaling_suite(config: "Config", console: Console, matmul_sizes: Sequence[int]) -> dict[str, Any]:
    """Every number of devices and the matrix peak, taking turns."""
    local, total = jax.local_device_count(), jax.device_count()
    if jax.default_backend() == "cpu":
        check_threads(os.environ.get("PJRT_NPROC"), os.cpu_count() or 1, local)
    peak, benchmark, counts = (
        MatrixPeak(matmul_sizes, config.precision),
        ScalingBenchmark(config),
        device_counts(local, total),
    )
    device_batches = {(WEAK, count): config.batch_size for count in counts}
    divide = [count for count in counts if config.global_batch_size % count == 0]
    device_batches |= {(STRONG, count): config.global_batch_size // count for count in divide}
    rows: dict[tuple[str, int], Row] = {}
    start: dict[tuple[str, int], Callable[[], Turn]] = {}
    for (kind, count), device_batch in device_batches.items():
        processes = jax.process_count() if count == total else 1
        rows[kind, count] = {"label": f"{kind}, {count} device{'s' * (count > 1)}", "devices": count}
        rows[kind, count] |= {"processes": processes, "batch_size": count * device_batch}
        start[kind, count] = functools.partial(benchmark.start, kind, count, device_batch)
    take_turns(console, rows, start, repeats=config.repeats, each_round=peak.measure)
    matrix_peak = peak.summary()
    for (kind, count), row in rows.items():
        add_speed(row, benchmark.work(count, device_batches[kind, count]), matrix_peak)
        rates, alone = row["images_per_second"]["rounds"], rows[kind, 1]["images_per_second"]["rounds"]
        row["efficiency"] = summary([efficiency(rate, one, count) for rate, one in zip(rates, alone, strict=True)])
        row["images_per_second_and_process"] = row["images_per_second"]["median"] / row["processes"]
        row["all_reduces"] = benchmark.programs[kind, count].all_reduces()
        row["all_reduce_bytes"] = _FLOAT_BYTES * benchmark.num_parameters if count > 1 else 0
    return {
        "matrix_peak": matrix_peak,
        "peak_memory": peak_memory(),
        "platform": jax.default_backend(),
        "devices": {"local": local, "total": total, "processes": jax.process_count()},
        "num_parameters": benchmark.num_parameters,
        "rows": {f"{kind}-{count}": row for (kind, count), row in rows.items()},
        "strong_left_out": [count for count in counts if count not in divide],
        "targets": {},
    }


def efficiency(rate: float, rate_of_one: float, num_devices: int) -> float:
    r"""The share of perfect scaling.

    .. math:: r_n / (n r_1)

    Args:
      rate: r_n, images a second of n devices.
      rate_of_one: r_1, of one device.
      num_devices: n.

    Example:
      >>> from experiments.benchmark import scaling as benchmark_scaling
      >>> benchmark_scaling.efficiency(300.0, 100.0, 4)
      0.75
    """
    return rate / (num_devices * rate_of_one)
