"""The figure of features' entropy and robustness: one column for each attack, two axes, as the paper's Figure 4."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from experiments.core.plots import Path, save
from experiments.feature_entropy import table
from experiments.feature_entropy.measure import ESTIMATORS, OWN, PLUG_IN, SHARED

DRAWN = (SHARED, OWN)
_BLUE, _RED = "C0", "C3"


def draw(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """Entropy (blue, left axis) and robustness (red, right axis) against the ratio of attacked training images.

    Args:
      path: PNG file to write.
      records: as `table.read` gives them; each data set is two rows, one for each grid of `DRAWN`.
    """
    places = [(record, grid) for record in records for grid in DRAWN]
    attacks = table.ATTACKS
    size = (4.2 * len(attacks), 3.1 * len(places) + 0.5)
    figure, axes = plt.subplots(len(places), len(attacks), figsize=size, layout="constrained", squeeze=False)
    for row, (record, grid) in zip(axes, places, strict=True):
        for axis, attack in zip(row, attacks, strict=True):
            twin = axis.twinx()
            if attack not in table.trained_against(record):
                axis.set_axis_off(), twin.set_axis_off()
                continue
            _panel(axis, twin, record, grid, attack)
            axis.set_title(f"{record['config']['dataset']}, {attack}; grid: {grid}", fontsize="medium")
            axis.set_xlabel("ratio of attacked training images")
    drawn = [axis for axis in axes.flat if axis.axison]
    for axis in drawn[:1]:
        twin = next(other for other in figure.axes if other is not axis and other.bbox.bounds == axis.bbox.bounds)
        handles = [pair for one in (axis, twin) for pair in zip(*one.get_legend_handles_labels(), strict=True)]
        figure.legend(*zip(*handles, strict=True), loc="outside lower center", ncols=3, frameon=False)
    save(figure, path)


def _panel(axis: Any, twin: Any, record: Mapping[str, Any], grid: str, attack: str) -> None:
    groups = table.by_ratio(table.models(record, attack))
    ratios = np.array(list(groups))
    for name, style in zip(ESTIMATORS, ("o-", "s--"), strict=True):
        # Seeds side by side, so that their intervals do not hide each other.
        for ratio, rows in groups.items():
            for index, row in enumerate(rows):
                estimate, low, high = row["entropy"][grid][name]
                place = ratio + 0.012 * (index - (len(rows) - 1) / 2) + (0.0 if name == PLUG_IN else 0.006)
                axis.plot([place, place], [low, high], color=_BLUE, alpha=0.35, linewidth=1)
                axis.plot(place, estimate, style[0], color=_BLUE, alpha=0.35, markersize=3)
        means = [np.mean([row["entropy"][grid][name][0] for row in rows]) for rows in groups.values()]
        axis.plot(ratios, means, style, color=_BLUE, markersize=5, label=f"entropy, {table.TITLES[name]}")
    for ratio, rows in groups.items():
        twin.plot([ratio] * len(rows), [table.robustness(row, attack) for row in rows], "^", color=_RED, alpha=0.35)
    means = [np.mean([table.robustness(row, attack) for row in rows]) for rows in groups.values()]
    twin.plot(ratios, means, "^-", color=_RED, markersize=5, label="robustness")
    axis.set_ylabel("entropy, bits", color=_BLUE)
    twin.set(ylim=(0, 102))
    twin.set_ylabel("robustness, %", color=_RED)
    axis.tick_params(axis="y", labelcolor=_BLUE)
    twin.tick_params(axis="y", labelcolor=_RED)
