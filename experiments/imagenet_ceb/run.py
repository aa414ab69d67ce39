"""Trains ResNets on ImageNet through the conditional entropy bottleneck, and attacks them."""

import functools
import pathlib
from typing import Any

from experiments.core import networks, objectives, optimizers, runner
from experiments.core.image_models import ImageModel, measure_models
from experiments.core.image_settings import AttackSettings
from experiments.core.image_sweep import configs
from experiments.core.recipe import Recipe, RecipeFunctions, Streamed, load_dataset
from experiments.core.records import Record
from experiments.core.session import Session
from experiments.core.workdir import new_workdir
from experiments.imagenet_ceb.settings import ImageNetConfig, SweepSettings
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


def run(config: ImageNetConfig, sweep: SweepSettings, attack: AttackSettings, session: Session) -> list[Record] | None:
    """Trains (or goes on training), evaluates and attacks one model, or one after another.

    Args:
      config: the settings.
      sweep: which models; one alone has the workdir for itself.
      attack: what is done to them afterwards.
      session: where to show progress and tables, and the command for the records.

    Returns:
      The record of each model, which is `results.json` in its workdir, or None if the run was stopped before its end
      and can be resumed.

    Raises:
      WorkdirError: the workdir holds a run with other settings.
      DatasetUnavailableError: ImageNet is not prepared.
      NonFiniteLossError: training diverged.
    """
    workdir, dataset = pathlib.Path(config.workdir or new_workdir(f"{config.dataset}-{config.name}")), load(config)
    trained, models = list[Record](), list[ImageModel]()
    for own in configs(config, sweep, workdir):
        recipe = Recipe(own, dataset, FUNCTIONS)
        found = runner.train(recipe, own.workdir, session, title=f"{own.name} on {own.dataset}")
        if found is None:
            return None
        assert found.record is not None
        trained.append(found.record)
        settled = recipe.config  # the number of microbatches, too
        models.append(ImageModel(settled, network_name(own), functools.partial(Recipe, settled, dataset, FUNCTIONS)))
    if attack.num_attack_images:
        measure_models(models, [attack], pathlib.Path(sweep.results or workdir / "results"), session, attack=attack)
    session.console.print(f"Records are in {workdir}.")
    return trained
