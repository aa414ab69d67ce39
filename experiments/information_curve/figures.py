"""The figures of the information curve, drawn from its records."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from experiments.core.plots import Path, save
from experiments.information_curve.table import Record, by_strength

STYLES = {"train": "C0", "test": "C1"}
BITS = 1 / np.log(2.0)


def information_curve(path: Path, records: Sequence[Record]) -> None:
    """The paper's Figure 1: error against beta for each K; then of the first K I(Z;Y) against I(X;Z), and that on beta.

    Points are means over seeds, bars standard deviations.

    Args:
      path: PNG file to write.
      records: of `experiments.information_curve`, one for each K.
    """
    stochastic = "rate_bits" in records[0]["members"][0]["test"]
    num_panels = len(records) + 2 * stochastic
    columns = 2
    rows = -(-num_panels // columns)
    figure, grid = plt.subplots(rows, columns, figsize=(9.5, 3.6 * rows), layout="constrained", squeeze=False)
    axes = list(grid.flat)
    for axis in axes[num_panels:]:
        axis.set_visible(False)
    for letter, axis, record in zip("abcdefgh", axes, records, strict=False):
        _errors(axis, record)
        axis.set_title(f"({letter}) K = {record['config']['latent_dim']}", loc="left")
    record = records[0]
    if stochastic:
        plane, rate = axes[len(records) : num_panels]
        _plane(plane, record)
        _rates(rate, record)
        for letter, axis in zip("abcdefgh"[len(records) :], (plane, rate), strict=False):
            axis.set_title(f"({letter}) K = {record['config']['latent_dim']}", loc="left")
    config = record["config"]
    seeds = len({member["seed"] for member in record["members"]})
    figure.suptitle(
        f"{config['objective']} on {config['dataset']}, {config['num_epochs']} epochs, {seeds} seed{'s' * (seeds > 1)}"
    )
    save(figure, path)


def information_plane(path: Path, records: Sequence[Record]) -> None:
    """The way through the information plane: rate against 1 / cross-entropy in each epoch, a panel for each strength.

    The VUB paper's Figure 3: 1 / CE stands for I(Z;Y). Both are means over an epoch's training batches. Of CEB it is
    the residual, and a deterministic network has no such figure.

    Args:
      path: PNG file to write.
      records: of `experiments.information_curve`, one for each K, a row of panels.
    """
    trained = records[0]["members"][0]["history"]
    name = next((name for name in ("rate", "residual") if name in trained), None)
    if name is None:
        return
    num_columns = max(len(list(by_strength(record))) for record in records)
    size = (2.2 * num_columns + 1, 2.3 * len(records) + 0.5)
    figure, grid = plt.subplots(
        len(records), num_columns, figsize=size, layout="constrained", squeeze=False, sharex=True, sharey="row"
    )
    points = None
    for row, record in zip(grid, records, strict=True):
        for axis in row:
            axis.set_visible(False)
        for axis, (beta, members) in zip(row, by_strength(record), strict=False):
            axis.set_visible(True)
            for member in members:
                history = {term: np.array(values, float) for term, values in member["history"].items()}
                x, y = BITS * history[name], 1 / (BITS * history["distortion"])
                axis.plot(x, y, color="0.85", linewidth=0.7, zorder=1)
                points = axis.scatter(x, y, c=history["epoch"], s=9, cmap="viridis", zorder=2)
            axis.set_title(rf"$\beta$ = {beta:g}", fontsize="medium")
            axis.tick_params(labelsize="small")
            axis.set(xscale="log", yscale="log")
        row[0].set_ylabel(f"K = {record['config']['latent_dim']}\n1 / CE, 1/bits")
    quantity = "I(X;Z)" if name == "rate" else "I(X;Z|Y)"
    figure.supxlabel(f"{quantity} upper bound on training batches, bits")
    if points is not None:
        figure.colorbar(points, ax=grid, label="epoch", shrink=0.8)
    save(figure, path)


def _series(record: Record, split: str, name: str, factor: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Strength, mean and standard deviation over the seeds."""
    rows = []
    for beta, members in by_strength(record):
        values = [factor * member[split][name] for member in members]
        if values:
            rows.append((beta, float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0))
    return tuple(np.array(column) for column in zip(*rows, strict=True))  # type: ignore[return-value]


def _errors(axis: Axes, record: Record) -> None:
    for split, color in STYLES.items():
        for name, label, line in (("error_one", "1 sample", "--"), ("error_avg", "12 samples", "-")):
            beta, mean, deviation = _series(record, split, name, 100)
            axis.errorbar(
                beta, mean, deviation, color=color, linestyle=line, marker=".", capsize=2, label=f"{split}, {label}"
            )
    axis.set(xlabel=r"$\beta$", ylabel="error, %", xscale="log", yscale="symlog")
    axis.set_yticks([0, 1, 2, 5, 10, 50, 90], ["0", "1", "2", "5", "10", "50", "90"])
    axis.set_ylim(0, 100)
    axis.legend(frameon=False, fontsize="small")


def _plane(axis: Axes, record: Record) -> None:
    for split, color in STYLES.items():
        _, rate, rate_deviation = _series(record, split, "rate_bits")
        _, relevance, deviation = _series(record, split, "information_zy_bits")
        axis.errorbar(rate, relevance, deviation, rate_deviation, color=color, marker=".", capsize=2, label=split)
    axis.axhline(np.log2(_num_classes(record)), color="0.6", linewidth=0.8, linestyle=":")
    axis.set(xlabel="I(X;Z) upper bound, bits", ylabel="I(Z;Y) lower bound, bits", xscale="symlog", xlim=(0, None))
    axis.legend(frameon=False)


def _rates(axis: Axes, record: Record) -> None:
    for split, color in STYLES.items():
        beta, rate, deviation = _series(record, split, "rate_bits")
        axis.errorbar(beta, rate, deviation, color=color, marker=".", capsize=2, label=split)
    axis.set(xlabel=r"$\beta$", ylabel="I(X;Z) upper bound, bits", xscale="log", yscale="symlog", ylim=(0, None))
    axis.legend(frameon=False)


def _num_classes(record: Mapping[str, Any]) -> int:
    return 10 if record["config"]["dataset"] in ("digits", "mnist", "fashion_mnist", "cifar10") else 2
