"""Measure the speed of training and of attacks against PyTorch and against the machine's own matrix peak.

Run:      python -m experiments.benchmark                             the train step, about five minutes on two cores
          python -m experiments.benchmark --suite=attacks             PGD, CW, DeepFool, many radii: 15 minutes
          python -m experiments.benchmark --peers=none                without PyTorch
Needs:    pip install torch==2.13.0 for the peers (`pip install ib-jax[benchmark]`), and ib-jax[peers] for the attacks;
          without it their rows say so.
Method:   the rows take turns, round after round, so that a slow minute of the machine hits all alike; each PyTorch
          variant is a process of its own that sleeps between its turns; the first stretch of each row, with its
          compiling, is reported apart. Leave the machine alone meanwhile: PyTorch's threads suffer most from company.
Expect:   on two cores at least 2.5 times eager PyTorch with plain Adam, no less than the best PyTorch variant, and 65 %
          of the float32 matrix peak. PGD 2.2 times, CW 2.6 times the fastest library as installed (1.2 and 1.5 times
          with AVX-512 forced), DeepFool 10 times torchattacks; eight radii in less than 5 times the time of one.
Leaves:   a JSON record, by default experiments/results/benchmark/<suite>.json.
"""

import contextlib
import dataclasses
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
from rich.console import Console

from experiments import (
    benchmark_attack_rows,
    benchmark_attacks,
    benchmark_jax,
    flags,
    mnist_vib_config,
    records,
    torch_worker,
)
from experiments import benchmark_torch as torch_peers
from experiments.benchmark_attacks_report import print_attacks
from experiments.benchmark_report import LOOP, SCAN, peak_summary, print_train, progress, summary, targets
from experiments.flags import setting
from ib_jax import data

RESULTS = "experiments/results/benchmark"
LABELS = {SCAN: "JAX, epoch in a scan", LOOP: "JAX, Python loop"}
MATMUL_SIZES = (1024, 2048, 4096)
PEERS = {"train": torch_peers.PEERS, "attacks": benchmark_attack_rows.PEERS}

Run = Callable[[], tuple[float, float]]
"""Trains one stretch; returns its seconds and last loss."""


@dataclasses.dataclass(frozen=True)
class Config:
    """One benchmark."""

    suite: str = setting("train", "Benchmark", "What is measured.", choices=tuple(PEERS))
    repeats: int = setting(5, "Benchmark", "Rounds in which every row has its turn.")
    steps: int = setting(300, "Benchmark", "Training: steps of one turn.", unit="steps")
    min_seconds: float = setting(1.0, "Benchmark", "Attacks: a turn repeats its call for so long.", unit="seconds")
    peers: str = setting(
        "auto",
        "Benchmark",
        "PyTorch variants, with commas between; for training: "
        f"{', '.join(PEERS['train'])}; for attacks: {', '.join(PEERS['attacks'])}; auto: all; or none.",
    )
    output: str = setting("", "Benchmark", f"JSON record. Default: {RESULTS}/<suite>.json.")
    batch_size: int = setting(100, "Training", "Images of one step.", unit="images", paper="100")
    latent_dim: int = setting(256, "Training", "K, dimensions of the code.", paper="256")
    hidden_width: int = setting(1024, "Training", "Units of each of the two ReLU layers.", paper="1024")

    checkpoint: str = setting(
        "", "Attacks", "Workdir of a finished cross_entropy run of experiments.mnist_vib. Default: train a network."
    )
    dataset: str = setting("mnist", "Attacks", "Without --checkpoint: data set.", choices=("mnist", "digits"))
    num_epochs: int = setting(4, "Attacks", "Without --checkpoint: length of training.", unit="epochs")
    num_images: int = setting(1000, "Attacks", "Images of a call.", unit="images")
    cw_images: int = setting(500, "Attacks", "Images of a call of CW.", unit="images")
    slow_images: int = setting(50, "Attacks", "Images of torchattacks' DeepFool, which takes them one by one.")

    def __post_init__(self) -> None:
        sizes = ("repeats", "steps", "batch_size", "latent_dim", "hidden_width")
        for name in (*sizes, "num_epochs", "num_images", "cw_images", "slow_images"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} must be at least 1, got {getattr(self, name)}")
        unknown = sorted(set(self.peer_names) - set(PEERS[self.suite]))
        if unknown:
            raise ValueError(f"--peers must be among {', '.join(PEERS[self.suite])}, got {', '.join(unknown)}")

    @property
    def peer_names(self) -> tuple[str, ...]:
        """The PyTorch variants asked for."""
        named: dict[str, tuple[str, ...]] = {"auto": PEERS[self.suite], "none": ()}
        return named[self.peers] if self.peers in named else tuple(self.peers.split(","))


def run(
    config: Config, console: Console, *, command: str = "", matmul_sizes: Sequence[int] = MATMUL_SIZES
) -> dict[str, Any]:
    """Measures, prints the table and writes the record.

    Args:
      config: the settings.
      console: where to show progress and the table.
      command: the command line to write into the record.
      matmul_sizes: the square products tried for the matrix peak.

    Returns:
      The record.
    """
    load = os.getloadavg()[0]
    suite, show = {
        "train": (train_suite, print_train),
        "attacks": (benchmark_attacks.attacks_suite, print_attacks),
    }[config.suite]
    result = suite(config, console, matmul_sizes)
    record = {
        "experiment": "benchmark",
        "command": command,
        "config": dataclasses.asdict(config),
        "environment": records.environment(),
        "load_average": {"start": load, "end": os.getloadavg()[0]},
        **result,
    }
    show(console, record)
    path = config.output or f"{RESULTS}/{config.suite}.json"
    records.write_json(path, record)
    console.print(f"The record is {path}.", highlight=False)
    return record


def train_suite(config: Config, console: Console, matmul_sizes: Sequence[int]) -> dict[str, Any]:
    """The train step: JAX, the PyTorch peers and the matrix peak, taking turns."""
    vib = mnist_vib_config.Config(
        batch_size=config.batch_size, latent_dim=config.latent_dim, hidden_width=config.hidden_width, learning_rate=1e-4
    )
    layers = benchmark_jax.layers(vib)
    rows: dict[str, dict[str, Any]] = {name: {"label": text} for name, text in LABELS.items()}
    rows |= {name: {"label": torch_peers.label(name)} for name in config.peer_names}
    with contextlib.ExitStack() as stack:
        bar = stack.enter_context(progress(console))
        task = bar.add_task("", total=len(rows) * (config.repeats + 1), what="preparing")
        benchmark = benchmark_jax.TrainBenchmark(vib, config.steps)
        matmul = benchmark_jax.MatmulPeak(matmul_sizes)
        runners: dict[str, Run] = {SCAN: _timed(benchmark.epoch()), LOOP: _timed(benchmark.loop())}
        for name in rows:
            bar.update(task, what=f"compiling: {rows[name]['label']}")
            try:
                if name in config.peer_names:
                    sizes = {"steps": config.steps, "batch_size": config.batch_size, "layers": layers}
                    sizes |= {"beta": vib.beta, "average_decay": vib.average_decay}
                    runners[name], rows[name]["process"] = _peer(name, sizes, stack)
                rows[name]["first_stretch_seconds"] = runners[name]()[0]
                rows[name] |= {"status": "measured", "seconds": []}
            except (torch_worker.WorkerError, OSError) as error:
                runners.pop(name, None)
                rows[name]["status"] = str(error)
            bar.advance(task)
        peaks: list[dict[int, float]] = []
        for index in range(config.repeats):
            peaks.append(matmul())
            for name, runner in runners.items():
                bar.update(task, what=f"round {index + 1}/{config.repeats}: {rows[name]['label']}")
                seconds, rows[name]["last_loss"] = runner()
                rows[name]["seconds"].append(seconds)
                bar.advance(task)
            if not console.is_terminal:
                console.print(f"round {index + 1}/{config.repeats} done", highlight=False)
        flops = benchmark_jax.matmul_flops(layers, config.batch_size)
        xla_flops = benchmark.xla_flops()
    peak = peak_summary(peaks)
    for name in runners:
        seconds_of_row = rows[name]["seconds"]
        rates = [config.steps * config.batch_size / seconds for seconds in seconds_of_row]
        rows[name]["images_per_second"] = summary(rates)
        rows[name]["mfu"] = flops / config.batch_size * statistics.median(rates) / peak["flops_per_second"]
        if name not in LABELS:
            pairs = zip(seconds_of_row, rows[SCAN]["seconds"], strict=True)
            rows[name]["jax_over_peer"] = summary([peer / jax_seconds for peer, jax_seconds in pairs])
    return {
        "matrix_peak": peak,
        "flops_per_step": {"matmul": flops, "xla": xla_flops},
        "rows": rows,
        "targets": targets(rows),
    }


def _timed(stretch: Callable[[], float]) -> Run:
    def timed() -> tuple[float, float]:
        start = time.perf_counter()
        loss = stretch()
        return time.perf_counter() - start, loss

    return timed


def _peer(name: str, sizes: Mapping[str, Any], stack: contextlib.ExitStack) -> tuple[Run, dict[str, Any]]:
    """Starts a peer; how to run it, and what it says of itself."""
    reason = torch_peers.missing(name)
    if not reason and jax.default_backend() != "cpu":
        reason = f"skipped: the peers run on the CPU, JAX on the {jax.default_backend()}"
    if reason:
        raise torch_worker.WorkerError(reason)
    peer = stack.enter_context(torch_peers.start(name, sizes))

    def one() -> tuple[float, float]:
        reply = peer({})
        return reply["seconds"], reply["loss"]

    return one, peer.info


def main(argv: Sequence[str]) -> None:
    """Reads the flags and runs."""
    del argv
    try:
        run(flags.config_from_flags(Config), Console(), command=records.command("experiments.benchmark"))
    except (data.DatasetUnavailableError, ValueError, torch_worker.WorkerError) as error:
        sys.exit(f"benchmark: {error}")


def entry() -> None:
    """The console entry."""
    flags.run_app(main, Config, __doc__ or "")


if __name__ == "__main__":
    entry()
