"""Trains a ResNet on ImageNet through the conditional entropy bottleneck, and attacks it."""

import dataclasses
import functools
import pathlib

from experiments.core import runner
from experiments.core.image_models import ImageModel, first_images, measure_models
from experiments.core.image_settings import AttackSettings
from experiments.core.recipe import Recipe
from experiments.core.records import Record
from experiments.core.session import Session
from experiments.core.workdir import new_workdir
from experiments.imagenet_ceb.recipe import FUNCTIONS, load, network_name
from experiments.imagenet_ceb.settings import ImageNetConfig


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
    workdir = pathlib.Path(config.workdir or new_workdir(f"{config.dataset}-{config.name}"))
    config = dataclasses.replace(config, workdir=str(workdir))
    recipe, title = Recipe(config, load(config), FUNCTIONS), f"{config.name} on {config.dataset}"
    trained = runner.train(recipe, workdir, session, title=title)
    if trained is None:
        return None
    if attack.num_attack_images:
        model = ImageModel(config, network_name(config), f"{config.name}_seed{config.seed}", lambda: recipe)
        images = functools.partial(first_images, model, attack.num_corrupted_images)
        measure_models([model], attack, workdir / "results", session, attack=attack, images=images)
    session.console.print(f"Records are in {workdir}.", highlight=False)
    return trained.record
