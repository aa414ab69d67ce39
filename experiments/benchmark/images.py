"""The images suite of `experiments.benchmark`: convolutional networks in training, in a population and under attack.

Each path is the experiments' own, and stands beside the same steps called from a plain Python loop: on a CPU, where a
convolution inside a compiled loop is many times slower, all that a compiled loop could gain is not to lose.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import jax
from rich.console import Console

from experiments.benchmark.device import MatrixPeak, peak_memory
from experiments.benchmark.image_rows import MEMBERS, PGD_STEPS, ImageBenchmark, Network, family
from experiments.benchmark.images_report import (
    LOOP,
    PGD_LOOP,
    POPULATION,
    RUNNER,
    STRETCH,
    add_ratios,
    images_targets,
    measured,
)
from experiments.benchmark.turns import Row, Turn, Work, add_speed, take_turns
from experiments.core import worker as torch_worker

if TYPE_CHECKING:
    from experiments.benchmark.settings import Config

AUTO = "auto"
CPU_NETWORKS, NETWORKS = "wrn-10-2", "wrn-28-10,resnet-50"
CPU_STEPS, STEPS = 10, 20
SIZES = {"wrn": (32, 512), "resnet": (224, 256)}
"""Image size and, but on a CPU, batch size."""
CPU_BATCH = 100
DATA_SHEET = {
    "NVIDIA A100-SXM4-40GB": 312e12,
    "NVIDIA A100-SXM4-80GB": 312e12,
    "NVIDIA H100 80GB HBM3": 989.4e12,
    "NVIDIA H200": 989.4e12,
    "TPU v4": 275e12,
    "TPU v5 lite": 197e12,
    "TPU v6 lite": 918e12,
}
"""FLOP/s in bfloat16, dense, by JAX's name of the device: NVIDIA's data sheets, Google's Cloud TPU documentation."""
LABELS = {
    STRETCH: "training, as fit runs it",
    LOOP: "its steps in a Python loop",
    POPULATION: f"{MEMBERS} models, as a sweep trains them",
    RUNNER: f"PGD-{PGD_STEPS}, attacks.Runner",
    PGD_LOOP: "its steps in a Python loop",
}


def networks(config: "Config", platform: str) -> list[Network]:
    """What is measured: as the flags say, and where they leave it open as suits the platform ("cpu", "gpu", "tpu").

    Raises:
      ValueError: there is no such network.

    Example:
      >>> from experiments.benchmark import images, run
      >>> images.networks(run.Config(image_networks="wrn-16-4"), "cpu")
      [Network(name='wrn-16-4', image_size=32, batch_size=100, precision='float32', steps=10)]
    """
    on_cpu = platform == "cpu"
    named = (CPU_NETWORKS if on_cpu else NETWORKS) if config.image_networks == AUTO else config.image_networks
    precision = ("float32" if on_cpu else "bfloat16") if config.image_precision == AUTO else config.image_precision
    found = []
    for name in named.split(","):
        size, batch = SIZES[family(name)[0]]
        batch_size = config.image_batch_size or (CPU_BATCH if on_cpu else batch)
        steps = config.image_steps or (CPU_STEPS if on_cpu else STEPS)
        found.append(Network(name, config.image_size or size, batch_size, precision, steps))
    return found


def images_suite(config: "Config", console: Console, matmul_sizes: Sequence[int]) -> dict[str, Any]:
    """All networks' rows and the matrix peak, taking turns."""
    device = jax.devices()[0]
    chosen = networks(config, device.platform)
    peak = MatrixPeak(matmul_sizes, chosen[0].precision)
    benchmarks = {network.name: ImageBenchmark(network) for network in chosen}
    rows: dict[tuple[str, str], Row] = {}
    start: dict[tuple[str, str], Callable[[], Turn]] = {}
    for name, benchmark in benchmarks.items():
        makers = {
            STRETCH: benchmark.stretch,
            LOOP: benchmark.loop,
            POPULATION: benchmark.population,
            RUNNER: benchmark.runner,
            PGD_LOOP: benchmark.pgd_loop,
        }
        for row, make in makers.items():
            devices = jax.device_count() if row in (STRETCH, POPULATION) else 1
            rows[name, row] = {"label": LABELS[row], "devices": devices}
            start[name, row] = _starter(make)
    take_turns(console, rows, start, repeats=config.repeats, each_round=peak.measure)
    matrix_peak = peak.summary()
    sheet = DATA_SHEET.get(device.device_kind) if chosen[0].precision == "bfloat16" else None
    described = {
        name: _described(benchmark, {row: rows[name, row] for row in LABELS}, matrix_peak, sheet)
        for name, benchmark in benchmarks.items()
    }
    return {
        "matrix_peak": matrix_peak,
        "data_sheet_peak": sheet,
        "peak_memory": peak_memory(),
        "networks": described,
        "targets": images_targets(described, accelerator=device.platform != "cpu"),
    }


def _described(
    benchmark: ImageBenchmark, rows: dict[str, Row], matrix_peak: dict[str, Any], sheet: float | None
) -> dict[str, Any]:
    """One network's part of the record."""
    network, cost, forward = benchmark.network, benchmark.xla_cost(), benchmark.forward_flops()
    xla = None if cost is None else cost.flops
    for name, row in measured(rows).items():
        add_speed(row, _work(name, network, forward, xla, row["devices"]), matrix_peak)
        if sheet is not None:
            row["mfu_data_sheet"] = row["mfu"] * matrix_peak["flops_per_second"] / sheet
    add_ratios(rows)
    return {
        **network._asdict(),
        "num_parameters": benchmark.num_parameters,
        "num_train_images": benchmark.recipe.num_examples,
        "whole": benchmark.recipe.whole,
        "members": MEMBERS,
        "members_at_once": benchmark.members_at_once,
        "flops_per_image": {"products": 3 * forward, "xla": None if xla is None else xla / network.batch_size},
        "rows": rows,
    }


def _work(name: str, network: Network, forward: int, step_flops: float | None, devices: int) -> Work:
    """What a row does in a turn; `forward` FLOPs of an image, of which a training step takes three times as many.

    An attack needs no gradient of the weights, so its step takes two, and its judgement at the end one.
    """
    if name in (RUNNER, PGD_LOOP):
        images = network.batch_size
        return Work(PGD_STEPS, images, images * (2 * PGD_STEPS + 1) * forward, None, devices)
    steps, models = network.steps, MEMBERS if name == POPULATION else 1
    images = models * steps * network.batch_size
    xla = None if step_flops is None else models * steps * step_flops
    return Work(steps, images, 3 * forward * images, xla, devices)


def _starter(make: Callable[[], Turn]) -> Callable[[], Turn]:
    """A start that tells in the row's status when the device's memory does not hold it, so that the others go on."""

    def start() -> Turn:
        with _told():
            turn = make()

        def told() -> Any:
            with _told():
                return turn()

        return told

    return start


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise torch_worker.WorkerError("more than the device's memory") from error
