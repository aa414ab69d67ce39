"""Trains one model by its recipe, with progress, metrics and checkpoints in its workdir; resumes what was begun."""

import pathlib
import time
from collections.abc import Mapping
from typing import Any, Protocol

from rich.console import Console

from experiments.core import progress as show
from experiments.core import records
from experiments.core.recipe import Run
from ib_jax import training
from ib_jax.types import Params


class Trainable(Protocol):
    """What is trained, by its settings: a `Recipe` or a `TextRecipe`."""

    @property
    def config(self) -> Any: ...
    @property
    def steps_per_epoch(self) -> int: ...
    @property
    def num_steps(self) -> int: ...

    def run_from(self, state: training.TrainState) -> Run: ...


class Judge(Protocol):
    """What evaluates it: an `Evaluator` or a `TextEvaluator`."""

    def during_training(self, params: Params) -> Mapping[str, Any]: ...

    def score(self, progress: training.Progress) -> float: ...


def train(
    recipe: Trainable,
    state: training.TrainState,
    console: Console,
    evaluator: Judge,
    checkpoints: training.Checkpoints,
    workdir: pathlib.Path,
    stop: training.StopRequest,
    unit: str = "images",
) -> training.TrainState:
    """Trains from the last checkpoint, or from `state`; the last state, whose step tells whether it was stopped."""
    config, steps_per_epoch = recipe.config, recipe.steps_per_epoch
    if checkpoints.last_step() is not None:
        state = checkpoints.restore(state)
        console.print(f"Going on from step {int(state.step)} of {workdir}.", highlight=False)
    log = workdir / "metrics.jsonl"
    records.rewind_jsonl(log, int(state.step))
    clock = time.monotonic()

    def report(progress: training.Progress) -> None:
        nonlocal clock
        now = time.monotonic()
        row = {
            "step": progress.step,
            "num_steps": progress.num_steps,
            "epoch": progress.step / steps_per_epoch,
            "train": progress.metrics,
            f"{unit}_per_second": progress.examples_per_second,
            "seconds": now - clock,
        }
        records.append_jsonl(log, row | dict(progress.evaluation or {}))
        clock = now
        line(progress)

    with show.ProgressLine(console, first_step=int(state.step), steps_per_epoch=steps_per_epoch, unit=unit) as line:
        state = training.fit(
            state,
            recipe.run_from(state),
            num_steps=recipe.num_steps,
            batch_size=config.batch_size,
            checkpoints=checkpoints,
            evaluate=lambda placed: evaluator.during_training(
                training.averaged_params(training.unreplicate(placed), config.average_decay)
            ),
            steps_per_evaluation=config.epochs_per_eval * steps_per_epoch,
            score=evaluator.score,
            report=report,
            stop=lambda: stop.requested,
        )
    return state
