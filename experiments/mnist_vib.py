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
Leaves:   config.json, metrics.jsonl, results.json, per_example.npz, checkpoints and figures in the workdir.
"""

import dataclasses
import functools
import pathlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from experiments import console as show
from experiments import flags, records
from experiments.mnist_vib_config import PRESETS, Config, preset
from experiments.mnist_vib_evaluation import Evaluator
from experiments.objectives import make_classifier, make_loss, make_schedule
from ib_jax import data, evaluation, training
from ib_jax.models import Classifier
from ib_jax.training import parallel
from ib_jax.types import Params

STOPPED = 143  # the exit status of a process ended by SIGTERM


def run(config: Config, console: Console, *, command: str = "") -> dict[str, Any] | None:
    """Trains (or goes on training), evaluates, attacks, draws and writes the records.

    Args:
      config: the settings.
      console: where to show progress and tables.
      command: the command line to write into the record.

    Returns:
      The contents of `results.json`, or None if the run was stopped before its end and can be resumed.

    Raises:
      ConfigMismatchError: the workdir holds a run with other settings.
      NonFiniteLossError: training diverged.
    """
    workdir = pathlib.Path(config.workdir or f"workdirs/{time.strftime('%Y%m%d-%H%M%S')}-{config.dataset}")
    records.check_workdir(workdir, config)
    dataset = data.load(
        config.dataset, data_dir=config.data_dir or None, num_validation=config.num_validation, seed=config.seed
    )
    shares = evaluation.label_probabilities(dataset.train.labels, dataset.num_classes)
    model = make_classifier(config, shares)
    trainer = _make_trainer(config, dataset, model, shares)
    evaluator = Evaluator(config, model, dataset)
    # Nothing is written before this line, so that a setting or a data set that will not do leaves nothing behind.
    records.write_json(workdir / "config.json", dataclasses.asdict(config))
    with training.Checkpoints(workdir / "checkpoints") as checkpoints, training.StopRequest() as stop:
        state = _train(config, console, dataset, trainer, evaluator, checkpoints, workdir, stop)
        best = checkpoints.best_step()
    history = records.read_jsonl(workdir / "metrics.jsonl")
    if int(state.step) < history[-1]["num_steps"]:
        console.print(
            f"Stopped and saved at step {int(state.step)}. The same command with --workdir={workdir} goes on."
        )
        return None

    params = training.averaged_params(state, config.average_decay)
    splits, per_example = evaluator.splits(params)
    robustness = evaluator.robustness(params)
    results = {
        "experiment": "mnist_vib",
        "command": command,
        "config": dataclasses.asdict(config),
        "environment": records.environment(),
        "steps": int(state.step),
        "best_step": best,
        "training_seconds": sum(row["seconds"] for row in history),
        **splits,
        "robustness": robustness,
        "history": [row for row in history if "test" in row],
    }
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


class _Trainer(NamedTuple):
    """The state before the first step, and the sharded function that trains one stretch."""

    state: training.TrainState
    run: Callable[[training.TrainState, training.Batch], tuple[training.TrainState, training.Metrics]]
    steps_per_epoch: int


def _make_trainer(config: Config, dataset: data.Dataset, model: Classifier, shares: np.ndarray) -> _Trainer:
    num_examples = len(dataset.train.labels)
    steps_per_epoch = max(1, num_examples // config.batch_size)
    optimizer = training.paper_adam(
        config.learning_rate,
        steps_per_decay=max(1, round(config.epochs_per_decay * steps_per_epoch)),
        decay_rate=config.decay_rate,
        weight_decay=config.weight_decay,
    )
    schedule = make_schedule(config, steps_per_epoch)
    step = training.make_train_step(
        make_loss(config, model, shares),
        optimizer,
        average_decay=config.average_decay,
        schedule=schedule,
        axis_name=parallel.AXIS,
    )
    epoch = training.make_epoch(
        step,
        num_examples=num_examples,
        batch_size=config.batch_size,
        num_steps=config.steps_per_call or steps_per_epoch,
        num_shards=jax.device_count(),
        axis_name=parallel.AXIS,
        prepare=data.to_unit_interval,
    )
    init_key, run_key = jax.random.split(jax.random.key(config.seed))
    params = jax.jit(model.init)(init_key, data.to_unit_interval(dataset.train.inputs[:1]))
    state = training.init_state(run_key, params, optimizer, config.average_decay, schedule)
    return _Trainer(state, training.shard_epoch(epoch), steps_per_epoch)


def _train(
    config: Config,
    console: Console,
    dataset: data.Dataset,
    trainer: _Trainer,
    evaluator: Evaluator,
    checkpoints: training.Checkpoints,
    workdir: pathlib.Path,
    stop: training.StopRequest,
) -> training.TrainState:
    state, run, steps_per_epoch = trainer
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
            "images_per_second": progress.examples_per_second,
            "seconds": now - clock,
        }
        records.append_jsonl(log, row | dict(progress.evaluation or {}))
        clock = now
        line(progress)

    with show.ProgressLine(console, first_step=int(state.step), steps_per_epoch=steps_per_epoch) as line:
        state = training.fit(
            state,
            run,
            training.replicate(training.Batch(*map(jnp.asarray, dataset.train))),
            num_steps=config.num_epochs * steps_per_epoch,
            batch_size=config.batch_size,
            checkpoints=checkpoints,
            evaluate=lambda state: evaluator.during_training(training.averaged_params(state, config.average_decay)),
            steps_per_evaluation=config.epochs_per_eval * steps_per_epoch,
            score=evaluator.score,
            report=report,
            stop=lambda: stop.requested,
        )
    return state


def _draw(
    config: Config,
    workdir: pathlib.Path,
    title: str,
    results: Mapping[str, Any],
    evaluator: Evaluator,
    params: Params,
) -> None:
    from experiments import figures  # matplotlib takes a second to import, so a run without figures goes without it

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


def main(argv: Sequence[str]) -> None:
    """Reads the flags and runs."""
    del argv
    console = Console()
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


def entry() -> None:
    """The console entry."""
    lines = [
        f"          {name}: " + (", ".join(f"--{flag}={value}" for flag, value in preset(name, "mnist").items()))
        for name in PRESETS
    ]
    flags.run_app(
        main, Config, "\n".join([(__doc__ or "").rstrip(), "Presets on mnist, where no flag says otherwise:", *lines])
    )


if __name__ == "__main__":
    entry()
