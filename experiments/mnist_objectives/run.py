"""Tunes each objective, trains it with several seeds, and compares them."""

import json
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from rich.console import Console
from rich.markdown import Markdown

from experiments.core import records
from experiments.core.app import Session
from experiments.core.settings import BOTTLENECKS, RATE_OBJECTIVES
from experiments.core.workdir import check_reuse, command
from experiments.mnist_objectives.settings import CompareConfig
from experiments.mnist_objectives.table import Record, best_records, read_records, render
from experiments.mnist_vib import run as mnist_vib
from experiments.mnist_vib.settings import PRESETS, Config
from ib_jax import data, losses

TUNING, SEEDS = "tuning", "seeds"


class Run(NamedTuple):
    """One training run: where its record goes, and its settings."""

    name: str
    settings: dict[str, Any]


def tuning_runs(compare: CompareConfig, num_train: int) -> Iterator[Run]:
    """Every objective at every strength, with training images held out and no attack."""
    held_out = compare.num_validation or num_train // 6
    for objective in BOTTLENECKS:
        for beta in compare.strengths:
            settings = _settings(compare, objective, beta)
            settings |= {"num_validation": held_out, "num_attack_images": 0, "seed": 0}
            yield Run(f"{TUNING}/{objective}_beta{beta:g}", settings)


def seed_runs(tuning: Sequence[Run], best: Mapping[str, Record], num_seeds: int) -> Iterator[Run]:
    """Every objective at its best strength, with each seed, on all training images, and attacked."""
    only_tuning = ("num_validation", "num_attack_images", "seed")
    for trial in tuning:
        settings = {name: value for name, value in trial.settings.items() if name not in only_tuning}
        objective = settings["objective"]
        if all(best[objective]["config"][name] == value for name, value in settings.items()):
            for seed in range(num_seeds):
                yield Run(f"{SEEDS}/{objective}_seed{seed}", settings | {"seed": seed})


def _settings(compare: CompareConfig, objective: str, beta: float) -> dict[str, Any]:
    settings = PRESETS[compare.preset].on(compare.dataset) | {"preset": compare.preset}
    if compare.num_epochs:
        settings["num_epochs"] = compare.num_epochs
    strength = {"beta": beta} if objective in RATE_OBJECTIVES else {"rho": round(float(losses.beta_to_rho(beta)), 4)}
    return settings | strength | {"objective": objective, "figures": False, "epochs_per_eval": settings["num_epochs"]}


def run(compare: CompareConfig, session: Session) -> pathlib.Path | None:
    """Makes the records that are not there yet, then the table and the figure.

    Args:
      compare: the settings.
      session: where to show progress and tables, and the command for the records.

    Returns:
      The folder of the records, or None if a run was stopped and can be resumed.

    Raises:
      as `mnist_vib.run`.
    """
    console = session.console
    results = pathlib.Path(compare.results or pathlib.Path(compare.workdir) / "results")
    num_train = len(data.load(compare.dataset).train.labels)
    tuning = list(tuning_runs(compare, num_train))
    if not _make(compare, console, results, tuning, ahead=len(BOTTLENECKS) * compare.num_seeds):
        return None
    best = best_records(read_records(results / TUNING))
    if not _make(compare, console, results, list(seed_runs(tuning, best, compare.num_seeds)), ahead=0):
        return None
    from experiments.core import plots as figures  # matplotlib takes a second to import

    table = render(read_records(results / TUNING), read_records(results / SEEDS))
    (results / "table.md").write_text(table)
    figures.objectives_figure(results / "figure.png", read_records(results / TUNING))
    console.print(Markdown(table))
    console.print(f"Records, table and figure are in {results}.", highlight=False)
    return results


def _make(compare: CompareConfig, console: Console, results: pathlib.Path, runs: Sequence[Run], *, ahead: int) -> bool:
    for index, (name, settings) in enumerate(runs):
        path = results / f"{name}.json"
        config = Config(**settings, workdir=str(pathlib.Path(compare.workdir) / name))
        if path.exists():
            check_reuse(path, json.loads(path.read_text())["config"], config)
            continue
        console.rule(f"{name}: run {index + 1} of {len(runs)}, then {ahead} more")
        arguments = [f"--{field}={value}" for field, value in settings.items() if field not in ("preset", "figures")]
        line = command("experiments.mnist_vib", [f"--preset={compare.preset}", "--nofigures", *arguments])
        record = mnist_vib.run(config, Session("mnist_vib", line, console))
        if record is None:
            return False
        records.write_json(path, _flat(record))
    return True


def _flat(record: records.Record) -> dict[str, Any]:
    """A run's record as the records of this experiment are."""
    model = record.models[0]
    splits = {name: values for name in ("train", "validation", "test") if (values := model.values_at(split=name))}
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    attacked = [each for each in model.measurements if "epsilon" in each.at]
    for at, values in ((each.at, each.values) for each in attacked):
        steps = f"PGD-{at.get('num_steps')}"
        targeted, l2 = " targeted" * at["targeted"], " L2" * (at["norm"] == "l2")
        name = "FGSM" if at["attack"] == "fgsm" else f"{steps}{targeted}{l2}"
        row = {"attack": name, "norm": at["norm"], "epsilons": [], "accuracy": []}
        row = rows.setdefault((name, at["norm"]), row)
        row["epsilons"].append(at["epsilon"])
        row["accuracy"].append(values["accuracy"])
    robustness = {
        "num_images": max((each.at["num_images"] for each in attacked), default=0),
        "rows": list(rows.values()),
    }
    head = {"experiment": record.experiment, "command": record.command, "environment": record.environment}
    return {**head, "config": record.settings, **splits, "robustness": robustness}
