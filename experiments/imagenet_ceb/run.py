"""Trains a ResNet on ImageNet through the conditional entropy bottleneck, and attacks it."""

import dataclasses
import pathlib

from experiments.core import runner, trained_model
from experiments.core.app import Session
from experiments.core.image_attacks_config import AttackSettings
from experiments.core.image_measure import measure_models
from experiments.core.recipe import Recipe
from experiments.core.records import Record
from experiments.core.workdir import new_workdir
from experiments.imagenet_ceb.recipe import FUNCTIONS, load
from experiments.imagenet_ceb.settings import ImageNetConfig

NAME = "imagenet_ceb"


def run(config: ImageNetConfig, attack: AttackSettings, session: Session) -> Record | None:
    """Trains (or goes on training), evaluates and attacks one model.

    Args:
      config: the settings.
      attack: what is done to it afterwards.
      session: where to show progress and tables, and the command for the records.

    Returns:
      The record, which is `results.json`, or None if the run was stopped before its end and can be resumed.

    Raises:
      WorkdirError: the workdir holds a run with other settings.
      DatasetUnavailableError: ImageNet is not prepared.
      NonFiniteLossError: training diverged.
    """
    console, command = session.console, session.command
    workdir = pathlib.Path(config.workdir or new_workdir(f"{config.dataset}-{config.name}"))
    config = dataclasses.replace(config, workdir=str(workdir))
    recipe, title = Recipe(config, load(config), FUNCTIONS), f"{config.name} on {config.dataset}"
    if runner.train(recipe, workdir, session, title=title) is None:
        return None
    measure_models([recipe], attack, workdir / "results", console, experiment=NAME, command=command)
    console.print(f"Records are in {workdir}.", highlight=False)
    return trained_model.read_results(workdir)
