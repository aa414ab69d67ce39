"""The figure of transferability, drawn from its record."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from experiments.core.plots import Path, save
from experiments.transferability.statistics import Pair, attacks_of, correlate, rows_of, sound

MARKERS = "os^Dv*"  # one for each depth


def draw(path: Path, record: Mapping[str, Any]) -> None:
    """The paper's Figure 3: the gap against L with a trend for each beta, for every attack; and tau against beta.

    Args:
      path: PNG file to write.
      record: of `experiments.transferability`.
    """
    pairs, shown = sound(record), attacks_of(record)
    names = list(dict.fromkeys(name for name, _ in shown))
    columns = len(shown) // len(names)
    size = (3.6 * (columns + 1), 3.1 * len(names) + 0.5)
    figure, grid = plt.subplots(len(names), columns + 1, figsize=size, layout="constrained", squeeze=False)
    for place, (attack, epsilon) in enumerate(shown):
        _gap(grid[place // columns][place % columns], pairs, attack, epsilon)
    _taus(grid[0][-1], pairs)
    for row, name in enumerate(names[1:], 1):
        epsilon = next(radius for attack, radius in shown if attack == name)
        _against_tau(grid[row][-1], pairs, name, epsilon)
    handles, labels = grid[0][0].get_legend_handles_labels()
    markers = [MARKERS[place % len(MARKERS)] for place, _ in enumerate(_depths(pairs))]
    handles += [plt.Line2D([], [], linestyle="", marker=marker, color="0.4") for marker in markers]
    labels += [f"{depth} hidden layer{'s' * (depth > 1)}" for depth in _depths(pairs)]
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize="small")
    figure.suptitle(
        f"{len(pairs)} pairs of classifiers, each on one encoder, {record['config']['dataset']}; "
        "hollow: narrow encoders"
    )
    save(figure, path)


def _gap(axis: Axes, pairs: Sequence[Pair], attack: str, epsilon: float) -> None:
    for beta, color, group in _by_beta(pairs):
        x = np.log10([pair["lipschitz"]["product"] for pair in group])
        y, error = _gaps(group, attack, epsilon)
        _scatter(axis, 10**x, y, group, color, error)
        if len(group) > 2 and np.ptp(x) > 0:
            slope, start = np.polyfit(x, y, 1)
            ends = np.array([x.min(), x.max()])
            axis.plot(10**ends, start + slope * ends, color=color, label=rf"$\beta$ = {beta:g}")
    found = correlate([pair["lipschitz"]["product"] for pair in pairs], _gaps(pairs, attack, epsilon)[0])
    axis.axhline(0, color="0.7", linewidth=0.8, zorder=0)
    axis.set(xscale="log", xlabel="L of the encoder (product of norms)", ylabel="delta' - delta, points")
    axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_title(f"{attack}, epsilon {epsilon:g}: r with L {found}", fontsize="small")


def _taus(axis: Axes, pairs: Sequence[Pair]) -> None:
    widths = sorted({pair["width"] for pair in pairs})
    for beta, color, group in _by_beta(pairs):
        shift = np.array([1.12 ** (2 * widths.index(pair["width"]) - len(widths) + 1) for pair in group])
        _scatter(axis, beta * shift, 100 * np.array([pair["tau"] for pair in group]), group, color)
    axis.set(xscale="log", xlabel=r"$\beta$ (narrow encoders left, wide ones right)", ylabel="tau, %")
    axis.set_title("tau, the larger error of the two", fontsize="small")


def _against_tau(axis: Axes, pairs: Sequence[Pair], attack: str, epsilon: float) -> None:
    for _, color, group in _by_beta(pairs):
        y, error = _gaps(group, attack, epsilon)
        _scatter(axis, 100 * np.array([pair["tau"] for pair in group]), y, group, color, error)
    found = correlate([pair["tau"] for pair in pairs], _gaps(pairs, attack, epsilon)[0])
    axis.axhline(0, color="0.7", linewidth=0.8, zorder=0)
    axis.set(xlabel="tau, %", ylabel="delta' - delta, points")
    axis.set_title(f"{attack}, epsilon {epsilon:g}: r with tau {found}", fontsize="small")


def _gaps(pairs: Sequence[Pair], attack: str, epsilon: float) -> tuple[np.ndarray, np.ndarray]:
    """Gaps and their standard errors, in points."""
    rows = [rows_of(pair, attack, epsilon)[0] for pair in pairs]
    return 100 * np.array([row["gap"] for row in rows]), 100 * np.array([row["gap_error"] for row in rows])


def _scatter(
    axis: Axes, x: np.ndarray, y: np.ndarray, group: Sequence[Pair], color: str, error: np.ndarray | None = None
) -> None:
    """Points with a marker for each depth, hollow for all but the widest encoders; bars are standard errors."""
    depths, widest = _depths(group), max(pair["width"] for pair in group)
    if error is not None:
        axis.errorbar(x, y, error, linestyle="", color=color, elinewidth=0.7, alpha=0.4, zorder=1)
    for place, pair in enumerate(group):
        face = color if pair["width"] == widest else "none"
        marker = MARKERS[depths.index(pair["depth"]) % len(MARKERS)]
        axis.plot(x[place], y[place], marker, color=color, markerfacecolor=face, markersize=5)


def _by_beta(pairs: Sequence[Pair]) -> list[tuple[float, str, list[Pair]]]:
    betas = sorted({pair["beta"] for pair in pairs})
    return [(beta, f"C{place}", [pair for pair in pairs if pair["beta"] == beta]) for place, beta in enumerate(betas)]


def _depths(pairs: Sequence[Pair]) -> list[int]:
    return sorted({pair["depth"] for pair in pairs})
