"""Trains a ResNet on ImageNet through the conditional entropy bottleneck, and attacks it."""

import dataclasses
import pathlib
from typing import Any

from experiments.core import networks, objectives, optimizers, runner
from experiments.core.image_models import ImageModel, measure_models
from experiments.core.image_settings import AttackSettings
from experiments.core.recipe import Recipe, RecipeFunctions, Streamed, load_dataset
from experiments.core.records import Record
from experiments.core.session import Session
from experiments.core.workdir import new_workdir
from experiments.imagenet_ceb.settings import ImageNetConfig
from ib_jax import augment, data
from ib_jax.training import Augment


def load(config: ImageNetConfig) -> data.Dataset | Streamed:
    """The images of a run: ImageNet as sources, the small sets as arrays."""
    if config.dataset != "imagenet2012":
        return load_dataset(config)
    sized: dict[str, Any] = {"data_dir": config.data_dir or None, "num_validation": config.num_validation}
    sized |= {"seed": config.seed, "image_size": config.image_size}
    return Streamed(
        name=config.dataset,
        train=data.open_train(config.dataset, crop_seed=config.seed, **sized),
        validation=data.open_split(config.dataset, "held_out", **sized) if config.num_validation else None,
        test=data.open_split(config.dataset, "validation", **sized),  # what results are reported on
        num_classes=1000,
        image_shape=(config.image_size, config.image_size, 3),
    )


def augmentation(config: ImageNetConfig) -> Augment:
    """What is done to the training images, on the device."""
    if config.augment == "none":
        return lambda keys, images: images
    policy = [augment.auto_augment("imagenet")] if config.augment == "autoaugment" else []
    return augment.batched(augment.compose(augment.random_flip(), *policy))


def network_name(config: ImageNetConfig) -> str:
    """What the architecture is called, such as "ResNet50x2-aa"."""
    wide = "" if config.width == 1 else f"x{config.width:g}"
    augmented = {"autoaugment": "", "flip": "-aa"}.get(config.augment, f", {config.augment} augmented")
    return f"ResNet{config.depth}{wide}{augmented}" + ("" if config.image_size == 224 else f", {config.image_size} px")


FUNCTIONS = RecipeFunctions(networks.resnet, optimizers.stepped_sgd, objectives.jump_start, augmentation)


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
    recipe = Recipe(config, load(config), FUNCTIONS)
    config = recipe.config  # in which the number of microbatches is settled
    trained = runner.train(recipe, workdir, session, title=f"{config.name} on {config.dataset}")
    if trained is None:
        return None
    if attack.num_attack_images:
        model = ImageModel(config, network_name(config), lambda: recipe)
        measure_models([model], [attack], workdir / "results", session, attack=attack)
    session.console.print(f"Records are in {workdir}.")
    return trained.record
