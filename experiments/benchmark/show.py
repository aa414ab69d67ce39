"""What `experiments.benchmark` says: medians and ranges, targets, the table."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

SCAN, LOOP, EAGER = "jax-scan", "jax-loop", "eager"
"""Rows by which others are judged."""

BUSY = 0.7  # load average from which on the machine counts as busy with something else


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Median, least, greatest and all of the rounds."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "rounds": list(values)}


def peak_summary(rounds: Sequence[Mapping[int, float]]) -> dict[str, Any]:
    """The matrix peak: FLOP/s of the best size, by the median of the rounds; each round holds the rate by size."""
    medians = {size: statistics.median(rates[size] for rates in rounds) for size in rounds[0]}
    best = max(medians, key=lambda size: medians[size])
    highest = max(max(rates.values()) for rates in rounds)
    return {"flops_per_second": medians[best], "size": best, "best_seen": highest, "rounds": list(rounds)}


def progress(console: Console) -> Progress:
    """One line with what is measured and the time left; nothing in a log."""
    columns = (TextColumn("{task.fields[what]}"), BarColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def targets(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """What was promised for two cores, what was measured, and whether it is met; without the rows that are missing."""
    peers = {name: row for name, row in rows.items() if "jax_over_peer" in row}
    found = {"share of the float32 matrix peak": (0.65, rows[SCAN]["mfu"])}
    if EAGER in peers:
        found["JAX / eager PyTorch with plain Adam"] = (2.5, peers[EAGER]["jax_over_peer"]["median"])
    if peers:
        best = max(peers.values(), key=lambda row: row["images_per_second"]["median"])
        found[f"JAX / the best PyTorch ({best['label']})"] = (1.0, best["jax_over_peer"]["median"])
    return {
        name: {"target": target, "measured": value, "met": value >= target} for name, (target, value) in found.items()
    }


def print_train(console: Console, record: Mapping[str, Any]) -> None:
    """Prints a line for each row: first stretch, images a second, share of the peak, JAX's speed over it."""
    flops, config = record["flops_per_step"], record["config"]
    title = f"The VIB train step, batch {config['batch_size']}, {config['repeats']} rounds of {config['steps']} steps"
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for column in ("first, s", "images/s (range)", "step, ms", "of peak", "XLA's", "JAX is x faster"):
        table.add_column(column, justify="right")
    for row in record["rows"].values():
        if row["status"] != "measured":
            table.add_row(row["label"], "-", row["status"], *"----")
            continue
        ratio = spread(row["jax_over_peer"], ".2f") if "jax_over_peer" in row else "-"
        first = f"{row['first_stretch_seconds']:.1f}"
        table.add_row(row["label"], first, *speed_cells(row), ratio)
    console.print(table)
    xla = "" if flops["xla"] is None else f" ({flops['xla'] / 1e9:.3f} as XLA counts, element-wise work included)"
    print_peak(console, record)
    console.print(f"Matrix products of one step: {flops['matmul'] / 1e9:.3f} GFLOP{xla}.", highlight=False)
    print_targets(console, record)


def speed_cells(row: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """Images a second, a step's milliseconds, and the shares of the peak: of the products, of all that XLA counts."""
    xla = "-" if row["mfu_xla"] is None else f"{row['mfu_xla']:.0%}"
    return spread(row["images_per_second"], ",.0f"), f"{row['step_ms']['median']:.2f}", f"{row['mfu']:.0%}", xla


def print_peak(console: Console, record: Mapping[str, Any]) -> None:
    """Prints the machine's own matrix rate, and the memory used."""
    peak, memory = record["matrix_peak"], record.get("peak_memory")  # records of old have none
    used = "" if memory is None else f" Peak memory {memory['bytes'] / 2**30:.2f} GiB ({memory['of']})."
    highest = f"; at the highest precision {_rate(peak['highest'])}" if "highest" in peak else ""
    console.print(
        f"{peak.get('dtype', 'float32')} matrix peak {_rate(peak)} (n = {peak['size']}, median of the rounds; best "
        f"seen {peak['best_seen'] / 1e9:.0f}) at the default precision, the networks' own{highest}.{used}",
        highlight=False,
    )


def _rate(peak: Mapping[str, Any]) -> str:
    return f"{peak['flops_per_second'] / 1e9:.0f} GFLOP/s"


def print_targets(console: Console, record: Mapping[str, Any]) -> None:
    """Prints which targets are met, and whether the machine was busy with something else."""
    for name, goal in record["targets"].items():
        verdict, under = "met" if goal["met"] else "missed", "under " if goal.get("at_most") else ""
        console.print(f"{name}: {goal['measured']:.2f}, target {under}{goal['target']:g}: {verdict}", highlight=False)
    load = record["load_average"]["start"]
    if load > BUSY:
        console.print(
            f"The load average was {load:.1f} at the start: others ran too and blurred all numbers, PyTorch's most.",
            style="yellow",
            highlight=False,
        )


def spread(values: Mapping[str, Any], form: str) -> str:
    """Median and range."""
    return f"{values['median']:{form}} ({values['min']:{form}}-{values['max']:{form}})"
