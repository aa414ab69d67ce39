"""Tunes each objective, trains it with several seeds, and compares them."""

import dataclasses
import pathlib
from collections.abc import Iterable
from typing import Any

from experiments import mnist_vib
from experiments.core import records
from experiments.core.records import Record
from experiments.core.session import Session
from experiments.core.settings import EVALUATION
from experiments.core.workdir import check_reuse
from experiments.mnist_objectives.report import SEEDS, TUNING, best_records
from experiments.mnist_objectives.settings import STRENGTH, CompareConfig
from ib_jax import data

Runs = dict[str, dict[str, Any]]
"""Training runs: by the name of the record what differs from the recipe."""


def tuning_runs(compare: CompareConfig) -> Runs:
    """Every objective at every strength, where there is a choice, with images held out and no attack."""
    held_out = compare.num_validation or len(data.load(compare.dataset).train.labels) // 6
    common: dict[str, Any] = {"num_validation": held_out, "num_attack_images": 0, "seed": 0}
    common |= {"num_epochs": compare.tuning_epochs} if compare.tuning_epochs else {}
    return {
        f"{TUNING}/{objective}_{name}": {"objective": objective, **own, **common}
        for objective in compare.compared
        if len(tried := compare.candidates(objective)) > 1
        for name, own in tried.items()
    }


def seed_runs(compare: CompareConfig, trials: Iterable[Record]) -> Runs:
    """Every objective at its best strength, with each seed, on all training images, and attacked."""
    best, runs = {record.settings["objective"]: record.settings for record in best_records(trials)}, Runs()
    for objective in compare.compared:
        (own, *_), name = compare.candidates(objective).values(), STRENGTH[objective]
        own = {name: best[objective][name]} if objective in best else own
        own = {"objective": objective, **own, "num_attack_images": compare.num_attack_images}
        runs |= {f"{SEEDS}/{objective}_seed{seed}": own | {"seed": seed} for seed in range(compare.num_seeds)}
    return runs


def run(compare: CompareConfig, session: Session) -> pathlib.Path | None:
    """Makes the records that are not there yet and the report; their folder, or None if stopped, to be resumed.

    Raises:
      WorkdirError: a record was made with other settings; and as `mnist_vib.train`.
    """
    results = pathlib.Path(compare.results or pathlib.Path(compare.workdir) / "results")
    trials = _make(compare, session, results, tuning_runs(compare), ahead=len(compare.compared) * compare.num_seeds)
    if trials is None:
        return None
    if _make(compare, session, results, seed_runs(compare, trials), ahead=0) is None:
        return None
    session.publish(results)
    return results


def _make(
    compare: CompareConfig, session: Session, results: pathlib.Path, runs: Runs, *, ahead: int
) -> list[Record] | None:
    """The records of some runs, those that are not there trained now; None if stopped."""
    made = []
    for index, (name, own) in enumerate(runs.items()):
        path = results / f"{name}.json"
        config, its_session = mnist_vib.one_of_many(compare, name, session, **own)
        if path.exists():
            record = records.read(path)
            check_reuse(path, record.settings, config, stage=EVALUATION)
        else:
            session.console.rule(f"{name}: run {index + 1} of {len(runs)}, then {ahead} more")
            trained = mnist_vib.train(config, its_session)
            if trained is None:
                return None
            record = dataclasses.replace(trained, experiment=session.experiment)
            records.write(path, record)
        made.append(record)
    return made
