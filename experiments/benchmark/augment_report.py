"""What `experiments.benchmark --suite=augment` says: a table for each size of pictures, and the target."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from experiments.benchmark.show import print_targets, spread

REFERENCE = "jax"
"""The row that others are compared with: torchvision's magnitudes, as they have them."""

GOALS = {"CIFAR-10": 5.0}
"""How many times as fast as torchvision's fastest way."""


def augment_targets(tasks: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """What was promised, what was measured, and whether it is met; without the rows that are missing."""
    found = {}
    for task, target in GOALS.items():
        rows = tasks[task]["rows"]
        peers = [row for key, row in rows.items() if not key.startswith("jax") and "jax_is_faster" in row]
        if peers:
            best = max(peers, key=lambda row: row["images_per_second"]["median"])
            value = best["jax_is_faster"]["median"]
            name = f"{task}: {rows[REFERENCE]['label']} / {best['label']}"
            found[name] = {"target": target, "measured": value, "met": value >= target}
    return found


def print_augment(console: Console, record: Mapping[str, Any]) -> None:
    """Prints a line for each way: first batch, images a second, how many times as fast JAX is."""
    config, worker = record["config"], record["worker"]
    for name, task in record["tasks"].items():
        title = (
            f"AutoAugment for {name}, {task['size']} x {task['size']}, batch {config['pictures']}, "
            f"{config['repeats']} rounds of {config['min_seconds']:g} s"
        )
        table = Table(title=title, title_justify="left")
        table.add_column("", no_wrap=True)
        for column in ("first batch, s", "images/s (range)", "JAX is x faster"):
            table.add_column(column, justify="right")
        for row in task["rows"].values():
            if row["status"] != "measured":
                table.add_row(row["label"], "-", row["status"], "-")
                continue
            faster = spread(row["jax_is_faster"], ".2f") if "jax_is_faster" in row else "-"
            first = f"{row['first_stretch_seconds']:.2f}"
            table.add_row(row["label"], first, spread(row["images_per_second"], ",.0f"), faster)
        console.print(table)
    if "torchvision" in worker:
        console.print(
            f"torchvision {worker['torchvision']}, PyTorch {worker['torch']} with {worker['threads']} threads, Pillow "
            f"{worker['pillow']}.",
            highlight=False,
        )
    print_targets(console, record)
