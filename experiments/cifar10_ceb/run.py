"""Trains Wide ResNets through the conditional entropy bottleneck, attacks and corrupts them."""

import dataclasses
import pathlib
from collections.abc import Sequence

from rich.markdown import Markdown

from experiments.cifar10_ceb import table as cifar10_ceb_table
from experiments.cifar10_ceb.recipe import FUNCTIONS, load
from experiments.cifar10_ceb.settings import Cifar10Config, SweepSettings
from experiments.core import runner, trained_model
from experiments.core.app import Session
from experiments.core.image_attacks_config import AttackSettings
from experiments.core.image_measure import measure_models
from experiments.core.population import train_in_workdirs
from experiments.core.recipe import Recipe
from experiments.core.workdir import check_workdir, new_workdir
from ib_jax import data, training

NAME = "cifar10_ceb"


def models(config: Cifar10Config, sweep: SweepSettings, workdir: pathlib.Path) -> list[Cifar10Config]:
    """The settings of every model, each with its workdir."""
    found = []
    for seed in range(config.seed, config.seed + sweep.num_seeds):
        kinds = [("cross_entropy", config.rho)] if sweep.baseline and config.stochastic else []
        kinds += [(config.objective, rho) for rho in sweep.rhos or (config.rho,)]
        for objective, rho in kinds:
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
    console, command = session.console, session.command
    workdir = pathlib.Path(config.workdir or new_workdir(f"{config.dataset}-ceb"))
    results = pathlib.Path(sweep.results or workdir / "results")
    every, dataset = models(config, sweep, workdir), load(config)
    for model in every:
        check_workdir(model.workdir, model)
    if not _train(every, dataset, sweep, workdir, session):
        return None
    recipes = [Recipe(model, dataset, FUNCTIONS) for model in every]
    measure_models(recipes, attack, results, console, experiment=NAME, command=command)
    if training.is_main():
        console.print(Markdown(cifar10_ceb_table.make(results)))
        console.print(f"Records, table and figures are in {results}.", highlight=False)
    return results


def _train(
    every: Sequence[Cifar10Config], dataset: data.Dataset, sweep: SweepSettings, workdir: pathlib.Path, session: Session
) -> bool:
    """Whether all are trained now."""
    waiting = [model for model in every if not trained_model.is_finished(model.workdir)]
    for objective in dict.fromkeys(model.objective for model in waiting):
        group = [model for model in waiting if model.objective == objective]
        recipe, title = Recipe(group[0], dataset, FUNCTIONS), f"{len(group)} models of {objective}"
        trained: object
        if len(group) > 1:
            trained = train_in_workdirs(
                recipe,
                group,
                workdir / f"population_{objective}",
                session,
                vary=("rho", "seed"),
                title=title,
                layout=sweep,
            )
        else:
            session.console.rule(f"{group[0].name}, seed {group[0].seed}")
            title = f"{group[0].name} on {group[0].dataset}"
            trained = runner.train(recipe, group[0].workdir, session, title=title)
        if trained is None:
            return False
    return True
