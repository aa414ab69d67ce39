"""Trains a bottleneck classifier, attacks it and draws it."""

import dataclasses
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from experiments.core import progress as show
from experiments.core import records
from experiments.core.app import Session
from experiments.core.recipe import Recipe
from experiments.core.records import Measurement, Model, Record
from experiments.core.runner import train
from experiments.core.settings import refusing
from experiments.core.workdir import check_workdir, environment, new_workdir, write_config
from experiments.mnist_vib.attack import AttackEvaluator
from experiments.mnist_vib.settings import Config
from ib_jax import data, training
from ib_jax.training import parallel

LOCAL = ("workdir", "data_dir")  # settings of this machine


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
    details: dict[str, Any] = {
        "steps": int(state.step),
        "best_step": best,
        "num_test_images": len(per_example["labels"]),
        "training_seconds": sum(row["seconds"] for row in history),
        "calibration_bins": calibration_bins(per_example["confidence"], per_example["correct_avg"]),
    }
    if config.latent_dim == 2:
        details["codes"] = evaluator.drawn_codes(params, 1000)
    model = Model(
        config.name,
        config.seed,
        measurements=[*measurements(history, splits), *robustness],
        details=details,
    )
    settings = {name: value for name, value in dataclasses.asdict(config).items() if name not in LOCAL}
    record = Record("mnist_vib", session.command, settings, [model], environment=environment(), file="results")
    if not training.is_main():
        return record
    records.write(workdir / "results.json", record)
    np.savez_compressed(workdir / "per_example.npz", allow_pickle=False, **per_example)
    show.print_results(console, title_of(config), splits, config.num_eval_samples)
    if config.figures:
        from experiments.core import render  # pandas and matplotlib take a second to import
        from experiments.mnist_vib.report import report

        written = [records.read(workdir / "results.json")]
        made = report(records.frame(written), written)
        render.show(made, console)
        render.write(made, workdir)
    console.print(f"Record, table and figures are in {workdir}.", highlight=False)
    return record


def measurements(
    history: Sequence[Mapping[str, Any]], splits: Mapping[str, Mapping[str, float]]
) -> Iterator[Measurement]:
    """What was measured of each split: at the end, and at each evaluation while training.

    Args:
      history: the lines of metrics.jsonl.
      splits: as of `Evaluator.splits`.
    """
    for split, values in splits.items():
        yield Measurement({"split": split}, values)
    for row in history:
        for split in (name for name in ("train", "validation", "test") if name in row and "test" in row):
            yield Measurement({"split": split, "epoch": row["epoch"]}, row[split])


def calibration_bins(confidence: np.ndarray, correct: np.ndarray, num_bins: int = 15) -> dict[str, list[float]]:
    """The reliability diagram: of each bin of equal width that is not empty its images, confidence and accuracy.

    Args:
      confidence: float [N], probability of the predicted class.
      correct: bool [N].
      num_bins: of all.
    """
    bins = np.clip(np.ceil(np.asarray(confidence, np.float64) * num_bins).astype(int) - 1, 0, num_bins - 1)
    count = np.bincount(bins, minlength=num_bins)
    sums = {"confidence": np.bincount(bins, confidence, num_bins), "accuracy": np.bincount(bins, correct, num_bins)}
    kept = count > 0
    return {"count": count[kept].tolist()} | {name: (each[kept] / count[kept]).tolist() for name, each in sums.items()}


def title_of(config: Config) -> str:
    """What a run is called on the terminal."""
    strength = f", {config.strength}" if config.stochastic else ""
    return f"{config.objective} on {config.dataset}, K = {config.latent_dim}{strength}"
