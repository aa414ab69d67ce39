"""Measure the speed of training, of populations, of attacks, of augmentation and of many devices.

Run:      python -m experiments.benchmark                             the train step, about five minutes on two cores
          python -m experiments.benchmark --suite=sweep               a population of models beside one: six minutes
          python -m experiments.benchmark --suite=scaling             one device, two, four, ... all of all processes
          python -m experiments.benchmark --suite=attacks             PGD, CW, DeepFool, many radii: 15 minutes
          python -m experiments.benchmark --suite=augment             AutoAugment beside torchvision's: four minutes
          python -m experiments.benchmark --suite=corruptions         19 corruptions of images: six minutes
          python -m experiments.benchmark --suite=images              convolutional networks; large ones on a GPU or TPU
          python -m experiments.benchmark --suite=adversarial         adversarial steps in plain ones: eight minutes
          python -m experiments.benchmark --suite=all                 all of them, each with a record of its own
          python -m experiments.benchmark --peers=none                without PyTorch
          On a TPU pod every process runs the same command. To try many devices on a CPU, start with
          XLA_FLAGS=--xla_force_host_platform_device_count=8 PJRT_NPROC=64. PJRT_NPROC slows a single device down, so
          leave it out for the other suites; members of a population need no word from each other, nor it.
Needs:    pip install torch==2.13.0 for the peers (`pip install ib-jax[benchmark]`), ib-jax[peers] for the attacks and
          augmentation, ib-jax[corruptions] for the corruptions; without them their rows say so.
Method:   the rows take turns, round after round, so that a slow minute of the machine hits all alike; each PyTorch
          variant is a process of its own that sleeps between its turns; the first stretch of each row, with its
          compiling, is reported apart. Leave the machine alone meanwhile: PyTorch's threads suffer most from company.
          FLOPs are those of the matrix products and, beside them, those that XLA counts; the share of the peak (MFU) is
          of the rate that the machine reaches in a large matrix product of the same precision, in the same rounds.
Expect:   on two cores at least 2.5 times eager PyTorch with plain Adam, no less than the best PyTorch variant, and 65 %
          of the float32 matrix peak. Eight models of K = 256 together at least 0.95 times as fast as one alone, of
          K = 2 with 128 units 3 times, if the matrix peak allows that. PGD 2.2 times, CW 2.6 times the fastest library
          as installed (1.2 and 1.5 times with AVX-512 forced), DeepFool 10 times torchattacks; eight radii in less than
          5 times the time of one. AutoAugment 5 times the fastest way of torchvision at 32 x 32. Convolutional networks
          at least 0.9 times the speed of their steps in a Python loop, in training, in a population and under attack;
          on a GPU or TPU 40 % of the bfloat16 peak.
Leaves:   a JSON record, by default experiments/results/benchmark/<suite>.json.
"""

import dataclasses
import math
import os
import sys
from collections.abc import Sequence
from typing import Any

import jax
from rich.console import Console

from experiments.benchmark import image_rows as benchmark_image_rows
from experiments.benchmark import images as benchmark_images
from experiments.benchmark.suites import ALL, ATTACKS, AUGMENT, CORRUPTIONS, ONE_PROCESS, PEERS, SUITES, TRAIN
from experiments.core import app as machine
from experiments.core import flags, records
from experiments.core import worker as torch_worker
from experiments.core.flags import setting
from experiments.mnist_vib.settings import PRECISIONS
from ib_jax import data

VARIABLES = ("XLA_FLAGS", "PJRT_NPROC", "JAX_PLATFORMS", "JAX_DEFAULT_MATMUL_PRECISION")
"""Of the environment; they belong to the command that made a record."""
RESULTS = "experiments/results/benchmark"


@dataclasses.dataclass(frozen=True)
class Config:
    """One benchmark."""

    suite: str = setting("train", "Benchmark", "What is measured.", choices=(*SUITES, ALL))
    repeats: int = setting(5, "Benchmark", "Rounds in which every row has its turn.")
    steps: int = setting(300, "Benchmark", "Train, sweep, scaling: steps of one turn.", unit="steps")
    min_seconds: float = setting(
        1.0, "Benchmark", "Attacks, augment, corruptions: a turn repeats its call for so long.", unit="seconds"
    )
    peers: str = setting(
        "auto",
        "Benchmark",
        "PyTorch variants, with commas between; for training: "
        f"{', '.join(PEERS[TRAIN])}; for attacks: {', '.join(PEERS[ATTACKS])}; for augment: "
        f"{', '.join(PEERS[AUGMENT])}; for corruptions: {', '.join(PEERS[CORRUPTIONS])}; auto: all; or none.",
    )
    output: str = setting(
        "", "Benchmark", f"JSON record; with --suite=all its folder. Default: {RESULTS}/<suite>.json."
    )
    batch_size: int = setting(
        100, "Training", "Images of one step; weak scaling: on each device.", unit="images", paper="100"
    )
    latent_dim: int = setting(256, "Training", "K, dimensions of the code.", paper="256")
    hidden_width: int = setting(1024, "Training", "Units of each of the two ReLU layers.", paper="1024")

    precision: str = setting(
        "float32", "Training", "Train, sweep, scaling: of the networks' products.", choices=PRECISIONS, paper="float32"
    )
    members: int = setting(8, "Sweep", "Models of the population.", unit="models")
    project_flops: float = setting(
        0.0, "Sweep", "Also project the paper's sweep at so many FLOP/s sustained, all devices together; 0: do not."
    )
    project_bandwidth: float = setting(
        0.0, "Sweep", "The same at so many bytes/s of memory; the slower of the two counts."
    )
    global_batch_size: int = setting(1024, "Scaling", "Strong scaling: images of one step, over all devices.")

    checkpoint: str = setting(
        "", "Attacks", "Workdir of a finished cross_entropy run of experiments.mnist_vib. Default: train a network."
    )
    dataset: str = setting("mnist", "Attacks", "Without --checkpoint: data set.", choices=("mnist", "digits"))
    num_epochs: int = setting(4, "Attacks", "Without --checkpoint: length of training.", unit="epochs")
    num_images: int = setting(1000, "Attacks", "Images of a call.", unit="images")
    cw_images: int = setting(500, "Attacks", "Images of a call of CW.", unit="images")
    slow_images: int = setting(50, "Attacks", "Images of torchattacks' DeepFool, which takes them one by one.")

    pictures: int = setting(128, "Augment", "Pictures of a batch.", unit="images")
    image_networks: str = setting(
        "auto",
        "Images",
        "wrn-<depth>-<width> or resnet-<50, 101, 152>, with commas between; auto: "
        f"{benchmark_images.CPU_NETWORKS} on a CPU, elsewhere {benchmark_images.NETWORKS}.",
    )
    image_size: int = setting(
        0, "Images", "Side of the images; 0: 32 for Wide ResNets, 224 for ResNets.", unit="pixels"
    )
    image_batch_size: int = setting(
        0, "Images", "Of training and attack; 0: 100 on a CPU, elsewhere 512 for Wide ResNets, 256 for ResNets."
    )
    image_steps: int = setting(0, "Images", "Steps of one turn; 0: 10 on a CPU, 20 elsewhere.", unit="steps")
    image_precision: str = setting(
        "auto",
        "Images",
        "Of the networks' products; auto: float32 on a CPU, bfloat16 elsewhere.",
        choices=("auto", *PRECISIONS),
    )

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value, choices = getattr(self, field.name), field.metadata["choices"]
            if choices and value not in choices:
                raise ValueError(f"--{field.name} must be one of {', '.join(choices)}, got {value!r}")
            least = 0 if field.default == 0 else 1
            if isinstance(value, int) and value < least:
                raise ValueError(f"--{field.name} must be at least {least}, got {value}")
        for name in self.image_networks.split(",") if self.image_networks != benchmark_images.AUTO else ():
            benchmark_image_rows.family(name)
        for name in ("project_flops", "project_bandwidth"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"--{name} must be at least 0 and finite, got {getattr(self, name)}")
        known = PEERS.get(self.suite, ())
        unknown = sorted(set(self.peer_names) - set(known))
        if unknown:
            raise ValueError(f"--peers must be among {', '.join((*known, 'auto', 'none'))}, got {', '.join(unknown)}")

    @property
    def peer_names(self) -> tuple[str, ...]:
        """The PyTorch variants asked for."""
        named: dict[str, tuple[str, ...]] = {"auto": PEERS.get(self.suite, ()), "none": ()}
        return named[self.peers] if self.peers in named else tuple(self.peers.split(","))


def run(
    config: Config, console: Console, *, command: str = "", matmul_sizes: Sequence[int] = ()
) -> dict[str, dict[str, Any]]:
    """Runs the suites asked for, one after another. With several processes, all call it.

    Args:
      config: the settings.
      console: where to show progress and the tables.
      command: the command line to write into the records.
      matmul_sizes: the square products tried for the matrix peak; none: as the platform needs.

    Returns:
      The records by suite.
    """
    suites = list(SUITES) if config.suite == ALL else [config.suite]
    found = {}
    for suite in suites:
        if suite in ONE_PROCESS and jax.process_count() > 1:
            message = f"{ONE_PROCESS[suite]} measured in one process, not in {jax.process_count()}"
            if config.suite == suite:
                raise ValueError(f"--suite={suite}: {message}")
            console.print(f"Without --suite={suite}: {message}.", highlight=False)
            continue
        in_folder = f"{(config.suite == ALL and config.output) or RESULTS}/{suite}.json"
        path = in_folder if config.suite == ALL else config.output or in_folder
        one = dataclasses.replace(config, suite=suite, output=path)
        found[suite] = run_suite(one, console, command=command, matmul_sizes=matmul_sizes)
    return found


def run_suite(config: Config, console: Console, *, command: str, matmul_sizes: Sequence[int]) -> dict[str, Any]:
    """Measures one suite, prints the table and writes the record to `config.output`; returns the record."""
    load = os.getloadavg()[0]
    measure, show = SUITES[config.suite]
    result = measure(config, console, matmul_sizes)
    record = {
        "experiment": "benchmark",
        "command": command,
        "config": dataclasses.asdict(config),
        "environment": records.environment(),
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
        "load_average": {"start": load, "end": os.getloadavg()[0]},
        **result,
    }
    show(console, record)
    records.write_json(config.output, record)
    console.print(f"The record is {config.output}.", highlight=False)
    return record


def main(argv: Sequence[str]) -> None:
    """Reads the flags and runs."""
    del argv
    try:
        run(flags.config_from_flags(Config), machine.console(), command=records.command("experiments.benchmark"))
    except (data.DatasetUnavailableError, ValueError, torch_worker.WorkerError) as error:
        sys.exit(f"benchmark: {error}")


def launch() -> None:
    """Defines the flags and runs."""
    machine.run_app(main, Config, __doc__ or "")
