"""What `experiments.benchmark --suite=images` says: speeds over their references, targets, a table for each network."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from experiments.benchmark.device import own_arithmetic
from experiments.benchmark.show import print_peak, print_targets, speed_cells, spread, summary

STRETCH, LOOP, POPULATION, RUNNER, PGD_LOOP = "stretch", "loop", "population", "runner", "pgd-loop"
KEPT, MFU = 0.9, 0.4
"""Targets: the share of the reference's speed that is kept; of an accelerator's peak, in bfloat16."""
KINDS = {STRETCH: "training", POPULATION: "the population", RUNNER: "PGD"}
"""The rows that are held against others."""


def measured(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The rows without those that could not be measured."""
    return {name: row for name, row in rows.items() if row["status"] == "measured"}


def add_ratios(rows: Mapping[str, dict[str, Any]]) -> None:
    """Adds to the rows of `KINDS` their speed over that of their reference, round by round, and the reference's name.

    Training and attacks are held against their steps called from a Python loop, a population against the single model
    that trains faster. Each device counts that has arithmetic of its own.
    """
    known = measured(rows)
    singles = [name for name in (STRETCH, LOOP) if name in known]
    best = max(singles, key=lambda name: known[name]["images_per_second"]["median"], default="")
    for name, reference in {STRETCH: LOOP, POPULATION: best, RUNNER: PGD_LOOP}.items():
        if name in known and reference in known:
            pairs = zip(_rates(known[name]), _rates(known[reference]), strict=True)
            ratios = summary([mine / other for mine, other in pairs])
            rows[name].update(over_reference=ratios, reference=reference)


def _rates(row: Mapping[str, Any]) -> list[float]:
    devices = own_arithmetic(row["devices"])
    return [rate / devices for rate in row["images_per_second"]["rounds"]]


def images_targets(networks: Mapping[str, Mapping[str, Any]], *, accelerator: bool) -> dict[str, dict[str, Any]]:
    """What was promised, what was measured, and whether it is met; without the rows that are missing."""
    found = {}
    for name, network in networks.items():
        rows = network["rows"]
        for row, kind in KINDS.items():
            if "over_reference" in rows[row]:
                reference = rows[rows[row]["reference"]]["label"]
                found[f"{name}: {kind} / {reference}"] = (KEPT, rows[row]["over_reference"]["median"])
        if accelerator and network["precision"] == "bfloat16" and STRETCH in measured(rows):
            share = rows[STRETCH].get("mfu_data_sheet")
            of = "measured" if share is None else "data sheet's"
            found[f"{name}: share of the {of} matrix peak in training"] = (
                MFU,
                rows[STRETCH]["mfu"] if share is None else share,
            )
    return {
        name: {"target": target, "measured": value, "met": value >= target} for name, (target, value) in found.items()
    }


def print_images(console: Console, record: Mapping[str, Any]) -> None:
    """Prints a table for each network, then the peaks and the targets."""
    for name, network in record["networks"].items():
        console.print(_table(name, network, record["config"]["repeats"]))
        flops, steps = network["flops_per_image"], network["steps"]
        xla = "" if flops["xla"] is None else f" ({flops['xla'] / 1e9:.3f} as XLA counts, without padding)"
        way = "is one compiled loop" if network["whole"] else f"is {steps} steps, driven from the host"
        console.print(
            f"An image's step: {flops['products'] / 1e9:.3f} GFLOP of convolutions and products{xla}; a stretch {way}.",
            highlight=False,
        )
    print_peak(console, record)
    if record["data_sheet_peak"] is not None:
        rate = record["data_sheet_peak"] / 1e9
        console.print(f"The device's data sheet: {rate:,.0f} GFLOP/s in bfloat16, dense.", highlight=False)
    print_targets(console, record)


def _table(name: str, network: Mapping[str, Any], repeats: int) -> Table:
    sizes = f"{network['image_size']} px, batch {network['batch_size']}, {network['precision']}"
    title = f"{name}, {network['num_parameters']:,} parameters, {sizes}, {repeats} rounds of {network['steps']} steps"
    table = Table(title=title, title_justify="left")
    table.add_column("", no_wrap=True)
    for column in (
        "first, s",
        "images/s x models (range)",
        "step, ms",
        "of peak",
        "XLA's",
        "of data sheet",
        "x reference",
    ):
        table.add_column(column, justify="right", overflow="fold")
    for row in network["rows"].values():
        if row["status"] != "measured":
            table.add_row(row["label"], "-", row["status"], *"-----")
            continue
        sheet = f"{row['mfu_data_sheet']:.0%}" if "mfu_data_sheet" in row else "-"
        ratio = spread(row["over_reference"], ".2f") if "over_reference" in row else "-"
        first = f"{row['first_stretch_seconds']:.1f}"
        table.add_row(row["label"], first, *speed_cells(row), sheet, ratio)
    return table
