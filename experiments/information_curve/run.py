"""The information curve: one bottleneck network at many strengths and seeds, trained and attacked as one program.

Paper:    Alemi, Fischer, Dillon, Murphy, Deep Variational Information Bottleneck (2017): Figure 1, (a) to (d). Tighter
          Bounds on the Information Bottleneck (arXiv 2402.07639): Figure 3, the information plane through training.
Run:      python -m experiments.information_curve                                 digits, K = 2, four minutes
          python -m experiments.information_curve --dataset=mnist --preset=paper --betas=1e-9..1 --num_seeds=5 \\
              --latent_dims=256,2                                                 the paper's figure in full
          python -m experiments.information_curve --dataset=mnist --objective=ceb --betas=1e-9..0.1
Flags:    those below, and all of mnist_vib but --beta, --rho and --latent_dim. --betas are the strengths of any
          objective: of vib and vub beta, of ceb and consistent_ceb rho = log((1 - beta) / beta), of label_smoothing and
          confidence_penalty their own weight.
Cost:     K = 256, 9 betas, one seed, 20 epochs of MNIST: some twelve minutes on two CPU cores. The whole figure is 100
          models of 200 epochs: a matter for an accelerator (experiments/results/benchmark/sweep.json projects it).
Expect:   1.13 % error at beta = 1e-3 with K = 256 in the paper, 3.18 % with K = 2; about 10 bits of I(X;Z) suffice.
Leaves:   in the workdir a folder for each K with checkpoints and metrics, and in --results a record for each K,
          table.md, figure1.png and information_plane.png.
"""

import dataclasses
import json
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markdown import Markdown

from experiments.core import app as machine
from experiments.core import flags, records
from experiments.core.app import Session
from experiments.core.objectives import strength_name
from experiments.core.population import PopulationTrainer, curves
from experiments.core.recipe import Recipe, load_dataset
from experiments.core.trained_model import TrainedModel
from experiments.information_curve.measure import AttackPopulationEvaluator
from experiments.information_curve.settings import CurveConfig, member_settings
from experiments.information_curve.table import render
from experiments.mnist_vib import run as mnist_vib
from experiments.mnist_vib.settings import GRAIN, Config, preset
from ib_jax import data, training


def run(curve: CurveConfig, config: Config, console: Console, *, command: str = "") -> list[dict[str, Any]] | None:
    """Trains every population (or goes on), evaluates and attacks it, and writes records, table and figures.

    Args:
      curve: which strengths, seeds and sizes.
      config: settings of every model, but for those.
      console: where to show progress and the table.
      command: the command line to write into the records.

    Returns:
      The records, one for each K, or None if the run was stopped before its end and can be resumed.

    Raises:
      ConfigMismatchError: the workdir holds a run with other settings.
      NonFiniteLossError: every member of a population diverged.
      ValueError: the settings do not fit each other.
    """
    check(curve, config)
    workdir = pathlib.Path(config.workdir or records.new_workdir(f"{config.dataset}-curve"))
    for each in (curve, config):
        records.check_workdir(workdir, each)
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
      ValueError: the message names the flag.
    """
    if not strength_name(config.objective):
        raise ValueError(f"--objective must have a strength to draw a curve over, got {config.objective}")
    if config.objective in ("ceb", "consistent_ceb") and not all(0 < beta < 1 for beta in curve.betas):
        raise ValueError(f"--betas must be in (0, 1) for {config.objective}, got {curve.betas}; try 1e-9..0.1")
    if config.schedule != "constant" and not all(0 < beta < 1 for beta in curve.betas):
        raise ValueError(f"--betas must be in (0, 1) with --schedule={config.schedule}, got {curve.betas}")
    if config.objective == "label_smoothing" and max(curve.betas) > 1:
        raise ValueError(f"--betas must be at most 1 for label_smoothing, got {curve.betas}")
    if config.input_pipeline == GRAIN:
        raise ValueError("--input_pipeline must be resident: the members of a population share the data on a device")


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
        "environment": records.environment(),
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


def main(argv: Sequence[str]) -> None:
    """Reads the flags and runs."""
    del argv
    try:
        config = flags.config_from_flags(Config, lambda given: preset(given.preset, given.dataset))
        if given := flags.given("beta", "rho", "latent_dim"):
            raise ValueError(f"--{given[0]} has no meaning here: the curve goes over --betas and --latent_dims")
        curve = flags.config_from_flags(CurveConfig)
        command = records.command("experiments.information_curve")
        finished = run(curve, config, machine.console(), command=command)
    except (training.NonFiniteLossError, data.DatasetUnavailableError, ValueError) as error:
        sys.exit(f"information_curve: {error}")
    if finished is None:
        sys.exit(mnist_vib.STOPPED)


def launch() -> None:
    """Defines the flags and runs."""
    machine.run_app(main, CurveConfig, __doc__ or "", more=(Config,))
