"""Tunes each objective, trains it with several seeds, and compares them."""

import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from experiments import mnist_vib
from experiments.core import records, render
from experiments.core.records import Record
from experiments.core.session import Session
from experiments.core.settings import BOTTLENECKS, EVALUATION, RATE_OBJECTIVES
from experiments.core.workdir import check_reuse, command
from experiments.mnist_objectives.report import SEEDS, TUNING, best_records, report
from experiments.mnist_objectives.settings import CompareConfig
from ib_jax import data, losses

"""The folders of the records."""


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


def seed_runs(tuning: Sequence[Run], trials: Sequence[Record], num_seeds: int) -> Iterator[Run]:
    """Every objective at its best strength, with each seed, on all training images, and attacked."""
    best = best_records(trials)
    only_tuning = ("num_validation", "num_attack_images", "seed")
    for run_, trial in zip(tuning, trials, strict=True):
        if any(trial is other for other in best):
            settings = {name: value for name, value in run_.settings.items() if name not in only_tuning}
            for seed in range(num_seeds):
                yield Run(f"{SEEDS}/{settings['objective']}_seed{seed}", settings | {"seed": seed})


def run(compare: CompareConfig, session: Session) -> pathlib.Path | None:
    """Makes the records that are not there yet, then the table and the figure.

    Args:
      compare: the settings.
      session: where to show progress and tables, and the command for the records.

    Returns:
      The folder of the records, or None if a run was stopped and can be resumed.

    Raises:
      WorkdirError: a record was made with other settings; and as `mnist_vib.train`.
    """
    console = session.console
    results = pathlib.Path(compare.results or pathlib.Path(compare.workdir) / "results")
    tuning = list(tuning_runs(compare, len(data.load(compare.dataset).train.labels)))
    trials = _make(compare, session, results, tuning, ahead=len(BOTTLENECKS) * compare.num_seeds)
    if trials is None:
        return None
    if _make(compare, session, results, list(seed_runs(tuning, trials, compare.num_seeds)), ahead=0) is None:
        return None
    render.write_report(report, records.load(results, recursive=True), results, console)
    console.print(f"Records, table and figure are in {results}.", highlight=False)
    return results


def _settings(compare: CompareConfig, objective: str, beta: float) -> dict[str, Any]:
    settings = mnist_vib.PRESETS[compare.preset].on(compare.dataset) | {"preset": compare.preset}
    if compare.num_epochs:
        settings["num_epochs"] = compare.num_epochs
    strength = {"beta": beta} if objective in RATE_OBJECTIVES else {"rho": round(float(losses.beta_to_rho(beta)), 4)}
    return settings | strength | {"objective": objective, "figures": False, "epochs_per_eval": settings["num_epochs"]}


def _make(
    compare: CompareConfig, session: Session, results: pathlib.Path, runs: Sequence[Run], *, ahead: int
) -> list[Record] | None:
    """The records of some runs, those that are not there trained now; None if stopped."""
    made = []
    for index, (name, settings) in enumerate(runs):
        path = results / f"{name}.json"
        config = mnist_vib.Config(**settings, workdir=str(pathlib.Path(compare.workdir) / name))
        if path.exists():
            made.append(records.read(path))
            check_reuse(path, made[-1].settings, config, stage=EVALUATION)
            continue
        session.console.rule(f"{name}: run {index + 1} of {len(runs)}, then {ahead} more")
        flags = [f"--{field}={value}" for field, value in settings.items() if field not in ("preset", "figures")]
        line = command("experiments.mnist_vib", [f"--preset={compare.preset}", "--nofigures", *flags])
        record = mnist_vib.train(config, Session("mnist_vib", line, session.console))
        if record is None:
            return None
        records.write(path, record)
        made.append(record)
    return made
