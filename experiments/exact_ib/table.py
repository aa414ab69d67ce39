"""Make the table of the exact experiment from its records.

Run:      python -m experiments.exact_ib.table
Reads:    experiments/results/exact_ib/{gaussian,discrete}.json, made by `experiments.exact_ib`.
Leaves:   table.md and figure.png beside them.
"""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markdown import Markdown

RESULTS = pathlib.Path(__file__).parents[1] / "results" / "exact_ib"


def read_records(folder: pathlib.Path) -> list[dict[str, Any]]:
    """The records of both problems."""
    return [json.loads((folder / f"{name}.json").read_text()) for name in ("gaussian", "discrete")]


def render(records: Sequence[dict[str, Any]]) -> str:
    """A table for each problem: where each objective ends, beside the exact optimum at its beta."""
    lines = [
        "Exact information of trained codes, in nats. Shortfall: how far I(Z;Y) is below the highest of any encoder "
        "with the same I(X;Z); an asterisk marks a rate whose optimum the family of encoders does not contain, "
        "and a dash where there is no information to speak of.",
    ]
    for record in records:
        objectives = record["objectives"]
        heads = [f"{name}: I(X;Z), I(Z;Y) | shortfall" for name in objectives]
        lines += ["", f"**{record['problem']}**", ""]
        lines += ["| beta | optimum: I(X;Z), I(Z;Y) | " + " | ".join(heads) + " |"]
        lines += ["|---|---|" + "---|---|" * len(heads)]
        for rows in zip(*objectives.values(), strict=True):
            cells = [f"{rows[0]['beta']:g}", f"{rows[0]['optimal_xz']:.3f}, {rows[0]['optimal_zy']:.4f}"]
            for row in rows:
                shortfall = f"{100 * row['shortfall']:.2f} %{'' if row['contained'] else '*'}"
                cells += [f"{row['information_xz']:.3f}, {row['information_zy']:.4f}"]
                cells += [shortfall if row["information_zy"] > 1e-3 else "-"]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Writes and prints the table, and draws the figure."""
    from experiments.core import plots as figures

    records = read_records(RESULTS)
    (RESULTS / "table.md").write_text(render(records))
    figures.exact_curves(RESULTS / "figure.png", records)
    Console().print(Markdown(render(records)))


if __name__ == "__main__":
    main()
