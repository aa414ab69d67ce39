"""Train ResNets on ImageNet through the conditional entropy bottleneck, and attack them.

Paper:    Fischer and Alemi, CEB Improves Model Robustness (2020): section 3.2, Figures 3 and 4, Table 1.
Run:      python -m experiments.imagenet_ceb                              a narrow ResNet on digits, to see it run
          python -m experiments.imagenet_ceb --preset=paper --rho=3
          python -m experiments.imagenet_ceb --preset=paper --objective=consistent_ceb --width=2 --rho=3
          python -m experiments.imagenet_ceb --preset=paper --objective=cross_entropy --augment=flip
          python -m experiments.imagenet_ceb --preset=paper --scale_epochs=0.1 --batch_size=1024
          python -m experiments.corruptions --workdirs=DIR,DIR            ImageNet-C and ImageNet-A for all of them
Does:     trains one model over all devices of all processes, batch normalisation in step; random crops on the host,
          flips and AutoAugment on the device. Then targeted and untargeted PGD, transfer, Square and the rest of
          `experiments.core.image_attacks`, if --num_attack_images is positive.
Needs:    imagenet2012 prepared by tensorflow-datasets as array_record; the error says how where it is not.
Units:    radii are levels of 255. The paper's epsilon is 16 for both norms; it does not say in which units for L2.
Cost:     the paper's 270 epochs are 346 million images for each model: 12 hours of a TPU v3-8 at 8,000 images/s.
Expect:   the paper: ResNet-50 without AutoAugment 24.0 % error with cross-entropy, 22.8 % with CEB. Not measured here.
Leaves:   config.json, metrics.jsonl, results.json and checkpoints in the workdir, and record.json of the attacks.
"""

import dataclasses
import json
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from experiments.core import app as machine
from experiments.core import flags, records, runner, trained_model
from experiments.core.app import Session
from experiments.core.image_attacks_config import AttackSettings
from experiments.core.image_measure import measure_models
from experiments.core.recipe import Recipe
from experiments.imagenet_ceb.recipe import FUNCTIONS, load
from experiments.imagenet_ceb.settings import ImageNetConfig, preset
from ib_jax import data, training

NAME = "imagenet_ceb"
STOPPED = 143  # the exit status of a process ended by SIGTERM


def run(
    config: ImageNetConfig, attack: AttackSettings, console: Console, *, command: str = ""
) -> dict[str, Any] | None:
    """Trains (or goes on training), evaluates and attacks one model.

    Args:
      config: the settings.
      attack: what is done to it afterwards.
      console: where to show progress and tables.
      command: the command line to write into the record.

    Returns:
      The contents of `results.json`, or None if the run was stopped before its end and can be resumed.

    Raises:
      ConfigMismatchError: the workdir holds a run with other settings.
      DatasetUnavailableError: ImageNet is not prepared.
      NonFiniteLossError: training diverged.
    """
    workdir = pathlib.Path(config.workdir or records.new_workdir(f"{config.dataset}-{config.name}"))
    config = dataclasses.replace(config, workdir=str(workdir))
    recipe, title = Recipe(config, load(config), FUNCTIONS), f"{config.name} on {config.dataset}"
    if runner.train(recipe, workdir, Session(NAME, command, console), title=title) is None:
        return None
    measure_models([recipe], attack, workdir / "results", console, experiment=NAME, command=command)
    console.print(f"Records are in {workdir}.", highlight=False)
    return trained_model.read_results(workdir)


def main(argv: Sequence[str]) -> None:
    """Reads the flags and runs."""
    del argv
    console = machine.console()
    try:
        config = flags.config_from_flags(
            ImageNetConfig,
            lambda given: preset(given.preset, scale_epochs=given.scale_epochs, scale_width=given.scale_width),
        )
        attack = flags.config_from_flags(AttackSettings, lambda given: {"pgd_path": 2.5, "num_attack_images": 0})
        finished = run(config, attack, console, command=records.command(f"experiments.{NAME}"))
    except (training.NonFiniteLossError, data.DatasetUnavailableError, ValueError, json.JSONDecodeError) as error:
        sys.exit(f"{NAME}: {error}")
    if finished is None:
        sys.exit(STOPPED)


def launch() -> None:
    """Defines the flags and runs."""
    machine.run_app(main, ImageNetConfig, __doc__ or "", more=(AttackSettings,))
