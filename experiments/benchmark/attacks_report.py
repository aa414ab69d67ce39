"""What `experiments.benchmark --suite=attacks` says: targets, and a table for each task."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from experiments.benchmark.show import print_peak, print_targets, spread

PGD, CW, CW_WHOLE, DEEPFOOL, RADII = "PGD-20", "CW 3 x 100", "CW 3 x 100, all steps", "DeepFool", "eight radii"
LIBRARIES = ("torchattacks", "foolbox")
AVX512 = "-avx512"

REFERENCES = {
    PGD: {"jax": "JAX, all steps", "jax-early": "JAX, early stop"},
    CW: {"jax": "JAX"},
    CW_WHOLE: {"jax": "JAX"},
    DEEPFOOL: {"jax": "JAX"},
    RADII: {"one": "one radius, all steps", "one-early": "one radius, early stop"},
}
"""The rows of each task that all others are divided by."""

GOALS = {
    PGD: (LIBRARIES, {"": 2.2, AVX512: 1.2}),
    CW: (LIBRARIES, {"": 2.6, AVX512: 1.5}),
    CW_WHOLE: (LIBRARIES, {"": 2.6, AVX512: 1.5}),
    DEEPFOOL: (("torchattacks",), {"": 10.0, AVX512: 10.0}),
}
"""How much faster than the fastest of these, as installed and with AVX-512 forced."""

MOST_FOR_EIGHT = 5.0


def attack_targets(tasks: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """What was promised for two cores, what was measured, and whether it is met; without the rows that are missing."""
    found = {}
    for task, (libraries, goals) in GOALS.items():
        rows = tasks[task]["rows"]
        for suffix, target in goals.items():
            peers = [rows[name + suffix] for name in libraries if "ratios" in rows.get(name + suffix, {})]
            if not peers:
                continue
            best = max(peers, key=lambda row: row["images_per_second"]["median"])
            for reference, label in tasks[task]["references"].items():
                value = best["ratios"][reference]["median"]
                name = f"{task}: {label} / {best['label']}{'' if suffix else ', as installed'}"
                found[name] = {"target": target, "measured": value, "met": value >= target}
    for reference, label in tasks[RADII]["references"].items():
        value = tasks[RADII]["rows"]["curve"]["ratios"][reference]["median"]
        name = f"time of eight radii / {label}"
        found[name] = {"target": MOST_FOR_EIGHT, "measured": value, "met": value < MOST_FOR_EIGHT, "at_most": True}
    return found


def print_attacks(console: Console, record: Mapping[str, Any]) -> None:
    """Prints a table for each task: first call, images a second, share of the peak, time beside the references'."""
    network = record["network"]
    sizes = "-".join(str(size) for size in (network["layers"][0][0], *(layer[1] for layer in network["layers"])))
    console.print(
        f"Attacks on {sizes}, {network['dataset']}, {network['num_epochs']} epochs ({network['checkpoint']}), "
        f"{record['clean_accuracy']:.1%} right before the attack; {record['config']['repeats']} rounds.",
        highlight=False,
    )
    for name, task in record["tasks"].items():
        table = Table(title=name, title_justify="left")
        table.add_column("", no_wrap=True)
        references = [f"time / {label}" for label in task["references"].values()]
        for column in ("images", "first, s", "images/s (range)", "of peak", *references, "result"):
            table.add_column(column, justify="right")
        for row in task["rows"].values():
            table.add_row(row["label"], str(row["num_images"]), *_cells(row, list(task["references"])))
        console.print(table)
    print_peak(console, record)
    print_targets(console, record)


def _cells(row: Mapping[str, Any], references: list[str]) -> Iterator[str]:
    if row["status"] != "measured":
        yield from ("-", row["status"], *("-" for _ in ("peak", *references, "result")))
        return
    yield f"{row['first_call_seconds']:.1f}"
    yield spread(row["images_per_second"], ",.0f")
    yield f"{row['mfu']:.0%}" if "mfu" in row else "-"
    for reference in references:
        yield spread(row["ratios"][reference], ".2f") if "ratios" in row else "-"
    outcome = row["outcome"]
    if "median_l2_all" in outcome:
        median = outcome["median_l2_all"]
        yield "most failed" if median is None or median == float("inf") else f"median L2 {median:.3f}"
    elif isinstance(outcome["robust_accuracy"], list):
        yield " ".join(f"{value:.0%}" for value in outcome["robust_accuracy"])
    else:
        yield f"{outcome['robust_accuracy']:.1%} stand"
