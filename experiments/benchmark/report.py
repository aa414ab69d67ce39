"""What the benchmark says: the goals of all suites in one table, and each suite's own tables."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.benchmark import attacks, cold, distances, estimators, reading, speed
from experiments.benchmark.settings import PEERS
from experiments.benchmark.tables import (
    FIRST,
    OF_ALL,
    SHARES,
    SPEED,
    STEP,
    Columns,
    Goal,
    Rows,
    Section,
    Timed,
    as_xla_counts,
    column,
    computed,
    faster,
    fastest,
    matrix_peak,
    median,
    over,
    table,
    tables_of,
)
from experiments.core.plots import Figure
from experiments.core.records import Record
from experiments.core.report import Grid, Report, Text

if TYPE_CHECKING:
    import pandas as pd

BUSY = 0.7  # load average from which on the machine counts as busy with something else
AUGMENT_GOAL, CORRUPTION_GOAL, IMAGE_GOAL, MFU_GOAL = 5.0, 5.0, 0.9, 0.4


def augment(record: Record) -> list[Section]:
    """AutoAugment beside torchvision's."""
    config, tables = record.settings, tables_of(record)
    shown: list[Section] = []
    for name, rows in tables.items():
        size = rows["jax"].settings["size"]
        title = f"AutoAugment for {name}, {size} x {size}, batch {config['pictures']}"
        title += f", {config['repeats']} rounds of {config['min_seconds']:g} s"
        columns = column("first batch, s", "first_seconds") | SPEED
        shown.append(table(title, rows, columns | faster("JAX is x faster", rows["jax"], rows.values())))
    rows = tables["CIFAR-10"]
    for each in [row.details["process"] for row in rows.values() if "process" in row.details][:1]:
        threads = f"PyTorch {each['torch']} with {each['threads']} threads"
        shown.append(f"torchvision {each['torchvision']}, {threads}, Pillow {each['pillow']}.")
    if best := fastest(rows, PEERS["augment"]):
        ours = rows["jax"]
        shown.append(Goal(f"CIFAR-10: {ours.label} / {best.label}", AUGMENT_GOAL, ours.rates / best.rates))
    return shown


def corruptions(record: Record) -> list[Section]:
    """19 corruptions beside imagecorruptions'."""
    details, shown, missing = record.details, list[Section](), dict[str, str]()
    ways = dict(zip(PEERS["corruptions"], ("one process", "a process on each core"), strict=True))
    targets: dict[str, list[Goal]] = {way: [] for way in ways}
    kind = f"batches of {details['images']}, severity {details['severity']} of {details['constants']}"
    for size, rows in tables_of(record).items():
        ours = {name: row for name, row in rows.items() if name.endswith(" jax")}
        columns, ratios, notes = FIRST | column("JAX", "images_per_second", ",.0f", spread=True), Columns(), []
        for way, processes in ways.items():
            theirs = {name: rows[other] for name in ours if (other := name.replace("jax", way)) in rows}
            if absent := [row.status for row in theirs.values() if not row.measured]:
                missing[way] = absent[0]
            if absent or not theirs:
                continue
            speedup = {name: ours[name].rates / row.rates for name, row in theirs.items()}
            short = processes.replace("a process on each core", "all cores")
            columns |= computed(f"package, {short}", {name: row.rates for name, row in theirs.items()}, ",.0f")
            ratios |= computed(f"JAX / {short}", speedup, ".1f")
            medians = {ours[name].settings["corruption"]: np.median(ratio) for name, ratio in speedup.items()}
            slow = ", ".join(name for name, ratio in medians.items() if ratio < CORRUPTION_GOAL) or "none"
            mean = np.exp(np.mean(np.log([*medians.values()])))
            text = f"geometric mean of JAX / package, {short}: {mean:.1f}; less than {CORRUPTION_GOAL:g}: {slow}."
            notes.append(f"{size}: {text}")
            least = min(medians, key=lambda name: medians[name])
            label = f"JAX / imagecorruptions in {processes}, {size}, least of {len(medians)} ({least})"
            targets[way].append(Goal(label, CORRUPTION_GOAL, medians[least]))
        title = f"{size}, {kind}, {record.settings['repeats']} rounds; images/s (range)"
        shown.append(table(title, ours, columns | ratios, label=lambda row: row.settings["corruption"]))
        shown += notes
    return [
        *shown,
        *(f"{way}: {status}" for way, status in missing.items()),
        *(each for way in ways for each in targets[way]),
    ]


def images(record: Record) -> list[Section]:
    """Convolutional networks beside plain loops."""
    details, shown, targets = record.details, list[Section](), list[Goal]()
    sheet, peak = details["data_sheet_peak"], details["matrix_peak"]["flops_per_second"]
    of_sheet = peak / sheet if sheet else math.nan
    for name, rows in tables_of(record).items():
        network, references = details["tables"][name], references_of(rows)
        ratios = {own: over(rows[own], other) for own, other in references.items()}
        columns = FIRST | OF_ALL | STEP | SHARES | column("of data sheet", "mfu", ".0%", scale=of_sheet)
        sizes = f"{network['image_size']} px, batch {network['batch_size']}, {network['precision']}"
        rounds = f"{record.settings['repeats']} rounds of {network['steps']} steps"
        title = f"{name}, {network['num_parameters']:,} parameters, {sizes}, {rounds}"
        shown.append(table(title, rows, columns | computed("x reference", ratios)))
        products = f"{network['flops_per_image']['products'] / 1e9:.3f} GFLOP of convolutions and products"
        xla = as_xla_counts(network["flops_per_image"]["xla"], "without padding")
        way = "one compiled loop" if network["whole"] else f"{network['steps']} steps, driven from the host"
        shown.append(f"An image's step: {products}{xla}; a stretch is {way}.")
        kinds = {"stretch": "training", "population": "the population", "runner": "PGD"}
        for own, other in references.items():
            targets.append(Goal(f"{name}: {kinds[own]} / {other.label}", IMAGE_GOAL, ratios[own]))
        if details["platform"] != "cpu" and network["precision"] == "bfloat16" and rows["stretch"].measured:
            whose, share = ("data sheet's", of_sheet) if sheet else ("measured", 1.0)
            label = f"{name}: share of the {whose} matrix peak in training"
            targets.append(Goal(label, MFU_GOAL, share * rows["stretch"].rounds("mfu")))
    sold = [f"The device's data sheet: {sheet / 1e9:,.0f} GFLOP/s in bfloat16, dense."] if sheet else []
    return [*shown, matrix_peak(record), *sold, *targets]


def references_of(rows: Rows) -> dict[str, Timed]:
    """What a network's rows are held against: the steps from a Python loop, a population the faster single model."""
    single = fastest(rows, ("stretch", "loop"))
    references = {"stretch": rows["loop"], "population": single, "runner": rows["pgd-loop"]}
    return {name: row for name, row in references.items() if row and row.measured and rows[name].measured}


REPORTS: Mapping[str, Callable[[Record], list[Any]]] = {
    "train": speed.train,
    "sweep": speed.sweep,
    "scaling": speed.scaling,
    "attacks": attacks.report,
    "augment": augment,
    "corruptions": corruptions,
    "images": images,
    "reading": reading.report,
    "adversarial": speed.adversarial,
    "estimators": estimators.report,
    "distances": distances.report,
    "cold": cold.report,
}


def report(frame: "pd.DataFrame", records: Sequence[Record]) -> Report:
    """The goals of all records in one table, and a part for each: its command and machine, tables, goals."""
    found = {record.file: sections(record) for record in records}
    shown: list[Any] = [goals(records, found)] if len(records) > 1 else []
    for record in records:
        shown.append(_origin(record))
        shown += [each if isinstance(each, Grid | Figure) else Text(str(each)) for each in found[record.file]]
    return Report("Benchmark", frame, shown)


def goals(records: Sequence[Record], found: Mapping[str, Sequence[Any]]) -> Grid:
    """Every goal of the records: what was measured, and whether that is enough."""
    rows = []
    for record in records:
        for goal in (each for each in found[record.file] if isinstance(each, Goal)):
            cpu = record.environment["machine"]["cpu"]
            rows.append([record.file, goal.name, median(goal.values), goal.aim, goal.verdict, cpu])
    met = sum(row[4] == "met" for row in rows)
    columns = ["suite", "what", "measured (range)", "goal", "verdict", "processor"]
    return Grid(columns, rows, f"Goals: {met} of {len(rows)} met")


def sections(record: Record) -> list[Any]:
    """Everything there is to say of a record."""
    load = record.details["load_average"]["start"]
    others = f"The load average was {load:.1f} at the start: others ran too and blurred all numbers, PyTorch's most."
    return [*REPORTS[record.settings["suite"]](record), *([others] if load > BUSY else [])]


def _origin(record: Record) -> Text:
    known, variables = record.environment, record.details.get("variables", {})
    before = "".join(f"{key}={value} " for key, value in variables.items() if key != "JAX_PLATFORMS")
    devices, machine = known["devices"], known["machine"]
    where = (
        f"{machine['cpu']}, {machine['cores']} cores, {len(devices)} device{'s' * (len(devices) > 1)} ({devices[0]})"
    )
    versions = f"jax {known['versions']['jax']}, commit {known['commit'][:7]}"
    return Text(f"`{before}{record.command}` on {where}; {versions}.", title=record.file)
