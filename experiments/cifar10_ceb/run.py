"""Train Wide ResNets through the conditional entropy bottleneck, attack and corrupt them, and draw Figures 1 and 2.

Paper:    Fischer and Alemi, CEB Improves Model Robustness (2020): section 3.1, Figures 1 and 2.
Run:      python -m experiments.cifar10_ceb                                  digits, no download, two minutes
          python -m experiments.cifar10_ceb --preset=small --rhos=2,3,4,6    as measured here, an hour and a half
          python -m experiments.cifar10_ceb --preset=paper --precision=bfloat16 --rhos=1,2,3,4,5
          python -m experiments.cifar10_ceb --preset=paper --scale_epochs=0.02 --objective=vib --rho=3
Does:     trains cross-entropy (unless --nobaseline) and the objective, at each of --rhos with each seed as one
          population, or at --rho alone sharded over all devices. Then PGD (L-inf, L2, targeted and not) with the mean
          code, as the paper, and beside it EOT over samples of z, a margin loss, twice the steps, transfer from another
          model and Square; and the corruptions. A model with a record is not attacked again.
Units:    radii are levels of 255.
Cost:     the paper preset is 75 million images for WRN-28-10 and each rho: days of one GPU. --scale_epochs and
          --scale_width shrink a preset; the record keeps them.
Expect:   the paper: 93.9 to 95.1 % clean for rho >= 1, no model below; under L-inf PGD at 8 the deterministic network
          8 %, lower rho better. What was measured here stands in experiments/results/cifar10_ceb/table.md.
Leaves:   a workdir for each model, and a record for each, table.md and figures in --results.
"""

import dataclasses
import json
import pathlib
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.markdown import Markdown

from experiments.cifar10_ceb import table as cifar10_ceb_table
from experiments.cifar10_ceb.recipe import FUNCTIONS, load
from experiments.cifar10_ceb.settings import Cifar10Config, SweepSettings, preset
from experiments.core import app as machine
from experiments.core import flags, records, runner, trained_model
from experiments.core.app import Session
from experiments.core.image_attacks_config import AttackSettings
from experiments.core.image_measure import measure_models
from experiments.core.population import train_in_workdirs
from experiments.core.recipe import Recipe
from ib_jax import data, training

NAME = "cifar10_ceb"
STOPPED = 143  # the exit status of a process ended by SIGTERM


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


def run(
    config: Cifar10Config, sweep: SweepSettings, attack: AttackSettings, console: Console, *, command: str = ""
) -> pathlib.Path | None:
    """Trains what is not trained, measures what has no record, and makes the table and the figures.

    Args:
      config: the settings of a model.
      sweep: which models.
      attack: what is done to them.
      console: where to show progress and tables.
      command: the command line to write into the records.

    Returns:
      The folder of the records, or None if training was stopped and can be resumed.

    Raises:
      ConfigMismatchError: a workdir or a record was made with other settings.
      NonFiniteLossError: training diverged.
    """
    workdir = pathlib.Path(config.workdir or records.new_workdir(f"{config.dataset}-ceb"))
    results = pathlib.Path(sweep.results or workdir / "results")
    every, dataset = models(config, sweep, workdir), load(config)
    for model in every:
        records.check_workdir(pathlib.Path(model.workdir), model)
    if not _train(every, dataset, sweep, workdir, Session(NAME, command, console)):
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


def main(argv: Sequence[str]) -> None:
    """Reads the flags and runs."""
    del argv
    console = machine.console()
    try:
        config = flags.config_from_flags(
            Cifar10Config,
            lambda given: preset(given.preset, scale_epochs=given.scale_epochs, scale_width=given.scale_width),
        )
        sweep, attack = flags.config_from_flags(SweepSettings), flags.config_from_flags(AttackSettings)
        finished = run(config, sweep, attack, console, command=records.command(f"experiments.{NAME}"))
    except (training.NonFiniteLossError, data.DatasetUnavailableError, ValueError, json.JSONDecodeError) as error:
        sys.exit(f"{NAME}: {error}")
    if finished is None:
        sys.exit(STOPPED)


def launch() -> None:
    """Defines the flags and runs."""
    machine.run_app(main, Cifar10Config, __doc__ or "", more=(SweepSettings, AttackSettings))
