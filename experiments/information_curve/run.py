"""Trains populations over beta, and draws the information curve."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markdown import Markdown

from experiments.core import records
from experiments.core.app import Session
from experiments.core.objectives import strength_name
from experiments.core.population import PopulationTrainer, curves
from experiments.core.recipe import Recipe, load_dataset
from experiments.core.settings import GRAIN, SettingError
from experiments.core.trained_model import TrainedModel
from experiments.core.workdir import check_workdir, environment, new_workdir
from experiments.information_curve.measure import AttackPopulationEvaluator
from experiments.information_curve.settings import CurveConfig, member_settings
from experiments.information_curve.table import render
from experiments.mnist_vib.settings import Config
from ib_jax import training


def run(curve: CurveConfig, config: Config, session: Session) -> list[dict[str, Any]] | None:
    """Trains every population (or goes on), evaluates and attacks it, and writes records, table and figures.

    Args:
      curve: which strengths, seeds and sizes.
      config: settings of every model, but for those.
      session: where to show progress and tables, and the command for the records.

    Returns:
      The records, one for each K, or None if the run was stopped before its end and can be resumed.

    Raises:
      WorkdirError: the workdir holds a run with other settings.
      NonFiniteLossError: every member of a population diverged.
      SettingError: the settings do not fit each other.
    """
    console, command = session.console, session.command
    check(curve, config)
    workdir = pathlib.Path(config.workdir or new_workdir(f"{config.dataset}-curve"))
    for each in (curve, config):
        check_workdir(workdir, each)
    dataset, hyperparams = load_dataset(config), member_settings(curve, config)
    settings = dataclasses.asdict(config) | dataclasses.asdict(curve)
    found = []
    for latent_dim in curve.latent_dims:
        recipe = Recipe(dataclasses.replace(config, latent_dim=latent_dim), dataset)
        trainer = PopulationTrainer(
            recipe,
            hyperparams,
            workdir / f"K{latent_dim}",
            Session("information_curve", command, console),
            title=f"K = {latent_dim}",
            layout=curve,
            make_evaluator=AttackPopulationEvaluator,
        )
        records.write_json(workdir / "config.json", settings)
        trained = trainer.train()
        if trained is None:
            return None
        found.append(_record(recipe, trained, trainer, settings, command))
    _write(found, pathlib.Path(curve.results or workdir / "results"), console)
    return found


def check(curve: CurveConfig, config: Config) -> None:
    """Refuses settings that a population cannot have.

    Raises:
      SettingError: the message names the flag.
    """
    if not strength_name(config.objective):
        raise SettingError(f"--objective must have a strength to draw a curve over, got {config.objective}")
    if config.objective in ("ceb", "consistent_ceb") and not all(0 < beta < 1 for beta in curve.betas):
        raise SettingError(f"--betas must be in (0, 1) for {config.objective}, got {curve.betas}; try 1e-9..0.1")
    if config.schedule != "constant" and not all(0 < beta < 1 for beta in curve.betas):
        raise SettingError(f"--betas must be in (0, 1) with --schedule={config.schedule}, got {curve.betas}")
    if config.objective == "label_smoothing" and max(curve.betas) > 1:
        raise SettingError(f"--betas must be at most 1 for label_smoothing, got {curve.betas}")
    if config.input_pipeline == GRAIN:
        raise SettingError("--input_pipeline must be resident: the members of a population share the data on a device")


def _record(
    recipe: Recipe,
    trained: Sequence[TrainedModel],
    trainer: PopulationTrainer,
    settings: Mapping[str, Any],
    command: str,
) -> dict[str, Any]:
    hidden = ("workdir", "results", "data_dir")  # of this machine
    return {
        "experiment": "information_curve",
        "command": command,
        "config": {name: value for name, value in settings.items() if name not in hidden}
        | {"latent_dim": recipe.config.latent_dim},
        "environment": environment(),
        "num_members": len(trained),
        "plan": trainer.plan.message,
        "members_at_once": trainer.members_at_once,
        "steps": recipe.num_steps,
        "training_seconds": trainer.seconds,
        "images_per_second": len(trained) * recipe.num_steps * recipe.config.batch_size / max(trainer.seconds, 1e-9),
        "members": [model.settings | model.summary | {"history": curves(model.history)} for model in trained],
    }


def _write(found: Sequence[Mapping[str, Any]], results: pathlib.Path, console: Console) -> None:
    for record in found:
        records.write_json(results / f"K{record['config']['latent_dim']}.json", record)
        fallen = [member for member in record["members"] if member["diverged_at"] >= 0]
        for member in fallen:
            console.print(
                f"K = {record['config']['latent_dim']}, beta = {member['beta']:g}, seed {member['seed']} diverged at "
                f"step {member['diverged_at']}; its numbers are those of the epoch before.",
                style="yellow",
                highlight=False,
            )
    if not training.is_main():
        return
    from experiments.information_curve import figures as curve_figures  # matplotlib takes a second to import

    plain = [json.loads((results / f"K{record['config']['latent_dim']}.json").read_text()) for record in found]
    table = render(plain)
    (results / "table.md").write_text(table)
    curve_figures.information_curve(results / "figure1.png", plain)
    curve_figures.information_plane(results / "information_plane.png", plain)
    console.print(Markdown(table))
    console.print(f"Records, table and figures are in {results}.", highlight=False)
