"""Trains Wide ResNets through the conditional entropy bottleneck, attacks and corrupts them."""

import dataclasses
import functools
import pathlib
from collections.abc import Sequence

from experiments.cifar10_ceb.recipe import FUNCTIONS, load, network_name
from experiments.cifar10_ceb.settings import Cifar10Config, SweepSettings
from experiments.core import records, runner, trained_model
from experiments.core.image_models import ImageModel, first_images, measure_models
from experiments.core.image_settings import AttackSettings
from experiments.core.population import train_in_workdirs
from experiments.core.recipe import Recipe
from experiments.core.session import Session
from experiments.core.workdir import check_workdir, new_workdir
from ib_jax import data


def configs(config: Cifar10Config, sweep: SweepSettings, workdir: pathlib.Path) -> list[Cifar10Config]:
    """The settings of every model, each with its workdir."""
    found = []
    for seed in range(config.seed, config.seed + sweep.num_seeds):
        models = [("cross_entropy", config.rho)] if sweep.baseline and config.stochastic else []
        models += [(config.objective, rho) for rho in sweep.rhos or (config.rho,)]
        for objective, rho in models:
            model = dataclasses.replace(config, objective=objective, rho=rho, seed=seed)
            found.append(dataclasses.replace(model, workdir=str(workdir / f"{model.name}_seed{seed}")))
    return found


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
    for each in every:
        check_workdir(each.workdir, each)
    if not _train(every, dataset, sweep, workdir, session):
        return None
    if not attack.num_attack_images:
        session.console.print(f"Models are in {workdir}; none is attacked.", highlight=False)
        return results
    models = [image_model(each, dataset) for each in every]
    images = functools.partial(first_images, models[0], attack.num_corrupted_images)
    measure_models(models, attack, results, session, attack=attack, images=images)
    from experiments.cifar10_ceb.report import report  # pandas and matplotlib take a second to import
    from experiments.core import render

    render.write_report(report, records.load(results), results, session.console)
    session.console.print(f"Records, table and figures are in {results}.", highlight=False)
    return results


def image_model(config: Cifar10Config, dataset: data.Dataset) -> ImageModel:
    """A trained model of these settings."""
    file = f"{config.name}_seed{config.seed}"
    return ImageModel(config, network_name(config), file, lambda: Recipe(config, dataset, FUNCTIONS))


def _train(
    every: Sequence[Cifar10Config], dataset: data.Dataset, sweep: SweepSettings, workdir: pathlib.Path, session: Session
) -> bool:
    """Whether all are trained now."""
    waiting = [config for config in every if not trained_model.is_finished(config.workdir)]
    for objective in dict.fromkeys(config.objective for config in waiting):
        group = [config for config in waiting if config.objective == objective]
        recipe, first = Recipe(group[0], dataset, FUNCTIONS), group[0]
        trained: object
        if len(group) > 1:
            trained = train_in_workdirs(
                recipe,
                group,
                workdir / f"population_{objective}",
                session,
                vary=("rho", "seed"),
                title=f"{len(group)} models of {objective}",
                layout=sweep,
            )
        else:
            session.console.rule(f"{first.name}, seed {first.seed}")
            trained = runner.train(recipe, first.workdir, session, title=f"{first.name} on {first.dataset}")
        if trained is None:
            return False
    return True
