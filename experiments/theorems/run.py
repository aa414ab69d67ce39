"""The paper's theorems on exact problems: every inequality over random draws, and two Gaussians with a linear oracle.

Paper:    Improving Adversarial Robustness: An Information-Theoretic Perspective, sections 3, 4.1, 4.2 and 5.
Run:      python -m experiments.theorems
Cost:     seconds on one CPU core.
Expect:   no violation of Lemma 1, of Theorem 2 with derived constants and of Theorem 4 for random predictions; but
          Theorem 2 never below max(I(X;T), I(X';T')), and Theorem 4's delta' never below 1. Violations of what is false
          as printed: Theorem 1 off the support or with a decoder that is not the best one, Theorem 4 for the most
          likely label, the Lipschitz constant of an encoder on a grid.
Leaves:   theorems.json, table.md, toy.png and slack.png in --results.
"""

import dataclasses
import pathlib
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.markdown import Markdown

from experiments.core import flags, records
from experiments.core.flags import setting
from experiments.theorems import problems as theorems_problems
from experiments.theorems import table as theorems_table
from experiments.theorems import toy as theorems_toy


@dataclasses.dataclass(frozen=True)
class TheoremsConfig:
    """The settings."""

    num_problems: int = setting(1000, "Problems", "Random problems of each kind.")
    num_tables: int = setting(60, "Problems", "Random tables for Theorem 1; all statistics of each are tried.")
    num_points: int = setting(4000, "Toy problem", "Points of the two Gaussians.")
    num_training: int = setting(20, "Toy problem", "Points that a learned decoder sees, half from each class.")
    num_sets: int = setting(30, "Toy problem", "Training sets that a learned decoder's numbers are the mean of.")
    seed: int = setting(0, "Problems", "Seed of all draws.")
    results: str = setting("workdirs/theorems", "Output", "Folder of the record, the table and the figures.")

    def __post_init__(self) -> None:
        least = {"num_problems": 1, "num_tables": 1, "num_points": 1, "num_training": 6, "num_sets": 1, "seed": 0}
        for name, low in least.items():
            if getattr(self, name) < low:
                raise ValueError(f"--{name} must be at least {low}, got {getattr(self, name)}")


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


def run(config: TheoremsConfig, console: Console, *, command: str = "") -> dict[str, Any]:
    """Measures and writes the record, the table and the figures.

    Args:
      config: the settings.
      console: where to show the table.
      command: the command line to write into the record.

    Returns:
      The record.
    """
    results, start = pathlib.Path(config.results), time.monotonic()
    sides = theorems_problems.measure(config.num_problems, config.seed)
    record = {
        "experiment": "theorems",
        "command": command,
        "config": dataclasses.asdict(config),
        "environment": records.environment(),
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


def main(argv: Sequence[str]) -> None:
    """Reads the flags and runs."""
    del argv
    try:
        run(flags.config_from_flags(TheoremsConfig), Console(), command=records.command("experiments.theorems"))
    except ValueError as error:
        sys.exit(f"theorems: {error}")


def launch() -> None:
    """Defines the flags and runs."""
    flags.run_app(main, TheoremsConfig, __doc__ or "")
