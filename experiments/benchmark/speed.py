"""What the suites of the papers' MLP say."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.benchmark.settings import PEERS
from experiments.benchmark.tables import (
    COMPILE,
    FIRST,
    OF_ALL,
    SHARES,
    SPEED,
    STEP,
    Goal,
    Rows,
    Section,
    as_xla_counts,
    column,
    computed,
    faster,
    fastest,
    length,
    matrix_peak,
    over,
    table,
    tables_of,
)
from experiments.core.records import Record

FLOORS = ("products", "update")
FLOOR_GOAL = 0.85
PAPER_SWEEP = {"models": 45, "epochs": 200, "images": 60_000}
ASSUMPTIONS = (
    "every step costs what it costs here, at this batch size and precision",
    "the rate holds for the whole run, whatever the number of members on a device",
    "no time for compiling, evaluation and checkpoints",
)
POPULATION_GOALS = {"wide": 0.95, "narrow": 3.0}
"""The population's images a second over the single model's, for each device with arithmetic of its own."""


def train(record: Record) -> list[Section]:
    """The VIB step beside PyTorch's."""
    config, flops, (rows,) = record.settings, record.details["flops_per_step"], tables_of(record).values()
    jax, eager, best = rows["jax-scan"], fastest(rows, ["eager"]), fastest(rows, PEERS["train"])
    title = f"The VIB train step, batch {config['batch_size']}, {length(record)}"
    others = [row for name, row in rows.items() if name not in ("jax-loop", *FLOORS)]
    xla = as_xla_counts(flops["xla"], "element-wise work included")
    targets = [Goal("share of the float32 matrix peak", 0.65, jax.rounds("mfu"))]
    targets += [Goal("JAX / eager PyTorch with plain Adam", 2.5, jax.rates / eager.rates)] if eager else []
    targets += [Goal(f"JAX / the best PyTorch ({best.label})", 1.0, jax.rates / best.rates)] if best else []
    parts = {name: rows[name].rounds("seconds") / jax.rounds("seconds") for name in FLOORS if name in rows}
    targets += [Goal(f"time of {rows[name].label} / the step", FLOOR_GOAL, parts[name]) for name in FLOORS[:1] if parts]
    return [
        table(title, rows, FIRST | SPEED | STEP | SHARES | faster("JAX is x faster", jax, others)),
        matrix_peak(record),
        f"Matrix products of one step: {flops['matmul'] / 1e9:.3f} GFLOP{xla}.",
        *(f"Of the step's time {np.median(part):.0%} is that of {rows[name].label}." for name, part in parts.items()),
        *(targets if config["precision"] == "float32" else []),
    ]


def sweep(record: Record) -> list[Section]:
    """A population beside one model."""
    shown: list[Section] = []
    targets, bounds, projected = [], [], ""
    for name, rows in tables_of(record).items():
        network, single = record.details["tables"][name], rows["single"]
        sizes = f"K = {network['latent_dim']}, {network['hidden_width']} units"
        title = f"{sizes}, {network['num_parameters']:,} parameters, batch {record.settings['batch_size']}"
        columns = COMPILE | column("MiB", "program_bytes", ",.0f", scale=2**-20) | OF_ALL | STEP | SHARES
        ratios = {name: row.rates / single.rates for name, row in rows.items() if row is not single}
        label = lambda row: row.label + " *" * row.settings.get("chosen", False)  # noqa: E731
        columns |= computed("x one model", ratios)
        shown.append(table(f"{title}, {length(record)}", rows, columns, label=label))
        chosen = next(row for row in rows.values() if row.settings.get("chosen"))
        devices = chosen.median("own_devices")
        goal = f"{chosen.label} / one model, {sizes}{f', for each of {devices:g} devices' * (devices > 1)}"
        targets.append(Goal(goal, POPULATION_GOALS[name], over(chosen, single)))
        at_peak = 1 / single.median("mfu")
        bounds.append(f"{goal}: {at_peak:.2f} at 100 % of the matrix peak, which no program exceeds.")
        if name == "wide":
            projected = projection(network, record.settings, chosen.median("images_per_second"))
    star = "* chosen by training.choose_members_at_once. MiB: what the program needs of a device."
    return [*shown, star, matrix_peak(record), *targets, *bounds, projected]


def projection(network: Mapping[str, Any], config: Mapping[str, Any], images_per_second: float) -> str:
    """How long the paper's whole sweep would take: at the measured rate, and at the slower one of the flags."""
    images, flops = math.prod(PAPER_SWEEP.values()), network["flops_per_step"]
    each = (flops["matmul"] if flops["xla"] is None else flops["xla"]) / config["batch_size"]
    work, moved = images * each, images * (network["bytes_per_step"] or 0.0) / config["batch_size"]
    hours, rate = images / images_per_second / 3600, images_per_second * each
    said = [f"{hours:,.2f} h at the {rate / 1e9:,.0f} GFLOP/s measured here"]
    given = [(work, config["project_flops"], "FLOP/s"), (moved, config["project_bandwidth"], "bytes/s of memory")]
    if bounds := [amount / rate / 60 for amount, rate, _ in given if rate]:
        at = " and ".join(f"{rate:.3g} {unit}" for _, rate, unit in given if rate)
        said.append(f"no less than {max(bounds):,.1f} minutes at {at}")
    models, epochs, size = PAPER_SWEEP.values()
    return (
        f"The paper's sweep, {models} models x {epochs} epochs x {size:,} images of K = {config['latent_dim']}, is "
        f"{work:.3g} FLOP and {moved:.3g} bytes: {'; '.join(said)}. Assuming that {'; '.join(ASSUMPTIONS)}."
    )


def scaling(record: Record) -> list[Section]:
    """One device, two, four, ..."""
    config, details, devices = record.settings, record.details, record.details["devices"]
    titles = {
        "weak": f"Weak scaling, batch {config['batch_size']} on each device",
        "strong": f"Strong scaling, batch {config['global_batch_size']} over all devices",
    }
    processes = f"{devices['processes']} process{'es' * (devices['processes'] > 1)}"
    shown: list[Section] = []
    for name, rows in tables_of(record).items():
        title = f"{titles[name]}, {length(record)}, {devices['total']} devices of {processes}"
        of_process = {name: row.rates / row.settings["processes"] for name, row in rows.items()}
        columns = COMPILE | SPEED | STEP | SHARES | computed("a process", of_process, ",.0f", spread=False)
        columns |= computed("efficiency", efficiency(rows)) | column("all-reduces", "all_reduces", ".0f")
        shown.append(table(title, rows, columns, "devices", lambda row: row.name))
    if devices["total"] > 1:
        sent = 4 * details["num_parameters"]  # gradients are float32, whatever the precision of the products
        shown.append(f"Over several devices a step reduces {sent / 1e6:.1f} MB of gradients.")
    if details["strong_left_out"]:
        counts = ", ".join(map(str, details["strong_left_out"]))
        shown.append(f"--global_batch_size={config['global_batch_size']} does not divide over {counts} devices.")
    if details["platform"] == "cpu":
        costs = "efficiency here says what sharding costs, not how it scales."
        shown.append(f"The devices of a CPU share its cores: {costs}")
    if devices["total"] == 1:
        flags = "XLA_FLAGS=--xla_force_host_platform_device_count=8 PJRT_NPROC=64"
        shown.append(f"There is one device. {flags} before the command makes a CPU eight.")
    return [*shown, matrix_peak(record)]


def efficiency(rows: Rows) -> dict[str, np.ndarray]:
    """The share of perfect scaling: a row's rate over that of as many single devices, round by round."""
    return {name: row.rates / rows["1"].rates / row.settings["devices"] for name, row in rows.items()}


def adversarial(record: Record) -> list[Section]:
    """Adversarial steps in plain ones."""
    details, (rows,) = record.details, tables_of(record).values()
    ratios = {name: rows["plain"].rates / row.rates for name, row in rows.items()}
    columns = COMPILE | column("step, ms (range)", "step_ms", spread=True) | computed("x plain (range)", ratios)
    title = f"MLP {details['hidden']}-2K, K = {details['latent_dim']}, batch {record.settings['batch_size']}"
    title += f", {length(record)}; attacks on the whole batch, or half of it"
    name = "one step against PGD-20 on the whole batch, in plain steps"
    return [table(title, rows, columns), matrix_peak(record), Goal(name, 21, ratios["pgd-20"], at_most=True)]
