"""Figures: panels declared over the frame of an experiment's records; `core/drawing.py` draws them.

Lines and points have a value for each x of a condition or setting; bars are a `Table` drawn; a scatter has a point for
each row of a table. What is special is a function `(axes, frame)` in place of a panel, or `(figure, frame)` in place of
all.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from experiments.core.tables import Column, Row

if TYPE_CHECKING:  # matplotlib takes a second to import, and is imported where something is drawn
    import pandas as pd
    from matplotlib.figure import Figure as Canvas


@dataclasses.dataclass(frozen=True, kw_only=True)
class Line:
    """A line, or points: mean over models at each x, with their standard deviation.

    Attributes:
      label: in the legend.
      metric: the name of a number; or a function from the part of the frame at an x to numbers of its models.
      at: conditions of the measurement, as of `frames.where`.
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
    """A level line of reference, such as the paper's number.

    Attributes:
      value: where it is; the mean of several.
      label: in the legend.
      color: of Matplotlib.
      style: of the line.
    """

    value: Any
    label: str = ""
    color: str = "0.5"
    style: str = ":"


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
      linear_to: of a symlog axis of x: where it turns logarithmic.
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
    linear_to: float = 2.0
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
