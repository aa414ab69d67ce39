"""Tables of a report: cells of numbers with spread and the paper's number, by rows and columns of a frame."""

import dataclasses
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from experiments.core.frames import values_by_model

if TYPE_CHECKING:
    import pandas as pd

DASH = "-"
ATTACKS = {
    "clean": "clean", "fgsm": "FGSM", "bim": "BIM", "pgd": "PGD", "mi_fgsm": "MI-FGSM", "apgd": "APGD",
    "deepfool": "DeepFool", "carlini_wagner": "CW", "fab": "FAB", "square": "Square", "autoattack": "AutoAttack",
    "worst": "worst of all",
}  # fmt: skip
"""What the attacks of records are called in tables."""


class Cell(NamedTuple):
    """What stands in a table: the text, the number to sort by if it is one, and whether it is bold."""

    text: str
    value: float | None = None
    bold: bool = False


@dataclasses.dataclass(frozen=True)
class Grid:
    """A table whose cells are known: from a `Table`, or written out where rows are no groups of models."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell | str | float | None]]
    title: str = ""
    notes: str = ""

    def __post_init__(self) -> None:
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError(f"every row must have {len(self.columns)} cells, one for each of {list(self.columns)}")

    @property
    def cells(self) -> list[list[Cell]]:
        """The cells, numbers and texts among them made to cells."""
        return [[as_cell(each) for each in row] for row in self.rows]

    @property
    def numeric(self) -> list[bool]:
        """Of each column whether it has a number, and stands at the right."""
        return [any(cell.value is not None for cell in column) for column in zip(*self.cells, strict=True)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Line:
    label: Any = dataclasses.field(default="", kw_only=False)
    metric: str | Callable[..., Any] | None = dataclasses.field(default=None, kw_only=False)
    at: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    frame: "pd.DataFrame | None" = None
    unit: str | None = None
    digits: int | str | None = None
    scale: float | None = None
    spread: str | None = None
    missing: str | None = None
    paper: Any = None
    key: Any = None

    @property
    def texts(self) -> tuple[str, ...]:
        """The label, as the texts of one or several columns."""
        return tuple(map(str, self.label if isinstance(self.label, tuple) else (self.label,)))

    @property
    def place(self) -> Any:
        """By which `paper` of the other side is looked up."""
        return self.label if self.key is None else self.key


class Row(_Line):
    """A row of a table. What the column does not say, its row may.

    Attributes:
      label: the text of the first column, or a tuple of texts, one for each of the table's `corner`.
      metric: the name of a number; or a function from the cell's part of the frame to a number, numbers, text or Cell.
      at: conditions of the measurement, as of `frames.where`.
      frame: the part of the report's frame that it is about: the models of a row.
      unit: shown after the number; "%" also multiplies it by 100.
      digits: after the point, or a format such as ",.0f" or ".3g". Default 1.
      scale: factor of the number.
      spread: over models: "std" (2.0 ± 1.4, the default), "range" (2.0 (1.0 to 3.0)) or "none".
      missing: a dash where any model has no number ("dash", the default), or the mean of those that have ("skip").
      paper: the paper's, a number or text; or by key of the columns (of a row) or of the rows (of a column).
      key: by which the other side's `paper` is looked up. Default: the label.
    """


class Column(_Line):
    """A column of a table; the attributes are those of `Row`, and go before the row's."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """Numbers by row and column.

    Attributes:
      rows: groups of models, or numbers.
      columns: numbers, or groups of models.
      title: of the section.
      corner: titles of the columns of labels.
      notes: a paragraph below.
    """

    rows: Sequence[Row]
    columns: Sequence[Column]
    title: str = ""
    corner: Sequence[str] = ("",)
    notes: str = ""

    def grid(self, frame: "pd.DataFrame") -> Grid:
        """The cells."""
        rows: list[list[Cell | str | float | None]] = [
            [*row.texts, *(cell_of(frame, row, column) for column in self.columns)] for row in self.rows
        ]
        return Grid([*self.corner, *(str(column.label) for column in self.columns)], rows, self.title, self.notes)


def number(
    values: Any,
    *,
    unit: str = "",
    digits: int | str = 1,
    scale: float | None = None,
    spread: str = "std",
    missing: str = "dash",
    paper: Any = None,
) -> Cell:
    """A cell: mean, spread over seeds, and the paper's number in square brackets; a dash for what is missing.

    Example:
      >>> number([0.01, 0.03], unit="%", paper=1.5).text, number([1.0, 3.0], spread="range", digits=0).text
      ('2.0 ± 1.4 % [1.5]', '2 (1 to 3)')
      >>> number([1.0, None]).text, number([1.0, None], missing="skip").text
      ('-', '1.0')
    """
    factor = _factor(unit, scale)
    known = np.atleast_1d(np.asarray(values, dtype=np.float64))
    if missing == "skip":
        known = known[np.isfinite(known)]
    known = factor * (known.mean(keepdims=True) if spread == "none" and known.size else known)
    theirs = "" if paper is None else f" [{paper if isinstance(paper, str) else format(paper, 'g')}]"
    if not known.size or not np.isfinite(known).all():
        return Cell(DASH + theirs)
    form = digits if isinstance(digits, str) else f".{digits}f"
    average = statistics.fmean(known)
    mean, after = format(average, form), f" {unit}" if unit else ""
    if known.size == 1 or spread == "none":
        text = mean + after
    elif spread == "range":
        text = f"{mean}{after} ({format(known.min(), form)} to {format(known.max(), form)})"
    elif spread == "std":
        text = f"{mean} ± {format(float(known.std(ddof=1)), form)}{after}"
    else:
        raise ValueError(f"spread must be std, range or none, got {spread!r}")
    return Cell(text + theirs, average)


def cell_of(frame: "pd.DataFrame", row: Row, column: Column) -> Cell:
    """The cell of a row and a column."""
    values = _measured(frame, row, column)
    if values is None or isinstance(values, (str, Cell)):
        return as_cell(values)
    paper = _paper(column.paper, row.place) if column.paper is not None else _paper(row.paper, column.place)
    return number(values, paper=paper, **_options(row, column, "unit", "digits", "scale", "spread", "missing"))


def values_of(frame: "pd.DataFrame", row: Row, column: Column) -> np.ndarray:
    """The numbers behind a cell, in its unit; none where one of them is missing."""
    values = np.atleast_1d(np.asarray(_measured(frame, row, column), np.float64))
    values = values * _factor(**_options(row, column, "unit", "scale"))
    return values if np.isfinite(values).all() else values[:0]


def _measured(frame: "pd.DataFrame", row: Row, column: Column) -> Any:
    parts = [part for part in (row.frame, column.frame) if part is not None]
    if parts:
        frame = parts[0] if len(parts) == 1 else parts[0][parts[0].index.isin(parts[1].index)]
    metric = column.metric if column.metric is not None else row.metric
    if metric is None:
        raise ValueError(f"neither row {row.label!r} nor column {column.label!r} has a metric")
    return metric(frame) if callable(metric) else values_by_model(frame, metric, {**row.at, **column.at})[1]


def _factor(unit: str = "", scale: float | None = None) -> float:
    return (100.0 if unit == "%" else 1.0) if scale is None else scale


def _options(row: Row, column: Column, *names: str) -> dict[str, Any]:
    found = {name: getattr(row, name) if getattr(column, name) is None else getattr(column, name) for name in names}
    return {name: value for name, value in found.items() if value is not None}


def attack_label(at: Mapping[str, Any]) -> str:
    """What an attack is called, from its conditions.

    Example:
      >>> attack_label({"attack": "pgd", "num_steps": 20, "norm": "l2", "targeted": True, "epsilon": 0.5})
      'PGD-20 L2 targeted, 0.5'
      >>> attack_label({"attack": "pgd", "loss": "margin", "num_eot_samples": 10, "norm": "linf", "epsilon": 0.1})
      'PGD margin EOT, 0.1'
    """
    known = {name: value for name, value in at.items() if value is not None and value == value}
    name = ATTACKS.get(known["attack"], known["attack"])
    steps = f"-{known['num_steps']:g}" if "num_steps" in known else ""
    loss, source = known.get("loss", "cross_entropy"), known.get("source", "")
    words = {
        name + steps: True,
        loss: loss != "cross_entropy",
        "EOT": known.get("num_eot_samples", 1) > 1,
        "L2": known.get("norm") == "l2",
        "targeted": known.get("targeted"),
        f"made on {source}": source,
    }
    radius = f", {known['epsilon']:.3g}" if "epsilon" in known else ""
    return " ".join(word for word, holds in words.items() if holds) + radius


def as_cell(value: Cell | str | float | None) -> Cell:
    """A cell of a text or a number as it is; a dash for what is missing.

    Example:
      >>> as_cell(0.25), as_cell(None).text, as_cell(1000).text
      (Cell(text='0.25', value=0.25, bold=False), '-', '1000')
    """
    if isinstance(value, Cell):
        return value
    if value is None or isinstance(value, str):
        return Cell(DASH if value is None else value)
    value = float(value)
    return Cell(f"{value:.10g}", value) if math.isfinite(value) else Cell(DASH)


def _paper(paper: Any, key: Any) -> Any:
    return paper.get(key) if isinstance(paper, Mapping) else paper
