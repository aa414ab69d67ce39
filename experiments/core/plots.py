"""Figures: panels declared over the frame of an experiment's records, and drawn without a screen.

Lines and points have a value for each x of a condition or setting; bars are a `Table` drawn; a scatter has a point for
each row of a table. What is special is a function `(axes, frame)` in place of a panel, or `(figure, frame)` in place of
all.
"""

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.core.records import per_model, where
from experiments.core.tables import Column, Row, values_of

if TYPE_CHECKING:  # matplotlib takes a second to import, and is imported where something is drawn
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

Path = str | os.PathLike[str]
DPI = 110


@dataclasses.dataclass(frozen=True, kw_only=True)
class Line:
    """A line, or points: mean over models at each x, with their standard deviation.

    Attributes:
      label: in the legend.
      metric: the name of a number; or a function from the part of the frame at an x to numbers of its models.
      at: conditions of the measurement, as of `records.where`.
      frame: the part of the report's frame that it is about.
      x: in place of the panel's; the name of a setting or a condition, or of another metric at the same `at`.
      over: where x is a metric, the setting or condition that goes along the line, or points for each model without.
      first: a point (x, value) before the measured ones, such as the clean accuracy at radius 0.
      scale: factor of the numbers.
      color: of Matplotlib.
      style: of the line; "" for points.
      marker: of the points.
      twin: on the second axis, at the right.
      spread: "std", "seeds" (a small point for each model) or "none".
    """

    label: str = dataclasses.field(default="", kw_only=False)
    metric: str | Callable[..., Any] = dataclasses.field(default="", kw_only=False)
    at: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    frame: "pd.DataFrame | None" = None
    x: str | None = None
    over: str | None = None
    first: tuple[float, Any] | None = None
    scale: float = 1.0
    color: str | None = None
    style: str = "-"
    marker: str = "."
    twin: bool = False
    spread: str = "std"


@dataclasses.dataclass(frozen=True)
class Level:
    """A straight line of reference, such as the paper's number.

    Attributes:
      value: where it is; the mean of several.
      label: in the legend.
      color: of Matplotlib.
      style: of the line.
      vertical: whether it stands.
    """

    value: Any
    label: str = ""
    color: str = "0.5"
    style: str = ":"
    vertical: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Panel:
    """Axes with lines, points and levels.

    Attributes:
      lines: what is drawn.
      x: the name of a setting, a condition or a metric.
      levels: lines of reference.
      title: above.
      xlabel: below. Default: the name of x.
      ylabel: at the left.
      twin_label: of the second axis, at the right.
      xscale: "linear", "log" or "symlog".
      yscale: likewise.
      xlim: limits; None for either is as the data say.
      ylim: likewise.
      legend: whether these axes have one.
    """

    lines: Sequence[Line]
    x: str = ""
    levels: Sequence[Level] = ()
    title: str = ""
    xlabel: str | None = None
    ylabel: str = ""
    twin_label: str = ""
    xscale: str = "linear"
    yscale: str = "linear"
    xlim: tuple[float | None, float | None] = (None, None)
    ylim: tuple[float | None, float | None] = (None, None)
    legend: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bars:
    """A table drawn: a group of bars for each row, a bar for each column.

    Attributes:
      rows: as of `report.Table`.
      columns: likewise.
      title: above.
      label: of the axis of numbers.
      limits: of that axis.
      horizontal: whether bars lie, with room for long labels of rows.
      colors: one for each column.
      legend: whether these axes have one.
    """

    rows: Sequence[Row]
    columns: Sequence[Column]
    title: str = ""
    label: str = ""
    limits: tuple[float | None, float | None] = (None, None)
    horizontal: bool = False
    colors: Sequence[str] = ()
    legend: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scatter:
    """A point for each row of a table, such as two numbers of each model.

    Attributes:
      points: the table; the others name its columns.
      x: what goes to the right.
      y: what goes up.
      color: the group of a point; its color.
      marker: what its marker stands for, in words for the legend.
      hollow: whether it is hollow.
      error: the standard error of y.
      path: points of one value are joined in their order.
      trend: whether a straight line is fitted to each color, against log x on a log axis.
      title: above.
      xlabel: below.
      ylabel: at the left.
      xscale: "linear", "log" or "symlog".
      level: where a grey line lies; None for none.
    """

    points: "pd.DataFrame"
    x: str
    y: str
    color: str
    marker: str
    hollow: str
    error: str = ""
    path: Sequence[str] = ()
    trend: bool = False
    title: str = ""
    xlabel: str = ""
    ylabel: str = ""
    xscale: str = "linear"
    level: float | None = None


MARKERS = "os^Dv*"
"""Of a scatter, in the order of what they stand for."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figure:
    """A picture of panels.

    Attributes:
      file: of the PNG, beside table.md.
      panels: each a `Panel`, `Bars`, `Scatter`, or a function `(axes, frame)`.
      title: of the report's section; none for a figure that belongs to the section before.
      suptitle: above the panels.
      alt: what is seen, for who does not see it.
      columns: of panels. Default: all in one row.
      size: in inches. Default: 4.5 by 3.4 for each panel.
      widths: of the columns, relative.
      share: "x", "y", "both" or "none": axes that panels share.
      legend: one of all panels below, in this many columns; 0 for none.
      draw: `(figure, frame)`, in place of panels.
    """

    file: str = dataclasses.field(kw_only=False)
    panels: Sequence[Any] = dataclasses.field(default=(), kw_only=False)
    title: str = ""
    suptitle: str = ""
    alt: str = ""
    columns: int | None = None
    size: tuple[float, float] | None = None
    widths: Sequence[float] | None = None
    share: str = "none"
    legend: int = 0
    draw: "Callable[[Canvas, pd.DataFrame], None] | None" = None


def draw(figure: Figure, frame: "pd.DataFrame", path: Path) -> None:
    """Draws a figure from a frame into a PNG file."""
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
    canvas.savefig(path, dpi=DPI)


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
        draw_level: Any = axes.axvline if level.vertical else axes.axhline
        style = {"color": level.color, "linestyle": level.style, "linewidth": 1, "label": level.label or None}
        draw_level(float(np.mean(level.value)), **style)
    xlabel = panel.x if panel.xlabel is None else panel.xlabel
    axes.set(xlabel=xlabel, ylabel=panel.ylabel, xscale=panel.xscale, yscale=panel.yscale)
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
