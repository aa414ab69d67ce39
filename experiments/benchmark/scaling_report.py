"""What `experiments.benchmark --suite=scaling` says: a table for weak scaling and one for strong scaling."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from experiments.benchmark.show import print_peak, print_targets, speed_cells, spread


def print_scaling(console: Console, record: Mapping[str, Any]) -> None:
    """Prints a line for each number of devices: images a second, efficiency, collectives."""
    config, devices = record["config"], record["devices"]
    titles = {
        "weak": f"Weak scaling, batch {config['batch_size']} on each device",
        "strong": f"Strong scaling, batch {config['global_batch_size']} over all devices",
    }
    for kind, title in titles.items():
        table = Table(
            title=f"{title}, {config['repeats']} rounds of {config['steps']} steps, {devices['total']} devices of "
            f"{devices['processes']} process{'es' * (devices['processes'] > 1)}",
            title_justify="left",
        )
        columns = ("compile, s", "images/s (range)", "step, ms", "of peak", "XLA's", "a process", "efficiency")
        for column in ("devices", *columns, "all-reduces"):
            table.add_column(column, justify="right", overflow="fold")
        for name, row in record["rows"].items():
            if name.startswith(kind):
                compiled, each = f"{row['compile_seconds']:.1f}", f"{row['images_per_second_and_process']:,.0f}"
                numbers = (compiled, *speed_cells(row), each, spread(row["efficiency"], ".2f"), str(row["all_reduces"]))
                table.add_row(str(row["devices"]), *numbers)
        console.print(table)
    sent = max(row["all_reduce_bytes"] for row in record["rows"].values())
    if sent:
        console.print(f"Over several devices a step reduces {sent / 1e6:.1f} MB of gradients.", highlight=False)
    if record["strong_left_out"]:
        counts = ", ".join(map(str, record["strong_left_out"]))
        console.print(
            f"--global_batch_size={config['global_batch_size']} does not divide over {counts} devices.", highlight=False
        )
    if record["platform"] == "cpu":
        console.print(
            "The devices of a CPU share its cores: efficiency here says what sharding costs, not how it scales.",
            highlight=False,
        )
    if devices["total"] == 1:
        console.print(
            "There is one device. XLA_FLAGS=--xla_force_host_platform_device_count=8 PJRT_NPROC=64 before the command "
            "makes a CPU eight.",
            highlight=False,
        )
    print_peak(console, record)
    print_targets(console, record)
