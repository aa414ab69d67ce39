"""The figures of `experiments.cifar10_ceb`, drawn from its records: the paper's Figures 1 and 2, and corruptions."""

import pathlib
import statistics
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from experiments.cifar10_ceb.table import Groups, Record, accuracy, radii
from experiments.core import image_attacks_config as names
from experiments.core.plots import Path, save

_MARKERS = "so^vD*Px"


def draw_all(folder: pathlib.Path, groups: Groups) -> None:
    """Every figure of a folder of records."""
    against_rho(folder / "figure1.png", groups)
    against_epsilon(folder / "figure2.png", groups)
    if all("corruptions" in record for group in groups.values() for record in group):
        corruptions(folder / "corruptions.png", groups)


def _mean(values: Sequence[float | None]) -> float:
    known = [100 * value for value in values if value is not None]
    return statistics.fmean(known) if known else np.nan


def against_rho(path: Path, groups: Groups) -> None:
    """The paper's Figure 1: accuracy against rho, clean and attacked; the deterministic network as dashed lines."""
    bottlenecks = [group for group in groups.values() if group[0]["rho"] is not None]
    plain = [group for group in groups.values() if group[0]["rho"] is None]
    if not bottlenecks:
        return
    first = bottlenecks[0][0]
    radius, count = first["settings"]["radius"], first["at_radius"]["num_images"]
    l2 = radii(first, "l2")[-2]
    curves = [
        ("clean", lambda record: 1 - record["training"]["test"]["error_mean"]),
        (f"PGD L-inf {radius:g}", lambda record: accuracy(record, names.PGD, "linf", radius)),
        (f"PGD L2 {l2:g}", lambda record: accuracy(record, names.PGD, "l2", l2)),
        (
            f"every attack, L-inf {radius:g} ({count} images)",
            lambda record: record["at_radius"]["accuracy"][names.WORST],
        ),
    ]
    figure, axis = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
    for index, (label, value) in enumerate(curves):
        color = f"C{index}"
        rhos = [group[0]["rho"] for group in bottlenecks]
        axis.plot(
            rhos,
            [_mean([value(r) for r in group]) for group in bottlenecks],
            _MARKERS[index] + "-",
            color=color,
            label=label,
        )
        for group in bottlenecks:
            for record in group if len(group) > 1 else []:
                axis.plot(record["rho"], 100 * (value(record) or 0.0), ".", color=color, alpha=0.5)
        for group in plain:
            axis.axhline(_mean([value(r) for r in group]), color=color, linestyle="--", linewidth=1)
    axis.set(xlabel="rho (smaller: stronger bottleneck)", ylabel="test accuracy, %", ylim=(0, 100))
    axis.plot([], [], "k--", linewidth=1, label="cross-entropy")
    axis.legend(frameon=False, fontsize=8)
    axis.set_title(_subtitle(first), fontsize=9)
    save(figure, path)


def against_epsilon(path: Path, groups: Groups) -> None:
    """The paper's Figure 2: accuracy against the radius, L-inf and L2, untargeted."""
    first = next(iter(groups.values()))[0]
    figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.8), sharey=True, layout="constrained")
    for axis, norm in zip(axes, ("linf", "l2"), strict=True):
        for index, (name, group) in enumerate(groups.items()):
            epsilons = radii(group[0], norm)
            values = [_mean([record["clean_accuracy"] for record in group])]
            values += [_mean([accuracy(record, names.PGD, norm, e) for record in group]) for e in epsilons]
            style = "k" if group[0]["rho"] is None else f"C{index}"
            axis.plot(
                [0.0, *epsilons], values, _MARKERS[index % len(_MARKERS)] + "-", color=style, label=name, markersize=4
            )
            if norm == "linf":
                _others(axis, group, style)
        axis.set(xlabel=f"{'L-inf' if norm == 'linf' else 'L2'} epsilon, levels of 255", ylim=(0, 100))
    axes[0].set_ylabel(f"accuracy, % ({first['num_images']} images)")
    axes[0].plot([], [], "k_", label="every attack together")
    axes[0].legend(frameon=False, fontsize=8)
    figure.suptitle(f"PGD-{first['settings']['pgd_steps']}, {_subtitle(first)}", fontsize=9)
    save(figure, path)


def _others(axis: Axes, group: Sequence[Record], style: str) -> None:
    """A mark where the worst of all attacks leaves a model."""
    radius = group[0]["settings"]["radius"]
    worst = _mean([record["at_radius"]["accuracy"][names.WORST] for record in group])
    axis.plot([radius], [worst], "_", color=style, markersize=12)


def corruptions(path: Path, groups: Groups) -> None:
    """Error under each corruption, mean of five severities."""
    first = next(iter(groups.values()))[0]["corruptions"]
    labels = list(first["errors"])
    figure, axis = plt.subplots(figsize=(8.5, 3.8), layout="constrained")
    positions = np.arange(len(labels) + 1)
    for index, (name, group) in enumerate(groups.items()):
        average = _mean([record["corruptions"]["average_error"] for record in group])
        means = [
            _mean([statistics.fmean(record["corruptions"]["errors"][label]) for record in group]) for label in labels
        ]
        style = "k" if group[0]["rho"] is None else f"C{index}"
        axis.plot(positions, [average, *means], _MARKERS[index % len(_MARKERS)], color=style, label=name, markersize=4)
    axis.set_xticks(
        positions,
        ["average of 15", *(label.replace("_", " ") for label in labels)],
        rotation=60,
        ha="right",
        fontsize=7,
    )
    axis.set(ylabel="error, %", ylim=(0, None))
    axis.grid(axis="x", linewidth=0.3)
    axis.legend(frameon=False, fontsize=8, ncols=2)
    save(figure, path)


def _subtitle(record: Record) -> str:
    config = record["training"]["config"]
    network = f"WRN-{config['depth']}-{config['width']}, norm {config['norm']}"
    return f"{config['dataset']}, {network}, {config['num_epochs']} epochs"
