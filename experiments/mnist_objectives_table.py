"""Make the table of the comparison of objectives from its records.

Run:      python -m experiments.mnist_objectives_table
Reads:    experiments/results/mnist_objectives/{tuning,seeds}/*.json, each made by `experiments.mnist_objectives`.
Leaves:   table.md and figure.png beside them.
"""

import json
import pathlib
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markdown import Markdown

from experiments.mnist_vib_config import BOTTLENECKS, RATE_OBJECTIVES

RESULTS = pathlib.Path(__file__).parent / "results" / "mnist_objectives"
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
    """The tables in Markdown: the test set at each objective's best strength, and the held-out errors it was chosen by."""
    config, robustness = seeds[0]["config"], seeds[0]["robustness"]
    best = best_records(tuning)
    attacks = [(row["attack"], i, radius) for row in robustness["rows"] for i, radius in enumerate(row["epsilons"])]
    pgd = [column for column in attacks if column[0].startswith("PGD")]
    num_seeds = len({record["config"]["seed"] for record in seeds})
    lines = [
        f"The test set of {config['dataset']}, {config['num_epochs']} epochs on all training images, K = "
        f"{config['latent_dim']}, debiased average of the weights; mean and standard deviation over {num_seeds} seeds.",
        f"PGD accuracy is that of the first {robustness['num_images']} test images under white-box attacks with the "
        f"gradient averaged over {config['num_eot_samples']} samples of z; no transfer or black-box attack stands beside "
        "them yet, so a high number may mean masked gradients.",
        "The rate of CEB is that under the marginal of its backward encoder.",
        "",
        "| objective | strength | error, 12 samples | error, 1 sample | rate, bits | residual, bits | I(Z;Y) >=, bits | "
        "calibration error | " + " | ".join(f"{name}, {radius:g}" for name, _, radius in pgd) + " |",
        "|---|---|---|---|---|---|---|---|" + "---|" * len(pgd),
    ]
    for name in best:
        group = [record for record in seeds if record["config"]["objective"] == name]
        cells = [
            name,
            _strength_name(group[0]),
            _spread(group, lambda record: 100 * record["test"]["error_avg"], "{:.2f}", " %"),
            _spread(group, lambda record: 100 * record["test"]["error_one"], "{:.2f}", " %"),
            _spread(group, lambda record: record["test"]["rate_bits"], "{:.1f}"),
            _spread(group, lambda record: record["test"].get("residual_bits"), "{:.1f}"),
            _spread(group, lambda record: record["test"]["information_zy_bits"], "{:.3f}"),
            _spread(group, lambda record: 100 * record["test"]["calibration_error"], "{:.2f}", " %"),
            *(_spread(group, lambda record, c=column: 100 * _accuracy(record, c), "{:.1f}", " %") for column in pgd),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *_tuning_table(tuning, best)]) + "\n"


def _tuning_table(tuning: Sequence[Record], best: Mapping[str, Record]) -> list[str]:
    config = tuning[0]["config"]
    lines = [
        f"Error on {config['num_validation']} held-out training images with 12 samples, seed {config['seed']}, after "
        f"{config['num_epochs']} epochs on the others; the best of each row, in bold, was chosen. rho is that of the same "
        "column's beta.",
        "",
    ]
    betas = sorted({record["config"]["beta"] for record in tuning if record["config"]["objective"] in RATE_OBJECTIVES})
    rhos = sorted({strength(r) for r in tuning if r["config"]["objective"] not in RATE_OBJECTIVES}, reverse=True)
    heads = [f"beta {beta:g}, rho {rho:.1f}" for beta, rho in zip(betas, rhos, strict=True)]
    lines += ["| objective | " + " | ".join(heads) + " |", "|---|" + "---|" * len(heads)]
    for name in best:
        group = {strength(record): record for record in tuning if record["config"]["objective"] == name}
        order = sorted(group, reverse=name not in RATE_OBJECTIVES)
        cells = [f"{100 * group[value]['validation']['error_avg']:.2f} %" for value in order]
        cells = [f"**{c}**" if group[v] is best[name] else c for v, c in zip(order, cells, strict=True)]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def _strength_name(record: Record) -> str:
    kind = "beta" if record["config"]["objective"] in RATE_OBJECTIVES else "rho"
    return f"{kind} = {strength(record):.3g}"


def _accuracy(record: Record, column: tuple[str, int, float]) -> float:
    name, index, _ = column
    return next(row["accuracy"][index] for row in record["robustness"]["rows"] if row["attack"] == name)


def _spread(group: Sequence[Record], value: Callable[[Record], float | None], form: str, unit: str = "") -> str:
    values = [number for number in map(value, group) if number is not None]
    if not values:
        return "-"
    mean = form.format(statistics.fmean(values))
    return f"{mean}{unit}" if len(values) == 1 else f"{mean} ± {form.format(statistics.stdev(values))}{unit}"


def main() -> None:
    """Writes and prints the table, and draws the figure."""
    from experiments import figures

    tuning, seeds = read_records(RESULTS / "tuning"), read_records(RESULTS / "seeds")
    table = render(tuning, seeds)
    (RESULTS / "table.md").write_text(table)
    figures.objectives_figure(RESULTS / "figure.png", tuning)
    Console().print(Markdown(table))


if __name__ == "__main__":
    main()
