"""Trains pairs of models, and measures how attacks transfer between them."""

import functools
import json
import pathlib
import time
from typing import Any

import numpy as np
from rich.console import Console
from rich.markdown import Markdown

from experiments.core import records
from experiments.core.app import Session
from experiments.core.population import PopulationTrainer
from experiments.core.progress import WorkLine
from experiments.core.recipe import Recipe
from experiments.core.trained_model import TrainedModel
from experiments.core.workdir import check_reuse, check_workdir, environment
from experiments.transferability import table as transferability_table
from experiments.transferability.measure import PairAttacker, PairEvaluator
from experiments.transferability.models import functions_of, pair_of
from experiments.transferability.settings import PairConfig, members
from ib_jax import data

NAME = "transferability"
HIDDEN = ("workdir", "results", "data_dir", "members_at_once")  # of this machine


def run(config: PairConfig, session: Session) -> pathlib.Path | None:
    """Trains what is not trained, measures it unless there is a record, and makes the table and the figure.

    Args:
      config: the settings.
      session: where to show progress and tables, and the command for the records.

    Returns:
      The folder of the record, or None if training was stopped and can be resumed.

    Raises:
      WorkdirError: the workdir or the record was made with other settings.
      NonFiniteLossError: training diverged.
    """
    console, command = session.console, session.command
    workdir = pathlib.Path(config.workdir or f"workdirs/{NAME}") / config.dataset
    results = pathlib.Path(config.results or workdir / "results")
    path = results / f"{config.dataset}.json"
    if path.exists():
        check_reuse(path, json.loads(path.read_text())["config"], config)
    else:
        record = measure(config, workdir, console)
        if record is None:
            return None
        records.write_json(path, {"experiment": NAME, "command": command} | record)
    table = transferability_table.make(path)
    console.print(Markdown(table))
    console.print(f"Record, table and figure are in {results}.", highlight=False)
    return results


def measure(config: PairConfig, workdir: pathlib.Path, console: Console) -> dict[str, Any] | None:
    """The record of a run; None if training was stopped."""
    check_workdir(workdir, config)
    dataset = data.load(config.dataset, data_dir=config.data_dir or None, num_validation=0, seed=config.seed)
    pair = pair_of(config, dataset.num_classes)
    recipe, own = Recipe(config, dataset, functions_of(pair)), members(config)
    trainer = PopulationTrainer(
        recipe,
        own,
        workdir,
        Session(NAME, console=console),
        title=f"{len(own['seed'])} pairs",
        layout=config,
        make_evaluator=functools.partial(PairEvaluator, pair),
    )
    records.write_json(workdir / "config.json", config.__dict__)
    trained = trainer.train()
    if trained is None:
        return None
    start, attacker, pairs = time.monotonic(), PairAttacker(pair, config, dataset.test), []
    with WorkLine(console, len(trained)) as line:
        for model in trained:
            own = model.settings
            pairs.append(_summary(model) | attacker.measure(own, model.params))
            line("pair", f"depth {own['depth']}, width {own['width']}, beta {own['beta']:g}", 1.0)
    seconds = {"training_seconds": trainer.seconds, "attack_seconds": time.monotonic() - start}
    settings = {name: value for name, value in config.__dict__.items() if name not in HIDDEN}
    sizes = {"num_train_images": recipe.num_examples, "num_test_images": len(dataset.test.labels)}
    sizes["num_pixels"] = int(np.prod(dataset.test.inputs.shape[1:]))
    common = {"environment": environment(), "config": settings, "plan": trainer.plan.message}
    return common | sizes | seconds | {"pairs": pairs}


def _summary(model: TrainedModel) -> dict[str, Any]:
    """Of a trained member what the record keeps; beta as it was given, not as float32 has it."""
    own, test = model.settings, model.summary["test"]
    kept = {name: own[name] for name in ("depth", "width", "seed")} | {"beta": float(f"{own['beta']:.6g}")}
    kept |= {"diverged_at": model.summary["diverged_at"], **test}
    tau = max(test["error_first"], test["error_second"])
    return kept | {"tau": tau, "last_loss": model.history[-1]["train"]["loss"]}
