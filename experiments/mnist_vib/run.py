"""Trains a bottleneck classifier, attacks it and draws it."""

import pathlib

import numpy as np

from experiments.core import runner
from experiments.core.recipe import Recipe, load_dataset
from experiments.core.records import Record
from experiments.core.session import Session
from experiments.core.workdir import new_workdir
from experiments.mnist_vib.attack import AttackEvaluator
from experiments.mnist_vib.settings import Config
from ib_jax import training


def run(config: Config, session: Session) -> Record | None:
    """Trains (or goes on training), evaluates, attacks, draws and writes the records.

    Args:
      config: the settings.
      session: where to show progress, and what the record says of the command.

    Returns:
      The record, which is `results.json`, or None if the run was stopped before its end and can be resumed.

    Raises:
      WorkdirError: the workdir holds a run with other settings.
      NonFiniteLossError: training diverged.
    """
    workdir = pathlib.Path(config.workdir or new_workdir(config.dataset))
    recipe = Recipe(config, load_dataset(config))
    evaluator = AttackEvaluator(recipe)
    trained = runner.train(recipe, workdir, session, evaluator=evaluator, title=title_of(config), again=True)
    if trained is None:
        return None
    record = trained.record
    assert record is not None
    if training.is_main():
        np.savez_compressed(workdir / "per_example.npz", allow_pickle=False, **evaluator.per_example)
    if config.figures:
        from experiments.core import render  # pandas and matplotlib take a second to import
        from experiments.mnist_vib.report import report

        render.write_report(report, [record], workdir, session.console)
    session.console.print(f"Record, table and figures are in {workdir}.", highlight=False)
    return record


def title_of(config: Config) -> str:
    """What a run is called on the terminal."""
    strength = f", {config.strength}" if config.stochastic else ""
    return f"{config.objective} on {config.dataset}, K = {config.latent_dim}{strength}"
