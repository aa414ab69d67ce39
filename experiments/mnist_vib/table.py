"""Make the table of the MNIST experiment from its records.

Paper:    Alemi, Fischer, Dillon, Murphy, Deep Variational Information Bottleneck (2017): Table 1.
Run:      python -m experiments.mnist_vib.table
Reads:    experiments/results/mnist_vib/*.json, each a `results.json` of `experiments.mnist_vib`.
Leaves:   table.md beside them.
"""

import json
import pathlib
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markdown import Markdown

RESULTS = pathlib.Path(__file__).parents[1] / "results" / "mnist_vib"
PAPER_ERROR = {  # Table 1 of the paper, K = 256, in percent
    "vib": 1.13,
    "cross_entropy": 1.38,
    "dropout": 1.34,
    "confidence_penalty": 1.36,
    "label_smoothing": 1.40,
}
Record = Mapping[str, Any]


def read_records(folder: pathlib.Path) -> list[Record]:
    """All records of a folder, in the order of their names."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]


def render(records: Sequence[Record]) -> str:
    """The table in Markdown: a row for each configuration, mean and spread over its seeds beside the paper's value."""
    groups: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        config = record["config"]
        beta = config["beta"] if config["objective"] == "vib" else None
        key = (config["preset"], config["objective"], beta, config["latent_dim"], config["num_epochs"])
        groups.setdefault(key, []).append(record)
    lines = [
        "Error on the 10,000 test images of MNIST, debiased average of the weights; mean over seeds, and their range.",
        "",
        "| recipe | objective | seeds | error, 12 samples | error, 1 sample | error at the mean | paper | rate, bits | "
        "I(Z;Y) >=, bits | calibration error |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for (preset, objective, beta, latent_dim, num_epochs), group in groups.items():
        name = objective if beta is None else f"{objective}, beta {beta:g}"
        seeds = ", ".join(str(record["config"]["seed"]) for record in group)
        paper = f"{PAPER_ERROR[objective]:.2f} %" if latent_dim == 256 else "-"
        stochastic = beta is not None
        cells = [
            f"{preset}, {num_epochs} epochs, K = {latent_dim}",
            name,
            seeds,
            _spread(group, lambda test: 100 * test["error_avg"], "{:.2f} %") if stochastic else "-",
            _spread(group, lambda test: 100 * test["error_one"], "{:.2f} %") if stochastic else "-",
            _spread(group, lambda test: 100 * test["error_mean"], "{:.2f} %"),
            paper,
            _spread(group, lambda test: test["rate_bits"], "{:.2f}") if stochastic else "-",
            _spread(group, lambda test: test["information_zy_bits"], "{:.3f}"),
            _spread(group, lambda test: 100 * test["calibration_error"], "{:.2f} %"),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *_robustness(groups)]) + "\n"


def _spread(group: Sequence[Record], value: Callable[[Mapping[str, float]], float], form: str) -> str:
    values = [value(record["test"]) for record in group]
    mean = form.format(statistics.fmean(values))
    return mean if len(values) == 1 else f"{mean} ({form.format(min(values))} to {form.format(max(values))})"


def _robustness(groups: Mapping[tuple[Any, ...], Sequence[Record]]) -> list[str]:
    first = next(iter(groups.values()))[0]["robustness"]
    columns = [(row["attack"], i, radius) for row in first["rows"] for i, radius in enumerate(row["epsilons"])]
    lines = [
        f"Accuracy on the first {first['num_images']} test images under white-box attacks, gradients averaged over "
        "samples of z, mean over seeds.",
        "These use the model's own gradients only: until transfer and black-box attacks stand beside them, a high "
        "number may mean masked gradients rather than robustness.",
        "",
        "| recipe | objective | " + " | ".join(f"{attack}, {radius:g}" for attack, _, radius in columns) + " |",
        "|---|---|" + "---|" * len(columns),
    ]
    for (preset, objective, *_), group in groups.items():
        cells = [preset, objective]
        for attack, i, _ in columns:
            rows = [row for record in group for row in record["robustness"]["rows"] if row["attack"] == attack]
            cells.append(f"{100 * statistics.fmean(row['accuracy'][i] for row in rows):.1f} %")
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    """Writes and prints the table."""
    table = render(read_records(RESULTS))
    (RESULTS / "table.md").write_text(table)
    Console().print(Markdown(table))


if __name__ == "__main__":
    main()
