"""What `experiments.benchmark --suite=corruptions` says: a table for each size of images, means, and what misses the
target."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from experiments.benchmark.show import print_targets, spread

COLUMNS = {"imagecorruptions": "one process", "imagecorruptions-cores": "all cores"}
"""The ways of calling the package, by their names in the record."""


def print_corruptions(console: Console, record: Mapping[str, Any]) -> None:
    """Prints images a second of ours and the package's, and their ratios."""
    for size in sorted({row["size"] for row in record["rows"].values()}):
        rows = [row for row in record["rows"].values() if row["size"] == size]
        peers = [peer for peer in COLUMNS if peer in rows[0]["ratios"]]
        title = (
            f"{size} x {size}, batches of {record['images']}, severity {record['severity']} of {record['constants']}, "
            f"{record['config']['repeats']} rounds; images/s (range)"
        )
        table = Table(title=title, title_justify="left")
        table.add_column("", no_wrap=True)
        for column in ("first, s", "JAX", *(f"package, {COLUMNS[peer]}" for peer in peers)):
            table.add_column(column, justify="right", overflow="fold")
        for peer in peers:
            table.add_column(f"JAX / {COLUMNS[peer]}", justify="right", overflow="fold")
        for row in rows:
            speeds = row["images_per_second"]
            cells = [spread(speeds[key], ",.0f") for key in ("jax", *peers)]
            ratios = [spread(row["ratios"][peer], ".1f") for peer in peers]
            table.add_row(row["name"], f"{row['first_call_seconds']:.1f}", *cells, *ratios)
        console.print(table)
        for peer in peers:
            mean = record["geometric_means"][str(size)][peer]
            missed = [row["name"] for row in rows if row["ratios"][peer]["median"] < 5]
            console.print(
                f"{size} x {size}: geometric mean of JAX / package, {COLUMNS[peer]}: {mean:.1f}; less than 5: "
                f"{', '.join(missed) or 'none'}.",
                highlight=False,
            )
    for peer, status in record["peers"].items():
        if status != "measured":
            console.print(f"{peer}: {status}", highlight=False)
    print_targets(console, record)
