"""Trains a bottleneck classifier, attacks it and draws it."""

import dataclasses
import functools
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from experiments.core import progress as show
from experiments.core import records
from experiments.core.app import Session
from experiments.core.recipe import Recipe
from experiments.core.runner import train
from experiments.core.settings import refusing
from experiments.core.workdir import check_workdir, environment, new_workdir, write_config
from experiments.mnist_vib.attack import AttackEvaluator
from experiments.mnist_vib.settings import Config
from ib_jax import data, training
from ib_jax.training import parallel
from ib_jax.types import Params


def run(config: Config, session: Session) -> dict[str, Any] | None:
    """Trains (or goes on training), evaluates, attacks, draws and writes the records.

    Args:
      config: the settings.
      session: where to show progress, and what the record says of the command.

    Returns:
      The contents of `results.json`, or None if the run was stopped before its end and can be resumed.

    Raises:
      WorkdirError: the workdir holds a run with other settings.
      NonFiniteLossError: training diverged.
    """
    console, workdir = session.console, pathlib.Path(config.workdir or new_workdir(config.dataset))
    check_workdir(workdir, config)
    dataset = data.load(
        config.dataset, data_dir=config.data_dir or None, num_validation=config.num_validation, seed=config.seed
    )
    recipe = Recipe(config, dataset)
    evaluator = AttackEvaluator(config, recipe.model, dataset)
    state = recipe.init()
    with refusing():
        recipe.epoch(parallel.AXIS, jax.device_count())
    # Nothing is written before this line, so that a setting or a data set that will not do leaves nothing behind.
    write_config(workdir, config)
    with training.Checkpoints(workdir / "checkpoints") as checkpoints, training.StopRequest() as stop:
        state = train(recipe, state, console, evaluator, checkpoints, workdir, stop)
        best = checkpoints.best_step()
    history = records.read_jsonl(workdir / "metrics.jsonl")
    if int(state.step) < recipe.num_steps:
        console.print(
            f"Stopped and saved at step {int(state.step)}. The same command with --workdir={workdir} goes on."
        )
        return None

    params = training.averaged_params(state, config.average_decay)
    splits, per_example = evaluator.splits(params)
    robustness = evaluator.robustness(params)
    results = {
        "experiment": "mnist_vib",
        "command": session.command,
        "config": dataclasses.asdict(config),
        "environment": environment(),
        "steps": int(state.step),
        "best_step": best,
        "training_seconds": sum(row["seconds"] for row in history),
        **splits,
        "robustness": robustness,
        "history": [row for row in history if "test" in row],
    }
    if not training.is_main():
        return results
    records.write_json(workdir / "results.json", results)
    np.savez_compressed(workdir / "per_example.npz", allow_pickle=False, **per_example)
    title = f"{config.objective} on {config.dataset}, K = {config.latent_dim}"
    title += f", {config.strength}" if config.stochastic else ""
    show.print_results(console, title, splits, config.num_eval_samples)
    if robustness["rows"]:
        show.print_robustness(console, robustness["rows"], robustness["num_images"], config.num_eot_samples)
    if config.figures:
        _draw(config, workdir, title, results, evaluator, params)
    console.print(f"Records and figures are in {workdir}.", highlight=False)
    return results


def _draw(
    config: Config,
    workdir: pathlib.Path,
    title: str,
    results: Mapping[str, Any],
    evaluator: AttackEvaluator,
    params: Params,
) -> None:
    from experiments.core import (
        plots as figures,  # matplotlib takes a second to import, so a run without figures goes without it
    )

    figures.training_curves(workdir / "training.png", results["history"], config.num_eval_samples, title)
    robustness = results["robustness"]
    if robustness["rows"]:
        name = f"{title}, first {robustness['num_images']} test images"
        figures.robustness_curves(workdir / "robustness.png", robustness["rows"], robustness["clean_accuracy"], name)
    if config.latent_dim == 2:
        test = results["test"]
        errors = (
            f"{title}: error {test['error_avg']:.2%} ({config.num_eval_samples} samples), {test['error_one']:.2%} (1)"
        )
        codes, labels = evaluator.codes(params, 1000)
        decode_entropy = functools.partial(evaluator.decode_entropy, params)
        figures.latent_plane(workdir / "latent_plane.png", codes, labels, decode_entropy, errors)
