"""Make the table and the figures of the theorems from their record.

Run:      python -m experiments.theorems.table
Reads:    experiments/results/theorems/theorems.json, made by `experiments.theorems`.
Leaves:   table.md, toy.png and slack.png beside it.
"""

import json
import pathlib
from typing import Any

from rich.console import Console
from rich.markdown import Markdown

RESULTS = pathlib.Path(__file__).parents[1] / "results" / "theorems"
THEOREM_NAMES = {
    "lemma 1": "Lemma 1",
    "theorem 2": "Theorem 2, C1 to C4 derived",
    "theorem 2, trivial": "beside it: max(I(X;T), I(X';T'))",
    "theorem 2, smooth": "beside it: 2 M psi(L eps) for M codes",
    "theorem 3": "Theorem 3, corrected",
    "theorem 3, printed": "Theorem 3, as printed",
    "theorem 4": "Theorem 4 with TV(p(t), q(t))",
    "theorem 4, half": "Theorem 4 with M L eps / 2",
    "theorem 4, printed": "Theorem 4, as printed",
    "theorem 4, most likely label": "the same for the most likely label",
    "quantised": "L of a grid encoder, corrected",
    "quantised, printed": "L of a grid encoder, as printed",
}


def read_record(folder: pathlib.Path) -> dict[str, Any]:
    """The record."""
    record: dict[str, Any] = json.loads((folder / "theorems.json").read_text())
    return record


def render(record: dict[str, Any]) -> str:
    """The table of inequalities, what all statistics say of Theorem 1, and the toy problem."""
    counts, toy = record["statistics"], record["toy"]
    lines = [
        "Random exact problems. Slack: the bound over what it bounds; below 1 the inequality is violated.",
        "",
        "| inequality | problems | violations | median slack | least slack |",
        "|---|---|---|---|---|",
    ]
    for row in record["inequalities"]:
        cells = [THEOREM_NAMES[row["name"]], row["problems"], row["violations"], _short(row["quantiles"][2])]
        lines.append("| " + " | ".join(map(str, [*cells, _short(row["least"])])) + " |")
    vacuity = record["vacuity"]
    lines += [
        "",
        f"Theorem 2 is below max(I(X;T), I(X';T')) in {vacuity['theorem_2_below_trivial']} problems. "
        f"Theorem 4's delta' for random predictions is below 1, and so says something, in "
        f"{vacuity['theorem_4_printed_below_1']} as printed and in {vacuity['theorem_4_below_1']} with the "
        "total variation.",
        "",
        f"**Theorem 1**, all {counts['statistics']} statistics of {counts['problems']} tables. Assumption 1 holds for "
        f"all pairs of statistics in {counts['assumption_1']} tables.",
        "",
        "| statistics | of | have an adversarial example |",
        "|---|---|---|",
        f"| insufficient, on the support, best decoder | {counts['statistics'] - counts['sufficient']} | "
        f"{counts['attackable'] - counts['attackable_sufficient']} |",
        f"| sufficient but not minimal, on the support, best decoder | {counts['not_minimal']} | "
        f"{counts['attackable_sufficient'] - counts['attackable_minimal']} |",
        f"| minimal sufficient, on the support, best decoder | {counts['minimal']} | {counts['attackable_minimal']} |",
        f"| minimal sufficient, attack may leave the support | {counts['minimal']} | {counts['off_support']} |",
        f"| minimal sufficient, decoder wrong on one value | {counts['minimal']} | {counts['wrong_decoder']} |",
        "",
        f"**Two Gaussians** (Bayes error {100 * toy['bayes_error']:.2f} %), information in nats of the statistic with "
        f"noise {record['noise']:g}; learned decoders from {record['config']['num_training']} points.",
        "",
        "| statistic and decoder | I(X;T) | I(T;Y) | error | f(x) != o(x) | example within 0.5 | within 1 |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in toy["rows"]:
        shares = [row["shares"][toy["epsilons"].index(epsilon)] for epsilon in (0.5, 1.0)]
        percents = [f"{100 * value:.2f} %" for value in (row["error"], row["disagreement"], *shares)]
        lines.append(
            "| " + " | ".join([row["name"], f"{row['rate']:.3f}", f"{row['information']:.3f}", *percents]) + " |"
        )
    return "\n".join(lines) + "\n"


def _short(value: float | None) -> str:
    return "infinite" if value is None else f"{value:.4g}"


def main() -> None:
    """Writes and prints the table, and draws the figures."""
    from experiments.theorems import figures as theorems_figures

    record = read_record(RESULTS)
    (RESULTS / "table.md").write_text(render(record))
    theorems_figures.draw(RESULTS, record)
    Console().print(Markdown(render(record)))


if __name__ == "__main__":
    main()
