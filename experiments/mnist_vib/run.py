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

import functools
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.console import Console

from experiments.core import app as machine
from experiments.core import flags, records, runner, trained_model
from experiments.core import progress as show
from experiments.core.app import Session
from experiments.core.recipe import Recipe, load_dataset
from experiments.mnist_vib.attack import AttackEvaluator
from experiments.mnist_vib.settings import PRESETS, Config, preset
from ib_jax import data, training
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
    workdir = pathlib.Path(config.workdir or records.new_workdir(config.dataset))
    recipe = Recipe(config, load_dataset(config))
    evaluator = AttackEvaluator(recipe)
    title = f"{config.objective} on {config.dataset}, K = {config.latent_dim}"
    title += f", {config.strength}" if config.stochastic else ""
    session = Session("mnist_vib", command, console)
    trained = runner.train(recipe, workdir, session, evaluator=evaluator, title=title, again=True)
    if trained is None:
        return None
    results, robustness = trained_model.read_results(workdir), trained.summary["robustness"]
    if not training.is_main():
        return results
    np.savez_compressed(workdir / "per_example.npz", allow_pickle=False, **evaluator.per_example)
    if robustness["rows"]:
        show.print_robustness(console, robustness["rows"], robustness["num_images"], config.num_eot_samples)
    if config.figures:
        _draw(config, workdir, title, results, evaluator, trained.params)
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
