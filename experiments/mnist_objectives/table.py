"""Make the table of the comparison of objectives from its records.

Run:      python -m experiments.mnist_objectives.table
Reads:    experiments/results/mnist_objectives/{tuning,seeds}/*.json, each made by `experiments.mnist_objectives`.
Leaves:   table.md and figure.png beside them.
"""

import functools
import json
import math
import pathlib
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markdown import Markdown

from experiments.core.settings import BOTTLENECKS, RATE_OBJECTIVES

RESULTS = pathlib.Path(__file__).parents[1] / "results" / "mnist_objectives"
Record = Mapping[str, Any]


def read_records(folder: pathlib.Path) -> list[Record]:
    """All records of a folder, in the order of their names."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]


def strength(record: Record) -> float:
    """beta for a rate, rho for a residual."""
    config = record["config"]
    return config["beta"] if config["objective"] in RATE_OBJECTIVES else config["rho"]


def best_records(tuning: Sequence[Record]) -> dict[str, Record]:
    """For each objective the record with the lowest held-out error, and of equal ones the lowest cross-entropy."""

    def held_out(record: Record) -> tuple[float, float]:
        return record["validation"]["error_avg"], record["validation"]["cross_entropy"]

    groups = {name: [record for record in tuning if record["config"]["objective"] == name] for name in BOTTLENECKS}
    return {name: min(group, key=held_out) for name, group in groups.items() if group}


def render(tuning: Sequence[Record], seeds: Sequence[Record]) -> str:
    """The tables in Markdown: the test set at each objective's best strength, and the errors it was chosen by."""
    config, robustness = seeds[0]["config"], seeds[0]["robustness"]
    best = best_records(tuning)
    groups = [[record for record in seeds if record["config"]["objective"] == name] for name in best]
    rows: list[tuple[str, Callable[[Record], float | None], str]] = [
        ("error, 12 samples, %", lambda record: 100 * record["test"]["error_avg"], "{:.2f}"),
        ("error, 1 sample, %", lambda record: 100 * record["test"]["error_one"], "{:.2f}"),
        ("error at the mean of z, %", lambda record: 100 * record["test"]["error_mean"], "{:.2f}"),
        ("I(X;Z) <= rate, bits", lambda record: record["test"]["rate_bits"], "{:.1f}"),
        ("I(X;Z\\|Y) <= residual, bits", lambda record: record["test"].get("residual_bits"), "{:.1f}"),
        ("I(Z;Y) >=, bits", lambda record: record["test"]["information_zy_bits"], "{:.3f}"),
        ("calibration error, %", lambda record: 100 * record["test"]["calibration_error"], "{:.2f}"),
    ]
    for row in robustness["rows"]:
        for index, radius in enumerate(row["epsilons"]):
            accuracy = functools.partial(_accuracy, attack=row["attack"], index=index)
            rows.append((f"accuracy, {row['attack']}, {radius:g}, %", accuracy, "{:.1f}"))
    lines = [
        f"The test set of {config['dataset']}, {config['num_epochs']} epochs on all training images, K = "
        f"{config['latent_dim']}, debiased average of the weights: mean and standard deviation over "
        f"{len(groups[0])} seeds, each objective at the strength that was best on held-out training images.",
        f"Attacked are the first {robustness['num_images']} test images, by white-box attacks with gradients averaged "
        f"over {config['num_eot_samples']} samples of z; no transfer or black-box attack stands beside them, so a "
        "high number may mean masked gradients. The rate of CEB is that under the marginal of its backward encoder.",
        "",
        "| | "
        + " | ".join(f"{name}, {_strength_name(group[0])}" for name, group in zip(best, groups, strict=True))
        + " |",
        "|---|" + "---|" * len(best),
    ]
    for label, value, form in rows:
        lines.append(f"| {label} | " + " | ".join(_spread(group, value, form) for group in groups) + " |")
    return "\n".join([*lines, "", *_tuning_table(tuning, best)]) + "\n"


def _tuning_table(tuning: Sequence[Record], best: Mapping[str, Record]) -> list[str]:
    config = tuning[0]["config"]
    columns = {name: [r for r in tuning if r["config"]["objective"] == name] for name in best}
    for name, column in columns.items():
        column.sort(key=strength, reverse=name in RATE_OBJECTIVES)  # from the strongest bottleneck to the weakest
    lowest = min(record["validation"]["error_avg"] for record in tuning)
    deviation = 100 * math.sqrt(lowest * (1 - lowest) / config["num_validation"])
    lines = [
        f"Error in % on {config['num_validation']} held-out training images (12 samples, seed {config['seed']}, "
        f"{config['num_epochs']} epochs on the others), each with a standard error of about {deviation:.2f}. The "
        "best of each column, in bold, was chosen; of equal errors the one with the lower cross-entropy.",
        "",
        "| strength | " + " | ".join(columns) + " |",
        "|---|" + "---|" * len(columns),
    ]
    for row in zip(*columns.values(), strict=True):
        names = " or ".join(dict.fromkeys(map(_strength_name, row)))
        errors = [100 * record["validation"]["error_avg"] for record in row]
        chosen = [any(record is other for other in best.values()) for record in row]
        cells = [f"**{error:.2f}**" if bold else f"{error:.2f}" for error, bold in zip(errors, chosen, strict=True)]
        lines.append(f"| {names} | " + " | ".join(cells) + " |")
    return lines


def _strength_name(record: Record) -> str:
    kind = "beta" if record["config"]["objective"] in RATE_OBJECTIVES else "rho"
    return f"{kind} = {strength(record):.3g}"


def _accuracy(record: Record, *, attack: str, index: int) -> float:
    return next(100 * row["accuracy"][index] for row in record["robustness"]["rows"] if row["attack"] == attack)


def _spread(group: Sequence[Record], value: Callable[[Record], float | None], form: str) -> str:
    values = [number for number in map(value, group) if number is not None]
    if not values:
        return "-"
    mean = form.format(statistics.fmean(values))
    return mean if len(values) == 1 else f"{mean} ± {form.format(statistics.stdev(values))}"


def main() -> None:
    """Writes and prints the table, and draws the figure."""
    from experiments.core import plots as figures

    tuning, seeds = read_records(RESULTS / "tuning"), read_records(RESULTS / "seeds")
    table = render(tuning, seeds)
    (RESULTS / "table.md").write_text(table)
    figures.objectives_figure(RESULTS / "figure.png", tuning)
    Console().print(Markdown(table))


if __name__ == "__main__":
    main()
