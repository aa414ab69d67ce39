"""Train Wide ResNets through the conditional entropy bottleneck.

Paper:    Fischer and Alemi, CEB Improves Model Robustness (2020): section 3.1, Figures 1 and 2.
Run:      python -m experiments.cifar10_ceb                             digits, no download, under a minute
          python -m experiments.cifar10_ceb --preset=small --objective=ceb --rho=3
          python -m experiments.cifar10_ceb --preset=paper --precision=bfloat16
"""

import dataclasses
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from experiments import flags, image_recipe, image_run, machine, records
from experiments.cifar10_ceb_config import Cifar10Config, preset
from experiments.recipe import Recipe
from ib_jax import data, training

STOPPED = 143  # the exit status of a process ended by SIGTERM


def load(config: Cifar10Config) -> data.Dataset:
    """The data set of a run, cut to the images that are trained on."""
    dataset = data.load(
        config.dataset, data_dir=config.data_dir or None, num_validation=config.num_validation, seed=config.seed
    )
    if not config.num_train_images:
        return dataset
    return dataset._replace(train=data.Split(*(field[: config.num_train_images] for field in dataset.train)))


def run(config: Cifar10Config, console: Console, *, command: str = "") -> dict[str, Any] | None:
    """Trains one model and evaluates it; see `image_run.train_model`."""
    workdir = pathlib.Path(config.workdir or records.new_workdir(f"{config.dataset}-{config.name}"))
    config = dataclasses.replace(config, workdir=str(workdir))
    recipe = Recipe(config, load(config), image_recipe.CIFAR10)
    return image_run.train_model(recipe, console, experiment="cifar10_ceb", command=command)


def main(argv: Sequence[str]) -> None:
    """Reads the flags and runs."""
    del argv
    console = machine.console()
    try:
        config = flags.config_from_flags(
            Cifar10Config,
            lambda given: preset(given.preset, scale_epochs=given.scale_epochs, scale_width=given.scale_width),
        )
        finished = run(config, console, command=records.command("experiments.cifar10_ceb"))
    except (training.NonFiniteLossError, data.DatasetUnavailableError, ValueError) as error:
        sys.exit(f"cifar10_ceb: {error}")
    if finished is None:
        sys.exit(STOPPED)


if __name__ == "__main__":
    machine.run_app(main, Cifar10Config, __doc__ or "")
