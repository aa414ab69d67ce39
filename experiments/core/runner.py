"""Trains one model in its workdir, and resumes what was begun."""

import contextlib
import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterator, Mapping
from time import monotonic
from typing import Any

from experiments.core import locks
from experiments.core import progress as show
from experiments.core.evaluator import SPLITS, Evaluator
from experiments.core.recipe import Recipe, Stretch
from experiments.core.session import Session
from experiments.core.settings import recorded, refusing
from experiments.core.trained_model import TrainedModel, is_finished, open_model, write_results
from experiments.core.workdir import CHECKPOINTS, check_workdir, write_config
from ib_jax import training
from ib_jax.training import metrics_log


def train(
    recipe: Recipe,
    workdir: str | pathlib.Path,
    session: Session,
    *,
    evaluator: Any = None,
    title: str = "",
    unit: str = "images",
    again: bool = False,
    **details: Any,
) -> TrainedModel | None:
    """Trains (or goes on training) and evaluates one model on all devices, and writes its results.

    Args:
      recipe: its settings, data and network.
      workdir: its folder; an unfinished run in it is resumed, a finished one is opened.
      session: experiment and command for the record, and the console.
      evaluator: `during_training` and `at_end` of parameters. Default: an `Evaluator`.
      title: of a table of the results on the console; empty for none.
      unit: of the examples.
      again: whether to evaluate a finished model again.
      **details: more of the summary.

    Returns:
      The model, or None if training was stopped before its end and can be resumed.

    Raises:
      WorkdirError: the workdir holds a run with other settings.
      SettingError: the sizes do not fit each other; nothing is written then.
      NonFiniteLossError: training diverged.
    """
    workdir, config = pathlib.Path(workdir), recipe.config
    check_workdir(workdir, config)
    if is_finished(workdir) and not again:
        return open_model(workdir, recipe)
    with refusing():
        recipe.check()
    evaluator, state = evaluator or Evaluator(recipe), recipe.init()
    # Nothing is written before this line, so that a setting or a data set that will not do leaves nothing behind.
    write_config(workdir, config)
    averaged = functools.partial(training.averaged_params, average_decay=config.average_decay)
    state, best_step = fit(
        recipe,
        state,
        workdir,
        session,
        make_run=recipe.run_from,
        evaluate=lambda placed: evaluator.during_training(averaged(training.unreplicate(placed))),
        score=held_out_score,
        unit=unit,
    )
    if int(state.step) < recipe.num_steps:
        session.console.print(
            f"Stopped and saved at step {int(state.step)}. The same command with --workdir={workdir} goes on."
        )
        return None
    params, history = averaged(state), metrics_log.read(workdir / "metrics.jsonl")
    summary = {"best_step": best_step, **details, **evaluator.at_end(params)}
    trained = TrainedModel(config, lambda: params, summary, history, sum(row["seconds"] for row in history))
    record = write_results(workdir, recipe, trained, session)
    if title:
        splits = {name: summary[name] for name in SPLITS if name in summary}
        show.print_results(session.console, title, splits, config.num_eval_samples)
    return dataclasses.replace(trained, record=record)


def fit(
    recipe: Recipe,
    state: Any,
    folder: pathlib.Path,
    session: Session,
    *,
    make_run: Callable[[Any], Stretch],
    evaluate: Callable[[Any], Mapping[str, Any]],
    score: Callable[[training.Progress], float],
    placement: training.Placement = training.REPLICATED,
    unit: str = "images",
) -> tuple[Any, int | None]:
    """Trains from the last checkpoint in a folder, or from `state`, with progress, metrics and checkpoints in it.

    Args:
      recipe: settings and sizes.
      state: a TrainState or a Population.
      folder: of metrics.jsonl and checkpoints/.
      session: the console.
      make_run: (state) -> what trains one stretch.
      evaluate: (placed state) -> numbers for a line of metrics.
      score: of a checkpoint, the lower the better.
      placement: of the state.
      unit: of the examples.

    Returns:
      The last state, whose step tells whether it was stopped; and the step of the best checkpoint.
    """
    config, steps_per_epoch, log = recipe.config, recipe.steps_per_epoch, folder / "metrics.jsonl"
    with (
        locks.hold(folder),
        _naming_the_last(folder),
        training.Checkpoints(folder / CHECKPOINTS, settings=metrics_log.plain(recorded(config))) as checkpoints,
        training.StopRequest() as stop,
    ):
        if (resumed := checkpoints.resume(state)) is not None:
            state = resumed
            session.console.print(f"Going on from step {int(state.step)} of {folder}.")
        first = int(state.step)
        metrics_log.rewind(log, first)
        clock = monotonic()

        def report(progress: training.Progress) -> None:
            nonlocal clock
            now = monotonic()
            row = {
                "step": progress.step,
                "num_steps": progress.num_steps,
                "epoch": progress.step / steps_per_epoch,
                "train": progress.metrics,
                f"{unit}_per_second": progress.examples_per_second,
                "seconds": now - clock,
            }
            metrics_log.append(log, row | dict(progress.evaluation or {}))
            clock = now
            line(progress)

        with show.ProgressLine(session.console, first_step=first, steps_per_epoch=steps_per_epoch, unit=unit) as line:
            state = training.fit(
                state,
                make_run(state),
                num_steps=recipe.num_steps,
                batch_size=config.batch_size,
                checkpoints=checkpoints,
                evaluate=evaluate,
                steps_per_evaluation=config.epochs_per_eval * steps_per_epoch,
                placement=placement,
                score=score,
                report=report,
                stop=lambda: stop.requested,
            )
        return state, checkpoints.best_step()


@contextlib.contextmanager
def _naming_the_last(folder: pathlib.Path) -> Iterator[None]:
    """Says with what the file system refuses where the run can go on."""
    try:
        yield
    except OSError as error:
        step = training.last_checkpoint(folder / CHECKPOINTS)
        where = "begins again" if step is None else f"goes on from step {step}"
        error.add_note(f"The same command, with the same --workdir, {where} in {folder}")
        raise


def held_out_score(progress: training.Progress) -> float:
    """What the best checkpoint is chosen by, lower is better: held-out error, or the training loss without."""
    if progress.evaluation is not None and "validation" in progress.evaluation:
        return float(progress.evaluation["validation"]["error_avg"])
    return float(progress.metrics["loss"])
