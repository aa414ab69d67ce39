"""Draws the figures that `core/plots.py` declares, from a frame and without a screen."""

import functools
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.core.frames import per_model, where
from experiments.core.plots import MARKERS, Bars, Figure, Line, Panel, Scatter
from experiments.core.tables import values_of
from ib_jax.files import write_whole

if TYPE_CHECKING:  # matplotlib takes a second to import, and is imported where something is drawn
    import pandas as pd
    from matplotlib.axes import Axes

Path = str | os.PathLike[str]
DPI = 110


def draw(figure: Figure, frame: "pd.DataFrame", path: Path) -> None:
    """Draws a figure from a frame into a PNG file, the same whatever the user's settings of matplotlib."""
    import matplotlib

    with matplotlib.rc_context(matplotlib.rcParamsDefault):
        _draw(figure, frame, path)


def _draw(figure: Figure, frame: "pd.DataFrame", path: Path) -> None:
    from matplotlib.figure import Figure as Canvas

    number = max(1, len(figure.panels))
    columns = min(figure.columns or number, number)
    rows = -(-number // columns)
    canvas = Canvas(figsize=figure.size or (4.5 * columns, 3.4 * rows), layout="constrained")
    if figure.draw is not None:
        figure.draw(canvas, frame)
    else:
        x, y = figure.share in ("x", "both"), figure.share in ("y", "both")
        grid = canvas.subplots(rows, columns, squeeze=False, width_ratios=figure.widths, sharex=x, sharey=y)
        axes = list(grid.flat)
        for each in axes[len(figure.panels) :]:
            each.set_visible(False)
        for each, panel in zip(axes, figure.panels, strict=False):
            draw_panel(each, panel, frame)
    if figure.suptitle:
        canvas.suptitle(figure.suptitle)
    if figure.legend:
        handles = {
            label: handle
            for axis in canvas.axes
            for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
        }
        canvas.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=figure.legend, frameon=False)
    write_whole(path, functools.partial(canvas.savefig, dpi=DPI, format="png"))


def draw_panel(axes: "Axes", panel: Any, frame: "pd.DataFrame") -> None:
    """Draws a panel into axes."""
    if isinstance(panel, Bars):
        _draw_bars(axes, panel, frame)
    elif isinstance(panel, Panel):
        _draw_lines(axes, panel, frame)
    elif isinstance(panel, Scatter):
        _draw_scatter(axes, panel)
    else:
        panel(axes, frame)


def points(line: Line, frame: "pd.DataFrame", x: str = "") -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The x and y of a line, each [models], from left to right; places with a missing number are left out.

    Args:
      line: what is drawn.
      frame: the report's.
      x: the panel's.
    """
    frame, x = frame if line.frame is None else line.frame, line.x or x
    if line.first is not None:
        yield np.array([float(line.first[0])]), np.atleast_1d(np.asarray(line.first[1], np.float64)) * line.scale
    along = x if x in frame else line.over
    if along is None:
        parts = [frame]
    elif along in frame:
        measured = where(frame, **{name: value for name, value in line.at.items() if name != along})
        if isinstance(line.metric, str):
            measured = measured[measured["metric"] == line.metric]
        parts = [where(frame, **{along: value}) for value in sorted(measured[along].dropna().unique())]
    else:
        parts = []
    for part in parts:
        ys = line.metric(part) if callable(line.metric) else per_model(part, line.metric, **line.at)
        ys = np.atleast_1d(np.asarray(ys, np.float64)) * line.scale
        xs = part[x].to_numpy(np.float64)[:1] if x in frame else np.asarray(per_model(part, x, **line.at), np.float64)
        pairs = zip(xs, ys, strict=True) if along is None else [(xs, ys)]
        for left, right in pairs:
            left, right = np.atleast_1d(left), np.atleast_1d(right)
            if right.size and np.isfinite(right).all() and np.isfinite(left).all():
                yield left, right


def _draw_lines(axes: "Axes", panel: Panel, frame: "pd.DataFrame") -> None:
    twin = axes.twinx() if any(line.twin for line in panel.lines) else None
    for place, line in enumerate(panel.lines):
        target = twin if line.twin and twin is not None else axes
        pairs = list(points(line, frame, panel.x))
        if not pairs:
            continue
        xs, ys = ([float(values[side].mean()) for values in pairs] for side in (0, 1))
        color = line.color or f"C{place}"
        style: dict[str, Any] = {"color": color, "linestyle": line.style or "none", "marker": line.marker}
        if line.spread == "std" and any(y.size > 1 for _, y in pairs):
            xerr, yerr = ([_deviation(values[side]) for values in pairs] for side in (0, 1))
            style |= {"yerr": yerr, "xerr": xerr if any(xerr) else None, "capsize": 2}
            target.errorbar(xs, ys, label=line.label or None, **style)
        else:
            target.plot(xs, ys, label=line.label or None, **style)
        if line.spread == "seeds":
            for x, y in pairs:
                target.plot(np.broadcast_to(x, y.shape), y, ".", color=color, alpha=0.5, markersize=3)
    for level in panel.levels:
        style = {"color": level.color, "linestyle": level.style, "linewidth": 1, "label": level.label or None}
        axes.axhline(float(np.mean(level.value)), **style)
    xlabel = panel.x if panel.xlabel is None else panel.xlabel
    axes.set(xlabel=xlabel, ylabel=panel.ylabel, xscale=panel.xscale, yscale=panel.yscale)
    if panel.xscale == "symlog":
        axes.set_xscale("symlog", linthresh=panel.linear_to)
    axes.set(xlim=panel.xlim, ylim=panel.ylim)  # after the scales, which set limits
    axes.set_title(panel.title, fontsize="medium")
    handles, labels = axes.get_legend_handles_labels()
    if twin is not None:
        color = next((line.color for line in panel.lines if line.twin and line.color), "black")
        twin.set_ylabel(panel.twin_label, color=color)
        twin.set_ylim(0, None)
        more = twin.get_legend_handles_labels()
        handles, labels = handles + more[0], labels + more[1]
    if panel.legend and handles:
        axes.legend(handles, labels, frameon=False, fontsize="small")


def _draw_bars(axes: "Axes", bars: Bars, frame: "pd.DataFrame") -> None:
    places, width = np.arange(len(bars.rows)), 0.8 / max(1, len(bars.columns))
    for index, column in enumerate(bars.columns):
        cells = [values_of(frame, row, column) for row in bars.rows]
        means = [float(values.mean()) if values.size else np.nan for values in cells]
        errors = [_deviation(values) for values in cells]
        color = bars.colors[index] if bars.colors else f"C{index % 10}"
        error = {("xerr" if bars.horizontal else "yerr"): errors} if any(errors) else {}
        draw_bar: Any = axes.barh if bars.horizontal else axes.bar
        draw_bar(places + index * width, means, width, color=color, label=str(column.label), **error)
    middles = places + width * (len(bars.columns) - 1) / 2
    labels = [", ".join(row.texts) for row in bars.rows]
    if bars.horizontal:
        axes.set_yticks(middles, labels, fontsize="small")
        axes.invert_yaxis()
        axes.set(xlabel=bars.label, xlim=bars.limits)
    else:
        axes.set_xticks(middles, labels, fontsize="small")
        axes.set(ylabel=bars.label, ylim=bars.limits)
    axes.set_title(bars.title, fontsize="medium")
    if bars.legend:  # below, where no bar is
        place: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.13), "ncols": len(bars.columns)}
        axes.legend(frameon=False, fontsize="small", **(place if bars.horizontal else {}))


def _draw_scatter(axes: "Axes", scatter: Scatter) -> None:
    import matplotlib

    points, x, y = scatter.points, scatter.x, scatter.y
    groups, kinds = (sorted(set(points[column])) for column in (scatter.color, scatter.marker))
    for group, color in zip(groups, matplotlib.colormaps["viridis"](np.linspace(0, 0.85, len(groups))), strict=True):
        part = points[points[scatter.color] == group]
        for _, own in part.groupby(list(scatter.path)) if scatter.path else ():
            axes.plot(own[x], own[y], color="0.85", linewidth=0.7, zorder=1)
        if scatter.error:
            axes.errorbar(
                part[x], part[y], part[scatter.error], ls="", color=color, elinewidth=0.7, alpha=0.4, zorder=1
            )
        for (kind, hollow), own in part.groupby([scatter.marker, scatter.hollow]):
            face = "none" if hollow else color
            axes.plot(own[x], own[y], MARKERS[kinds.index(kind)], color=color, markerfacecolor=face, markersize=5)
        axes.plot([], [], color=color, label=f"{scatter.color} = {group:g}")
        along = np.log(part[x]) if scatter.xscale == "log" else part[x]
        if scatter.trend and len(part) > 2 and np.ptp(along) > 0:
            ends = [along.idxmin(), along.idxmax()]
            axes.plot(part[x][ends], np.polyval(np.polyfit(along, part[y], 1), along[ends]), color=color)
    for place, kind in enumerate(kinds):
        axes.plot([], [], MARKERS[place], color="0.4", label=kind)
    if scatter.level is not None:
        axes.axhline(scatter.level, color="0.7", linewidth=0.8, zorder=0)
    axes.set(xlabel=scatter.xlabel, ylabel=scatter.ylabel, xscale=scatter.xscale)
    axes.set_title(scatter.title, fontsize="small")


def _deviation(values: np.ndarray) -> float:
    return float(values.std(ddof=1)) if values.size > 1 else 0.0
