"""Trains one image model in its workdir, evaluates it, and gives trained ones back from their workdirs."""

import dataclasses
import json
import pathlib
from typing import Any

import jax
from rich.console import Console

from experiments.core import progress as show
from experiments.core import records
from experiments.core.evaluator import Evaluator
from experiments.core.image_config import ImageConfig
from experiments.core.recipe import Recipe
from experiments.core.runner import train
from experiments.core.workdir import check_workdir, environment, write_config
from ib_jax import training
from ib_jax.training import parallel
from ib_jax.types import Params


def train_model(recipe: Recipe[Any], console: Console, *, experiment: str, command: str) -> dict[str, Any] | None:
    """Trains (or goes on training) and evaluates one model.

    Args:
      recipe: its settings, data and network; `workdir` is among the settings.
      console: where to show progress and tables.
      experiment: the module's name, for the record.
      command: the command line to write into the record.

    Returns:
      The contents of `results.json`, or None if the run was stopped before its end and can be resumed.

    Raises:
      WorkdirError: the workdir holds a run with other settings.
      NonFiniteLossError: training diverged.
    """
    config, dataset = recipe.config, recipe.dataset
    workdir = pathlib.Path(config.workdir)
    check_workdir(workdir, config)
    done = workdir / "results.json"
    if done.exists():
        return dict(json.loads(done.read_text()))
    evaluator = Evaluator(config, recipe.model, dataset)
    state = recipe.init()
    recipe.epoch(parallel.AXIS, jax.device_count())  # refuses sizes that do not fit
    # Nothing is written before this line, so that a setting or a data set that will not do leaves nothing behind.
    write_config(workdir, config)
    with training.Checkpoints(workdir / "checkpoints") as checkpoints, training.StopRequest() as stop:
        state = train(recipe, state, console, evaluator, checkpoints, workdir, stop)
    if int(state.step) < recipe.num_steps:
        console.print(
            f"Stopped and saved at step {int(state.step)}. The same command with --workdir={config.workdir} goes on."
        )
        return None
    splits, _ = evaluator.splits(training.averaged_params(state, config.average_decay), ("validation", "test"))
    history = records.read_jsonl(workdir / "metrics.jsonl")
    results = {
        **record_of(config, state, experiment=experiment, command=command),
        "training_seconds": sum(row["seconds"] for row in history),
        **splits,
        "history": [row for row in history if "test" in row],
    }
    records.write_json(done, results)
    if training.is_main():
        show.print_results(console, f"{config.name} on {config.dataset}", splits, config.num_eval_samples)
    return results


def record_of(config: ImageConfig, state: training.TrainState, *, experiment: str, command: str) -> dict[str, Any]:
    """What a record says of how a model was made."""
    return {
        "experiment": experiment,
        "command": command,
        "config": dataclasses.asdict(config),
        "environment": environment(),
        "num_parameters": sum(leaf.size for leaf in jax.tree.leaves(state.params)),
        "steps": int(state.step),
    }


def trained_params(recipe: Recipe[Any]) -> Params:
    """The parameters of a trained model, from the last checkpoint in its workdir.

    Raises:
      FileNotFoundError: there is none.
      ValueError: it is of another network.
    """
    config: ImageConfig = recipe.config
    with training.Checkpoints(pathlib.Path(config.workdir) / "checkpoints") as checkpoints:
        state = checkpoints.restore(recipe.init())
    return training.averaged_params(state, config.average_decay)
