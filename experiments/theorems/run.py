"""Checks the paper's inequalities on exact problems."""

import pathlib
from collections.abc import Mapping

import numpy as np

from experiments.core import records
from experiments.core.records import Measurement, Model, Record
from experiments.core.session import Session
from experiments.theorems import problems, toy
from experiments.theorems.report import NAMES, SLACKS
from experiments.theorems.settings import TheoremsConfig


def summarise(sides: Mapping[str, np.ndarray], seed: int = 0) -> list[Model]:
    """The numbers of each inequality, from its two sides, the value and its bound, float [N, 2].

    Returns:
      `problems`, `violations` (by more than 1e-9 of the value), `slack_least`, and the quantiles of the slack by
      `SLACKS`; infinite where the value is zero.
    """
    models = []
    for name in (name for name in NAMES if name in sides):
        value, bound = sides[name].T
        slack = np.divide(bound, value, out=np.full_like(bound, np.inf), where=value > 1e-15)
        quantiles = np.quantile(slack, list(SLACKS.values()), method="lower")
        values = {
            "problems": len(value),
            "violations": int(np.sum(value > bound * (1 + 1e-9) + 1e-12)),
            "slack_least": float(slack.min()),
            **dict(zip(SLACKS, quantiles.tolist(), strict=True)),
        }
        models.append(Model(name, seed, [Measurement({}, values)], {"kind": "inequality"}))
    return models


def vacuity(sides: Mapping[str, np.ndarray]) -> dict[str, int]:
    """In how many problems a bound says something at all.

    Theorem 2 does below the trivial bound; Theorem 4's delta', as printed and with the total variation, below 1, which
    no delta exceeds.
    """
    bound = {name: pairs[:, 1] for name, pairs in sides.items()}
    return {
        "theorem_2_below_trivial": int(np.sum(bound["theorem 2"] < bound["theorem 2, trivial"])),
        "theorem_4_printed_below_1": int(np.sum(bound["theorem 4, printed"] < 1.0 - 1e-12)),
        "theorem_4_below_1": int(np.sum(bound["theorem 4"] < 1.0 - 1e-12)),
    }


def run(config: TheoremsConfig, session: Session) -> Record:
    """Measures and writes the record, the table and the figures."""
    seed = config.seed
    sides = problems.measure(config.num_problems, seed)
    counts = {**vacuity(sides), **problems.statistic_counts(config.num_tables, seed)}
    models = [*summarise(sides, seed), Model("counts", seed, [Measurement({}, counts)], {"kind": "counts"})]
    cases, bayes_error = toy.measure(config.num_points, config.num_training, config.num_sets, seed)
    record = session.record([*models, *cases], config, details={"noise": toy.NOISE, "bayes_error": bayes_error})
    records.write(pathlib.Path(config.results) / "theorems.json", record)
    session.publish(config.results)  # as it was written: what is infinite is null there
    return record
