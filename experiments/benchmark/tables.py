"""The rows of a benchmark's records, and tables of them: medians and ranges of rounds, ratios, goals."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.core.records import Model, Record
from experiments.core.report import Grid
from experiments.core.tables import DASH


class Timed:
    """A row of a record, a model there."""

    def __init__(self, model: Model):
        self.settings, self.details = model.settings, model.details
        self.name, self.label, self.status = self.settings["row"], self.settings["label"], self.details["status"]
        self.measured = self.status == "measured"
        self._first: Mapping[str, Any] = model.values_at()
        self._rounds = [each.values for each in model.measurements if each.at]

    def rounds(self, name: str) -> np.ndarray:
        """A number of each round, or the row's only one; NaN where there is none."""
        known = [values[name] for values in self._rounds if values.get(name) is not None]
        return np.array(known or [self._first.get(name)], np.float64)

    def median(self, name: str) -> float:
        """Of a number's rounds."""
        return float(np.median(self.rounds(name)))

    @property
    def rates(self) -> np.ndarray:
        """Images a second of each round."""
        return self.rounds("images_per_second")


Rows = Mapping[str, Timed]


def tables_of(record: Record) -> dict[str, dict[str, Timed]]:
    """The rows of a record by table and name."""
    tables: dict[str, dict[str, Timed]] = {}
    for row in map(Timed, record.models):
        tables.setdefault(row.settings["table"], {})[row.name] = row
    return tables


def over(row: Timed, reference: Timed) -> np.ndarray:
    """A row's speed in those of another, round by round, for each device with arithmetic of its own."""
    return row.rates / reference.rates * (reference.median("own_devices") / row.median("own_devices"))


def fastest(rows: Rows, names: Sequence[str]) -> Timed | None:
    """Of those that were measured."""
    known = [rows[name] for name in names if name in rows and rows[name].measured]
    return max(known, key=lambda row: row.median("images_per_second"), default=None)


def median(values: np.ndarray, form: str = ".2f", spread: bool = True) -> str:
    """The median of the rounds and their range; a dash for no number."""
    if np.isnan(values).any():
        return DASH
    text = format(np.median(values), form)
    return f"{text} ({values.min():{form}}-{values.max():{form}})" if spread else text


Columns = dict[str, Callable[[Timed], str]]
"""What a row says, by the title of the column."""


def column(title: str, name: str, form: str = ".2f", *, spread: bool = False, scale: float = 1.0) -> Columns:
    """A number of each row."""
    return {title: lambda row: median(scale * row.rounds(name), form, spread)}


FIRST, COMPILE = column("first, s", "first_seconds", ".1f"), column("compile, s", "compile_seconds", ".1f")
SPEED = column("images/s (range)", "images_per_second", ",.0f", spread=True)
OF_ALL = column("images/s x models (range)", "images_per_second", ",.0f", spread=True)
STEP, PEAK = column("step, ms", "step_ms"), column("of peak", "mfu", ".0%")
SHARES = PEAK | column("XLA's", "mfu_xla", ".0%")


def computed(title: str, values: Mapping[str, np.ndarray], form: str = ".2f", *, spread: bool = True) -> Columns:
    """What was computed for some rows, by their names."""
    return {title: lambda row: median(values[row.name], form, spread) if row.name in values else DASH}


def faster(title: str, reference: Timed, rows: Iterable[Timed]) -> Columns:
    """How much faster a row is than others."""
    return computed(title, {row.name: reference.rates / row.rates for row in rows if row is not reference})


def table(
    title: str,
    rows: Rows,
    columns: Columns,
    corner: str = "",
    label: Callable[[Timed], str] = lambda row: row.label,
) -> Grid:
    """A table; a row that could not be measured says why."""
    cells = []
    for row in rows.values():
        absent = [DASH, row.status, *[DASH] * (len(columns) - 2)]
        cells.append([label(row), *([each(row) for each in columns.values()] if row.measured else absent)])
    return Grid([corner, *columns], cells, title)


class Goal(NamedTuple):
    """What was promised, and what was measured: met, by the median of the rounds, from the goal on, or below it."""

    name: str
    goal: float
    values: np.ndarray
    at_most: bool = False

    @property
    def aim(self) -> str:
        """The goal, for a reader."""
        return f"{'under ' * self.at_most}{self.goal:g}"

    @property
    def verdict(self) -> str:
        """Whether it is met."""
        measured = np.median(self.values)
        return "met" if (measured < self.goal if self.at_most else measured >= self.goal) else "missed"

    def __str__(self) -> str:
        return f"{self.name}: {np.median(self.values):.2f}, target {self.aim}: {self.verdict}"


Section = Grid | Goal | str


def length(record: Record) -> str:
    """Of a measurement."""
    return f"{record.settings['repeats']} rounds of {record.settings['steps']} steps"


def matrix_peak(record: Record) -> str:
    """The machine's own matrix rate, and the memory used."""
    peak, memory = record.details["matrix_peak"], record.details.get("peak_memory")  # records of old have none
    used = "" if memory is None else f" Peak memory {memory['bytes'] / 2**30:.2f} GiB ({memory['of']})"
    peers = {
        row.label: row.median("peak_bytes") / 2**30 for rows in tables_of(record).values() for row in rows.values()
    }
    theirs = ", ".join(f"{label} {size:.2f}" for label, size in peers.items() if size > 0)
    used += f"; processes of others: {theirs} GiB." if theirs else "." * bool(used)
    highest = ""
    if "highest" in peak:
        highest = f"; at the highest precision {peak['highest']['flops_per_second'] / 1e9:.0f} GFLOP/s"
    return (
        f"{peak['dtype']} matrix peak {peak['flops_per_second'] / 1e9:.0f} GFLOP/s (n = {peak['size']}, median of the "
        f"rounds; best seen {peak['best_seen'] / 1e9:.0f}) at the default precision, the networks' own{highest}.{used}"
    )


def as_xla_counts(flops: float | None, what: str) -> str:
    """FLOPs in brackets, if XLA says."""
    return "" if flops is None else f" ({flops / 1e9:.3f} as XLA counts, {what})"
