"""Compare VIB, VUB, CEB and consistent CEB: the same network and the same tuning budget for each.

Papers:   Alemi et al., Deep VIB (2017); Fischer and Alemi, CEB Improves Model Robustness (2020); Tighter Bounds on the
          Information Bottleneck (arXiv 2402.07639).
Run:      python -m experiments.mnist_objectives --dataset=mnist
          python -m experiments.mnist_objectives --num_seeds=1 --strengths=1e-2,1e-3     on digits, no download
Does:     trains each objective at four strengths on all training images but 10,000, and chooses the strength with the
          lowest error on those (12 samples of z; the cross-entropy decides between equal ones; the test set plays no
          part); then trains each at its strength with three seeds on all training images, and attacks it.
Cost:     28 runs of 20 epochs, about an hour on two CPU cores. Runs that have a record are not run again.
Leaves:   a record for each run, table.md and figure.png in --results.
"""

import dataclasses
import json
import pathlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from rich.console import Console
from rich.markdown import Markdown

from experiments.core import flags, records
from experiments.core.flags import setting
from experiments.mnist_objectives.table import Record, best_records, read_records, render
from experiments.mnist_vib import run as mnist_vib
from experiments.mnist_vib.settings import BOTTLENECKS, DATASETS, PRESETS, RATE_OBJECTIVES, Config, preset
from ib_jax import data, losses, training

TUNING, SEEDS = "tuning", "seeds"


@dataclasses.dataclass(frozen=True)
class CompareConfig:
    """What is compared, and how long it may take."""

    dataset: str = setting("digits", "Comparison", "Data set; digits needs no download.", choices=DATASETS)
    preset: str = setting("compare", "Comparison", "Recipe of every run, see mnist_vib --help.", choices=PRESETS)
    strengths: tuple[float, ...] = setting(
        (1e-1, 1e-2, 1e-3, 1e-4),
        "Comparison",
        "Tried for each objective: beta for vib and vub, and rho = log((1 - beta) / beta) for ceb and consistent_ceb.",
        unit="nats per nat",
    )
    num_seeds: int = setting(3, "Comparison", "Runs of each objective at its best strength, seeds 0, 1, ...")
    num_epochs: int = setting(0, "Comparison", "Length of each run; 0 is the preset's.", unit="epochs")
    num_validation: int = setting(
        0, "Comparison", "Training images held out to choose by; 0 is a sixth of them.", unit="images"
    )
    workdir: str = setting(
        "workdirs/mnist_objectives", "Comparison", "Folder of the runs; unfinished ones are resumed."
    )
    results: str = setting("", "Comparison", "Folder of the records. Default: results/ in the workdir.")

    def __post_init__(self) -> None:
        if not self.strengths or not all(0 < beta < 1 for beta in self.strengths):
            raise ValueError(f"--strengths must be betas in (0, 1), got {self.strengths}")
        for name, least in {"num_seeds": 1, "num_epochs": 0, "num_validation": 0}.items():
            if getattr(self, name) < least:
                raise ValueError(f"--{name} must be at least {least}, got {getattr(self, name)}")


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
    settings = preset(compare.preset, compare.dataset) | {"dataset": compare.dataset, "preset": compare.preset}
    if compare.num_epochs:
        settings["num_epochs"] = compare.num_epochs
    strength = {"beta": beta} if objective in RATE_OBJECTIVES else {"rho": round(float(losses.beta_to_rho(beta)), 4)}
    return settings | strength | {"objective": objective, "figures": False, "epochs_per_eval": settings["num_epochs"]}


def run(compare: CompareConfig, console: Console) -> pathlib.Path | None:
    """Makes the records that are not there yet, then the table and the figure.

    Args:
      compare: the settings.
      console: where to show progress and the table.

    Returns:
      The folder of the records, or None if a run was stopped and can be resumed.

    Raises:
      as `mnist_vib.run`.
    """
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
            records.check_config(json.loads(path.read_text())["config"], config, path)
            continue
        console.rule(f"{name}: run {index + 1} of {len(runs)}, then {ahead} more")
        arguments = [f"--{field}={value}" for field, value in settings.items() if field not in ("preset", "figures")]
        command = records.command("experiments.mnist_vib", [f"--preset={compare.preset}", "--nofigures", *arguments])
        record = mnist_vib.run(config, console, command=command)
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


def main(argv: Sequence[str]) -> None:
    """Reads the flags and runs."""
    del argv
    try:
        finished = run(flags.config_from_flags(CompareConfig), Console())
    except (training.NonFiniteLossError, data.DatasetUnavailableError, ValueError, json.JSONDecodeError) as error:
        sys.exit(f"mnist_objectives: {error}")
    if finished is None:
        sys.exit(mnist_vib.STOPPED)


def launch() -> None:
    """Defines the flags and runs."""
    flags.run_app(main, CompareConfig, __doc__ or "")
