"""Checks the paper's inequalities on exact problems."""

import dataclasses
import pathlib
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from rich.markdown import Markdown

from experiments.core import records
from experiments.core.app import Session
from experiments.core.workdir import environment
from experiments.theorems import problems as theorems_problems
from experiments.theorems import table as theorems_table
from experiments.theorems import toy as theorems_toy
from experiments.theorems.settings import TheoremsConfig


def summarise(sides: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """A row for each inequality, from its two sides.

    Args:
      sides: float [N, 2] by name, the value and its bound.

    Returns:
      Rows with `name`, `problems`, `violations` (by more than 1e-9 of the value), `least` slack and `quantiles`, the
      5, 25, 50, 75 and 95 % quantiles of the slack; infinite where the value is zero.
    """
    rows = []
    for name in (name for name in theorems_table.THEOREM_NAMES if name in sides):
        value, bound = sides[name].T
        slack = np.divide(bound, value, out=np.full_like(bound, np.inf), where=value > 1e-15)
        quantiles = np.quantile(slack, [0.05, 0.25, 0.5, 0.75, 0.95], method="lower")
        rows.append(
            {
                "name": name,
                "problems": len(value),
                "violations": int(np.sum(value > bound * (1 + 1e-9) + 1e-12)),
                "least": float(slack.min()),
                "quantiles": quantiles,
            }
        )
    return rows


def vacuity(sides: Mapping[str, np.ndarray]) -> dict[str, int]:
    """In how many problems a bound says something at all.

    Args:
      sides: float [N, 2] by name, the value and its bound.

    Returns:
      Counts: where Theorem 2 is below the trivial bound, and where Theorem 4's delta', as printed and with the total
      variation, is below 1, which no delta exceeds.
    """
    bound = {name: pairs[:, 1] for name, pairs in sides.items()}
    return {
        "theorem_2_below_trivial": int(np.sum(bound["theorem 2"] < bound["theorem 2, trivial"])),
        "theorem_4_printed_below_1": int(np.sum(bound["theorem 4, printed"] < 1.0 - 1e-12)),
        "theorem_4_below_1": int(np.sum(bound["theorem 4"] < 1.0 - 1e-12)),
    }


def run(config: TheoremsConfig, session: Session) -> dict[str, Any]:
    """Measures and writes the record, the table and the figures.

    Args:
      config: the settings.
      session: where to show progress and tables, and the command for the records.

    Returns:
      The record.
    """
    console, command = session.console, session.command
    results, start = pathlib.Path(config.results), time.monotonic()
    sides = theorems_problems.measure(config.num_problems, config.seed)
    record = {
        "experiment": "theorems",
        "command": command,
        "config": dataclasses.asdict(config),
        "environment": environment(),
        "noise": theorems_toy.NOISE,
        "inequalities": summarise(sides),
        "vacuity": vacuity(sides),
        "statistics": theorems_problems.statistic_counts(config.num_tables, config.seed),
        "toy": theorems_toy.measure(config.num_points, config.num_training, config.num_sets, config.seed),
    }
    records.write_json(results / "theorems.json", record)
    saved = theorems_table.read_record(results)
    (results / "table.md").write_text(theorems_table.render(saved))
    from experiments.theorems import figures as theorems_figures  # matplotlib takes a second to import

    theorems_figures.draw(results, saved)
    console.print(Markdown(theorems_table.render(saved)))
    seconds = time.monotonic() - start
    console.print(f"Record, table and figures are in {results}, after {seconds:.0f} s.", highlight=False)
    return saved
