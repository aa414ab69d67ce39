"""The panels of the CEB paper's Figures 3 and 4, drawn from the records of `experiments.corruptions`."""

import statistics
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.cifar10_ceb.table import title
from experiments.core.plots import Path, save
from experiments.corruptions.table import Group, Row, is_best, rows

_COLUMNS = 5
_SUMMARY, _OTHERS = "Reds", "Blues"
_MARKERS = {"ceb": "o", "consistent_ceb": "s", "vib": "^", "vub": "v"}


def draw(path: Path, groups: Sequence[Group]) -> None:
    """A panel for each summary (red) and each corruption (blue): the error over rho, cross-entropy as vertical lines.

    Args:
      path: PNG file to write.
      groups: the models of a folder of records.
    """
    panels = [row for row in rows(groups) if any(_values(row, group) for group in groups)]
    top = [row for row in panels if row.summary]
    below = [row for row in panels if not row.summary]
    num_rows = 1 + -(-len(below) // _COLUMNS)
    height = 0.9 + 0.12 * max(4, len({group.rho for group in groups}))
    figure, grid = plt.subplots(
        num_rows, _COLUMNS, figsize=(2.3 * _COLUMNS, height * num_rows + 0.5), layout="constrained", squeeze=False
    )
    strengths = sorted({group.rho for group in groups if group.rho is not None})
    for cells, own, colours in ((grid[0], top, _SUMMARY), (grid[1:].flat, below, _OTHERS)):
        cells = list(cells)
        for axis in cells[len(own) :]:
            axis.set_visible(False)
        for axis, row in zip(cells, own, strict=False):
            _panel(axis, row, groups, strengths, colours)
    _legend(figure, list(grid[0, len(top) :]), groups)
    for axis in grid[:, 0]:
        axis.set_ylabel("rho", fontsize=8)
    first = groups[0].records[0]
    figure.supxlabel("error, % (lower is better)", fontsize=9)
    figure.suptitle(f"{first['dataset']}, {first['num_images']} images, mean of five severities", fontsize=9)
    save(figure, path)


def _panel(axis: Axes, row: Row, groups: Sequence[Group], strengths: Sequence[float], colours: str) -> None:
    networks = list(dict.fromkeys(group.network for group in groups))
    for group in groups:
        colour = _colour(colours, networks.index(group.network), len(networks))
        values = _values(row, group)
        if not values:
            continue
        if group.rho is None:
            axis.axvline(statistics.fmean(values), color=colour, linewidth=1.2)
            continue
        # Strengths stand at even distances, as in the paper, whatever they are.
        height = strengths.index(group.rho)
        face = colour if is_best(group, groups) else "white"
        axis.plot(values, [height] * len(values), "|", color=colour, markersize=5, alpha=0.6)
        axis.plot(
            statistics.fmean(values),
            height,
            _MARKERS.get(group.objective, "o"),
            color=colour,
            markerfacecolor=face,
            markersize=4.5,
        )
    axis.set_title(row.label, fontsize=8, color=_colour(colours, 0, 1))
    axis.set_yticks(np.arange(len(strengths)), [f"{rho:g}" for rho in strengths])
    axis.set_ylim(-0.7, len(strengths) - 0.3)
    axis.margins(x=0.15)
    axis.tick_params(labelsize=7)
    axis.spines[["top", "right"]].set_visible(False)


def _values(row: Row, group: Group) -> list[float]:
    """In per cent, of each seed."""
    found = [row.value(record) for record in group.records]
    return [100.0 * value for value in found if value is not None]


def _colour(name: str, index: int, count: int) -> tuple[float, float, float, float]:
    """From light to dark over the networks, as in the paper."""
    return plt.get_cmap(name)(0.75 if count == 1 else 0.45 + 0.5 * index / (count - 1))


def _legend(figure: Figure, free: Sequence[Axes], groups: Sequence[Group]) -> None:
    """In the free cells beside the summaries."""
    axis = free[0]
    axis.set_visible(True)
    axis.axis("off")
    networks = list(dict.fromkeys(group.network for group in groups))
    for index, network in enumerate(networks):
        colour = _colour(_OTHERS, index, len(networks))
        for group in [group for group in groups if group.network == network]:
            name = title({"objective": group.objective, "rho": None})
            style = "-" if group.rho is None else _MARKERS.get(group.objective, "o")
            face = "white" if group.rho is not None else colour
            axis.plot([], [], style, color=colour, markerfacecolor=face, markersize=4.5, label=f"{network}: {name}")
    axis.plot([], [], "o", color="0.3", markersize=4.5, label="filled: least clean error")
    handles, labels = axis.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    axis.legend(unique.values(), unique.keys(), loc="upper left", frameon=False, fontsize=7)
