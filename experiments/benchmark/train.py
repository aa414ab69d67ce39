"""The train suite of `experiments.benchmark`: the VIB step in JAX and in PyTorch, beside the machine's matrix peak."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
from rich.console import Console

from experiments.benchmark import jax_programs as benchmark_jax
from experiments.benchmark import torch_programs as torch_peers
from experiments.benchmark.device import MatrixPeak, peak_memory
from experiments.benchmark.show import LOOP, SCAN, summary, targets
from experiments.benchmark.turns import Row, Turn, Work, add_speed, take_turns, timed
from experiments.core import worker as torch_worker

if TYPE_CHECKING:
    from experiments.benchmark.settings import Config

LABELS = {SCAN: "JAX, epoch in a scan", LOOP: "JAX, Python loop"}


def train_suite(config: "Config", console: Console, matmul_sizes: Sequence[int]) -> dict[str, Any]:
    """The train step: JAX, the PyTorch peers and the matrix peak, taking turns."""
    vib = benchmark_jax.train_config(config)
    layers = benchmark_jax.layers(vib)
    rows: dict[str, Row] = {name: {"label": text} for name, text in LABELS.items()}
    rows |= {name: {"label": torch_peers.label(name)} for name in config.peer_names}
    benchmark, peak = benchmark_jax.TrainBenchmark(vib, config.steps), MatrixPeak(matmul_sizes, config.precision)
    sizes: dict[str, Any] = {"steps": config.steps, "batch_size": config.batch_size, "layers": layers}
    sizes |= {"beta": vib.beta, "average_decay": vib.average_decay}

    with contextlib.ExitStack() as stack:

        def start_peer(name: str) -> Callable[[], Turn]:
            def start() -> Turn:
                turn, rows[name]["process"] = _peer(name, sizes, config.precision, stack)
                return turn

            return start

        start: dict[str, Callable[[], Turn]] = {name: start_peer(name) for name in config.peer_names}
        start |= {SCAN: lambda: timed(benchmark.epoch()), LOOP: lambda: timed(benchmark.loop())}
        take_turns(console, rows, start, repeats=config.repeats, each_round=peak.measure)
    flops, xla_flops = benchmark_jax.matmul_flops(layers, config.batch_size), benchmark.xla_flops()
    matrix_peak, images = peak.summary(), config.steps * config.batch_size
    of_stretch = (config.steps * flops, None if xla_flops is None else config.steps * xla_flops)
    for name, row in rows.items():
        if row["status"] != "measured":
            continue
        row["devices"] = jax.device_count() if name == SCAN else 1
        add_speed(row, Work(config.steps, images, *of_stretch, devices=row["devices"]), matrix_peak)
        if name not in LABELS:
            pairs = zip(row["seconds"], rows[SCAN]["seconds"], strict=True)
            row["jax_over_peer"] = summary([peer / jax_seconds for peer, jax_seconds in pairs])
    return {
        "matrix_peak": matrix_peak,
        "peak_memory": peak_memory(),
        "flops_per_step": {"matmul": flops, "xla": xla_flops},
        "rows": rows,
        "targets": targets(rows) if config.precision == "float32" else {},
    }


def _peer(
    name: str, sizes: Mapping[str, Any], precision: str, stack: contextlib.ExitStack
) -> tuple[Turn, dict[str, Any]]:
    """Starts a peer; how to run it, and what it says of itself."""
    reason = torch_peers.missing(name)
    if not reason and jax.default_backend() != "cpu":
        reason = f"skipped: the peers run on the CPU, JAX on the {jax.default_backend()}"
    if not reason and precision != "float32":
        reason = f"skipped: the peers train in float32, JAX in {precision}"
    if not reason and jax.process_count() > 1:
        reason = f"skipped: the peers train in one process, JAX in {jax.process_count()}"
    if reason:
        raise torch_worker.WorkerError(reason)
    peer = stack.enter_context(torch_peers.start(name, sizes))

    def turn() -> tuple[float, Mapping[str, Any]]:
        reply = peer({})
        return reply["seconds"], {"last_loss": reply["loss"]}

    return turn, peer.info
