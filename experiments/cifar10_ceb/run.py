"""Trains Wide ResNets through the conditional entropy bottleneck, attacks and corrupts them."""

import dataclasses
import functools
import pathlib
from collections.abc import Sequence

from experiments.cifar10_ceb.settings import Cifar10Config, SweepSettings
from experiments.core import networks, objectives, optimizers, runner, trained_model
from experiments.core.image_models import ImageModel, measure_models
from experiments.core.image_settings import AttackSettings
from experiments.core.population import train_in_workdirs
from experiments.core.recipe import Recipe, RecipeFunctions, load_dataset
from experiments.core.session import Session
from experiments.core.workdir import check_workdir, new_workdir
from ib_jax import augment, data
from ib_jax.training import Augment

load = load_dataset


def augmentation(config: Cifar10Config) -> Augment:
    """What is done to the training images, on the device."""
    if config.augment == "none":
        return lambda keys, images: images
    steps = [augment.random_flip(), augment.pad_crop(4)]
    if config.augment != "flip_crop":
        policy = {"autoaugment": "cifar10", "autoaugment_95": "cifar10_95"}[config.augment]
        steps += [augment.auto_augment(policy), augment.cutout(16)]
    return augment.batched(augment.compose(*steps))


def network_name(config: Cifar10Config) -> str:
    """What the architecture is called, such as "WRN-28-10"."""
    augmented = "" if config.augment == "none" else f", {config.augment}"
    normalised = "" if config.norm == "none" else f", {config.norm} norm"
    return f"WRN-{config.depth}-{config.width}{normalised}{augmented}"


FUNCTIONS = RecipeFunctions(networks.wide_resnet, optimizers.stepped_adam, objectives.jump_start, augmentation)


def configs(config: Cifar10Config, sweep: SweepSettings, workdir: pathlib.Path) -> list[Cifar10Config]:
    """The settings of every model, each with its workdir."""
    kinds = [("cross_entropy", config.rho)] if sweep.baseline and config.stochastic else []
    kinds += [(config.objective, rho) for rho in sweep.rhos or (config.rho,)]
    every = [
        dataclasses.replace(config, objective=objective, rho=rho, seed=seed)
        for seed in range(config.seed, config.seed + sweep.num_seeds)
        for objective, rho in kinds
    ]
    return [dataclasses.replace(own, workdir=str(workdir / f"{own.name}_seed{own.seed}")) for own in every]


def run(config: Cifar10Config, sweep: SweepSettings, attack: AttackSettings, session: Session) -> pathlib.Path | None:
    """Trains what is not trained, measures what has no record, and makes the table and the figures.

    Args:
      config: the settings of a model.
      sweep: which models.
      attack: what is done to them.
      session: where to show progress and tables, and the command for the records.

    Returns:
      The folder of the records, or None if training was stopped and can be resumed.

    Raises:
      WorkdirError: a workdir or a record was made with other settings.
      NonFiniteLossError: training diverged.
    """
    workdir = pathlib.Path(config.workdir or new_workdir(f"{config.dataset}-ceb"))
    results = pathlib.Path(sweep.results or workdir / "results")
    every, dataset = configs(config, sweep, workdir), load(config)
    for own in every:
        check_workdir(own.workdir, own)
    if not _train(every, dataset, sweep, workdir, session):
        return None
    if not attack.num_attack_images:
        session.console.print(f"Models are in {workdir}; none is attacked.")
        return results
    models = [ImageModel(own, network_name(own), functools.partial(Recipe, own, dataset, FUNCTIONS)) for own in every]
    measure_models(models, [attack], results, session, attack=attack)
    session.publish(results)
    return results


def _train(
    every: Sequence[Cifar10Config], dataset: data.Dataset, sweep: SweepSettings, workdir: pathlib.Path, session: Session
) -> bool:
    """Whether all are trained now: those of an objective as a population, one that stands alone over all devices."""
    waiting = [config for config in every if not trained_model.is_finished(config.workdir)]
    for objective in dict.fromkeys(config.objective for config in waiting):
        group = [config for config in waiting if config.objective == objective]
        first, recipe = group[0], Recipe(group[0], dataset, FUNCTIONS)
        trained: object
        if len(group) > 1:
            title, folder = f"{len(group)} models of {objective}", workdir / f"population_{objective}"
            vary = ("rho", "seed")
            trained = train_in_workdirs(recipe, group, folder, session, vary=vary, title=title, layout=sweep)
        else:
            session.console.rule(f"{first.name}, seed {first.seed}")
            trained = runner.train(recipe, first.workdir, session, title=f"{first.name} on {first.dataset}")
        if trained is None:
            return False
    return True
