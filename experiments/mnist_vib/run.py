"""Train a bottleneck classifier, attack it and draw it.

Paper:    Alemi, Fischer, Dillon, Murphy, Deep Variational Information Bottleneck (2017): Table 1, Figure 2.
Run:      python -m experiments.mnist_vib                               digits, no download, under a minute
          python -m experiments.mnist_vib --latent_dim=2 --beta=0.01    the same, with the codes drawn
          python -m experiments.mnist_vib --dataset=mnist --preset=paper --objective=vib --beta=1e-3
          python -m experiments.mnist_vib --dataset=mnist --preset=tuned
          python -m experiments.mnist_vib --dataset=mnist --objective=ceb --rho=3
Cost:     the paper preset trains 200 epochs of MNIST, some twenty minutes on two CPU cores; the tuned one 60.
Expect:   the paper prints 1.13 % error with 12 samples on MNIST, its authors' notebook 1.21 %; what this module
          measured stands in experiments/results/mnist_vib/table.md.
Leaves:   config.json, metrics.jsonl, results.json, per_example.npz, checkpoints, table.md and figures in the workdir.
"""

import dataclasses
import pathlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from rich.console import Console

from experiments.core import app as machine
from experiments.core import flags, records
from experiments.core import progress as show
from experiments.core.recipe import Recipe
from experiments.core.records import Measurement, Model, Record
from experiments.core.runner import train
from experiments.mnist_vib.attack import AttackEvaluator
from experiments.mnist_vib.settings import PRESETS, Config, preset
from ib_jax import data, training
from ib_jax.training import parallel

LOCAL = ("workdir", "data_dir")  # settings of this machine
STOPPED = 143  # the exit status of a process ended by SIGTERM


def run(config: Config, console: Console, *, command: str = "") -> Record | None:
    """Trains (or goes on training), evaluates, attacks, draws and writes the records.

    Args:
      config: the settings.
      console: where to show progress and tables.
      command: the command line to write into the record.

    Returns:
      The record, which is `results.json`, or None if the run was stopped before its end and can be resumed.

    Raises:
      ConfigMismatchError: the workdir holds a run with other settings.
      NonFiniteLossError: training diverged.
    """
    workdir = pathlib.Path(config.workdir or records.new_workdir(config.dataset))
    records.check_workdir(workdir, config)
    dataset = data.load(
        config.dataset, data_dir=config.data_dir or None, num_validation=config.num_validation, seed=config.seed
    )
    recipe = Recipe(config, dataset)
    evaluator = AttackEvaluator(config, recipe.model, dataset)
    state = recipe.init()
    recipe.epoch(parallel.AXIS, jax.device_count())  # refuses sizes that do not fit
    # Nothing is written before this line, so that a setting or a data set that will not do leaves nothing behind.
    records.write_json(workdir / "config.json", dataclasses.asdict(config))
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
    record = Record("mnist_vib", command, settings, [model], environment=records.environment(), file="results")
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


def main(argv: Sequence[str]) -> None:
    """Reads the flags and runs."""
    del argv
    console = machine.console()
    try:
        config = flags.config_from_flags(Config, lambda given: preset(given.preset, given.dataset))
        finished = run(config, console, command=records.command("experiments.mnist_vib"))
    except (
        records.ConfigMismatchError,
        training.NonFiniteLossError,
        data.DatasetUnavailableError,
        ValueError,
    ) as error:
        sys.exit(f"mnist_vib: {error}")
    if finished is None:
        sys.exit(STOPPED)


def launch() -> None:
    """Defines the flags and runs."""
    lines = [
        f"          {name}: " + (", ".join(f"--{flag}={value}" for flag, value in preset(name, "mnist").items()))
        for name in PRESETS
    ]
    machine.run_app(
        main, Config, "\n".join([(__doc__ or "").rstrip(), "Presets on mnist, where no flag says otherwise:", *lines])
    )
