"""What `experiments.benchmark --suite=sweep` says: targets, a table for each network, the projection."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from experiments.benchmark.show import print_peak, print_targets, speed_cells, spread

WIDE, NARROW, SINGLE = "wide", "narrow", "single"
GOALS = {WIDE: 0.95, NARROW: 3.0}
"""The population's images a second over the single model's, for each device with arithmetic of its own."""


def sweep_targets(networks: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """What was promised of the chosen way, what was measured, and what it would be at the whole matrix peak."""
    found = {}
    for name, target in GOALS.items():
        network = networks[name]
        chosen = next(row for row in network["rows"].values() if row.get("chosen"))
        devices = network["own_arithmetic"]
        value = chosen["over_single"]["median"] / devices
        at_peak = 1 / network["rows"][SINGLE]["mfu"]
        each = f", for each of {devices} devices" if devices > 1 else ""
        found[f"{chosen['label']} / one model, {describe(network)}{each}"] = {
            "target": target,
            "measured": value,
            "met": value >= target,
            "at_peak": at_peak,
        }
    return found


def describe(network: Mapping[str, Any]) -> str:
    """A network's sizes."""
    return f"K = {network['latent_dim']}, {network['hidden_width']} units"


def print_sweep(console: Console, record: Mapping[str, Any]) -> None:
    """Prints a table for each network, then peak, targets and the projection."""
    config = record["config"]
    for network in record["networks"].values():
        title = (
            f"{describe(network)}, {network['num_parameters']:,} parameters, batch {config['batch_size']}, "
            f"{config['repeats']} rounds of {config['steps']} steps"
        )
        table = Table(title=title, title_justify="left")
        table.add_column("", no_wrap=True)
        columns = ("compile, s", "MiB", "images/s x models (range)", "step, ms", "of peak", "XLA's", "x one model")
        for column in columns:
            table.add_column(column, justify="right", overflow="fold")
        for row in network["rows"].values():
            ratio = spread(row["over_single"], ".2f") if "over_single" in row else "-"
            needed = "-" if row["program_bytes"] is None else f"{row['program_bytes'] / 2**20:,.0f}"
            label = row["label"] + (" *" if row.get("chosen") else "")
            table.add_row(label, f"{row['compile_seconds']:.1f}", needed, *speed_cells(row), ratio)
        console.print(table)
    console.print(
        "* chosen by training.choose_members_at_once. MiB: what the program needs of a device.", highlight=False
    )
    print_peak(console, record)
    print_targets(console, record)
    for name, goal in record["targets"].items():
        console.print(
            f"{name}: {goal['at_peak']:.2f} at 100 % of the matrix peak, which no program exceeds.", highlight=False
        )
    _print_projection(console, record["projection"])


def _print_projection(console: Console, projection: Mapping[str, Any]) -> None:
    measured, given = projection["measured"], projection["given"]
    told = [f"{measured['hours']:,.2f} h at the {measured['flops_per_second'] / 1e9:,.0f} GFLOP/s measured here"]
    if given is not None:
        rates = [(given["flops_per_second"], "FLOP/s"), (given["bytes_per_second"], "bytes/s of memory")]
        at = " and ".join(f"{rate:.3g} {unit}" for rate, unit in rates if rate)
        told.append(f"no less than {60 * given['hours']:,.1f} minutes at {at}")
    sizes = f"{projection['models']} models x {projection['epochs']} epochs x {projection['images_per_epoch']:,} images"
    console.print(
        f"The paper's sweep, {sizes} of K = {projection['latent_dim']}, is {projection['flops']:.3g} FLOP and "
        f"{projection['bytes']:.3g} bytes: {'; '.join(told)}. Assuming that {'; '.join(projection['assumptions'])}.",
        highlight=False,
    )
