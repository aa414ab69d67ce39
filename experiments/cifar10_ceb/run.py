"""Trains Wide ResNets through the conditional entropy bottleneck, attacks and corrupts them."""

import functools
import pathlib
from collections.abc import Sequence

from experiments.cifar10_ceb.settings import Cifar10Config, SweepSettings
from experiments.core import networks, objectives, optimizers, runner, trained_model
from experiments.core.adversary import NONE
from experiments.core.image_models import ImageModel, measure_models
from experiments.core.image_settings import AttackSettings
from experiments.core.image_sweep import configs
from experiments.core.population import train_in_workdirs
from experiments.core.recipe import Recipe, RecipeFunctions, load_dataset, with_checksum
from experiments.core.session import Session
from experiments.core.workdir import check_workdir, new_workdir
from ib_jax import augment, data
from ib_jax.data import own
from ib_jax.training import Augment

load = load_dataset
MEAN_COLOUR = (125, 123, 114)
"""Of CIFAR-10's training images, which the original code fills with: it is black after normalisation."""


def augmentation(config: Cifar10Config) -> Augment:
    """What is done to the training images, on the device."""
    if config.augment == "none":
        return lambda keys, images: images
    steps = [augment.random_flip(), augment.pad_crop(4, fill=MEAN_COLOUR)]
    if config.augment != "flip_crop":  # in the order of AutoAugment's own code
        policy = {"autoaugment": "cifar10", "autoaugment_95": "cifar10_95"}[config.augment]
        steps = [augment.auto_augment(policy), *steps, augment.cutout(16, fill=MEAN_COLOUR)]
    return augment.batched(augment.compose(*steps))


def network_name(config: Cifar10Config) -> str:
    """What the architecture is called, such as "WRN-28-10"."""
    augmented = "" if config.augment == "none" else f", {config.augment}"
    normalised = "" if config.norm == "none" else f", {config.norm} norm"
    stem = "" if config.stem_stride == 1 else f", stem stride {config.stem_stride}"
    return f"WRN-{config.depth}-{config.width}{stem}{normalised}{augmented}"


FUNCTIONS = RecipeFunctions(networks.wide_resnet, optimizers.stepped_adam, objectives.jump_start, augmentation)


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
    workdir = pathlib.Path(config.workdir or new_workdir(f"{own.stem(config.dataset)}-ceb"))
    results = pathlib.Path(sweep.results or workdir / "results")
    dataset = load(config)
    every = configs(with_checksum(config, dataset), sweep, workdir)
    for each in every:
        check_workdir(each.workdir, each)
    if not _train(every, dataset, sweep, workdir, session):
        return None
    if not attack.num_attack_images:
        session.console.print(f"Models are in {workdir}; none is attacked.")
        return results
    models = [
        ImageModel(each, network_name(each), functools.partial(Recipe, each, dataset, FUNCTIONS)) for each in every
    ]
    measure_models(models, [attack], results, session, attack=attack)
    session.publish(results)
    return results


def _train(
    every: Sequence[Cifar10Config], dataset: data.Dataset, sweep: SweepSettings, workdir: pathlib.Path, session: Session
) -> bool:
    """Whether all are trained now: those of an objective as a population, one that stands alone over all devices."""
    waiting = [config for config in every if not trained_model.is_finished(config.workdir)]
    for kind in dict.fromkeys((config.objective, config.adversary) for config in waiting):
        group = [config for config in waiting if (config.objective, config.adversary) == kind]
        first, recipe = group[0], Recipe(group[0], dataset, FUNCTIONS)
        trained: object
        if len(group) > 1:
            name = "_".join(part for part in kind if part != NONE)
            title, folder = f"{len(group)} models of {name}", workdir / f"population_{name}"
            vary = ("rho", "seed")
            trained = train_in_workdirs(recipe, group, folder, session, vary=vary, title=title, layout=sweep)
        else:
            session.console.rule(f"{first.name}, seed {first.seed}")
            trained = runner.train(recipe, first.workdir, session, title=f"{first.name} on {dataset.name}")
        if trained is None:
            return False
    return True
