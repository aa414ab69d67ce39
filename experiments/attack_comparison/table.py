"""Make the table of the comparison of attacks from its records.

Run:      python -m experiments.attack_comparison.table
Reads:    experiments/results/attack_comparison/*.json, made by `experiments.attack_comparison`.
Leaves:   table.md beside them.
"""

import json
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markdown import Markdown

RESULTS = pathlib.Path(__file__).parents[1] / "results" / "attack_comparison"
NORMS = {"linf": "L-inf", "l2": "L2"}
Record = Mapping[str, Any]


def read_records(folder: pathlib.Path) -> list[Record]:
    """All records of a folder, in the order of their names."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]


def make(folder: pathlib.Path) -> str:
    """Writes table.md beside a folder's records, and returns it."""
    table = render(read_records(folder))
    (folder / "table.md").write_text(table)
    return table


def render(records: Sequence[Record]) -> str:
    """A table for each record: a line for each attack of each other library."""
    lines = [
        "Attacks of this library beside the same ones of others: same weights, images and settings, all results judged "
        "by the JAX network. At a radius: robust accuracy; without one: the median perturbation of the images that "
        "were classified right, a failure being infinitely far. Lower is the stronger attack. A target is met by at "
        "most 0.5 points more (AutoAttack: 0.3), or a median at most 2 % larger. Attacks on the cross-entropy differ "
        "most with one step: PyTorch's loses the slope of a logit that leads by 17 nats to rounding, "
        "`losses.cross_entropy` does not.",
    ]
    for record in records:
        lines += ["", *_table(record), "", *_notes(record)]
    return "\n".join(lines) + "\n"


def _table(record: Record) -> list[str]:
    network, peers = record["network"], record["peers"]
    names = ("torch", "torchattacks", "foolbox", "pyautoattack")
    versions = ", ".join(f"{name} {peers[name]}" for name in names if name in peers)
    lines = [
        f"**{network['dataset']}**, first {record['num_images']} test images, {record['clean_accuracy']:.1%} "
        f"classified right; {network['objective']}, {network['num_epochs']} epochs; {versions or 'no other library'}",
        "",
        "| attack | radius | ours | library | theirs | ours beside theirs | target |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in record["rows"]:
        for peer, theirs in row["peers"].items():
            radius = "smallest" if row["epsilon"] is None else f"{row['epsilon']:g}"
            cells = [f"{row['name']}, {NORMS[row['norm']]}", radius, _value(row, row["ours"]), peer]
            if theirs["status"] == "measured":
                cells += [_value(row, theirs), _difference(row, theirs), "met" if theirs["met"] else "**missed**"]
            else:
                cells += [theirs["status"], "-", "-"]
            lines.append("| " + " | ".join(cells) + " |")
    return lines


def _value(row: Record, outcome: Record) -> str:
    value = outcome[row["measure"]]
    return f"{value:.1%}" if row["epsilon"] is not None else _number(value)


def _number(median: float | None) -> str:
    return "infinite" if median is None else f"{median:.4f}"


def _difference(row: Record, theirs: Record) -> str:
    value = theirs["difference"]
    return _share(value) if row["epsilon"] is None else f"{100 * value:+.1f} points"


def _share(difference: float | None) -> str:
    return "-" if difference is None else f"{100 * difference:+.1f} %"


def _notes(record: Record) -> list[str]:
    verdicts = [peer["met"] for row in record["rows"] for peer in row["peers"].values() if "met" in peer]
    lines = [f"Targets met: {sum(verdicts)} of {len(verdicts)}."]
    for row in record["rows"]:
        for peer, theirs in row["peers"].items():
            if row["epsilon"] is None and theirs.get("on_boundary"):
                median = theirs["boundary"][row["measure"]]
                lines.append(
                    f"{row['name']}, {NORMS[row['norm']]}, {peer}: {theirs['on_boundary']} of {theirs['num_correct']} "
                    "images end on the boundary itself, where rounding decides, and count as failures above. As "
                    f"successes their median would be {_number(median)}, "
                    f"ours beside it {_share(theirs['boundary_difference'])}, "
                    f"the target {'met' if theirs['boundary_met'] else '**missed**'}."
                )
    for name, outcome in _outcomes(record):
        if outcome.get("outside"):
            lines.append(f"{name}: {outcome['outside']} images outside the ball or [0, 1], counted as failures.")
        if outcome.get("not_finite"):
            lines.append(f"{name}: {outcome['not_finite']} images with a NaN, counted as failures.")
    return ["  \n".join(lines)]


def _outcomes(record: Record) -> Iterator[tuple[str, Record]]:
    for row in record["rows"]:
        where = "smallest" if row["epsilon"] is None else f"radius {row['epsilon']:g}"
        name = f"{row['name']}, {NORMS[row['norm']]}, {where}"
        yield f"{name}, ours", row["ours"]
        yield from ((f"{name}, {peer}", theirs) for peer, theirs in row["peers"].items())


def main() -> None:
    """Writes and prints the table."""
    Console().print(Markdown(make(RESULTS)))


if __name__ == "__main__":
    main()
