"""Times the rows of a suite in turns, round after round; a row is a program, here or of another library."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from experiments.benchmark.device import MatrixPeak, own_arithmetic
from experiments.core.records import Measurement, Model
from experiments.core.worker import WorkerError
from ib_jax import training

Turn = Callable[[float], tuple[float, Mapping[str, Any]]]
"""Runs what is timed, where that is a call again and again for the seconds asked for (0: once); returns the seconds of
one call or stretch and what else there is to say: numbers go into the row's values, all else into its details."""


class Work(NamedTuple):
    """What a row does in one call or stretch.

    Attributes:
      images: over all devices and members.
      steps: train or attack steps; 0 where nobody asks.
      flops: of the matrix products; None where nobody asks.
      xla_flops: as XLA counts, element-wise work included; None where it does not say.
    """

    images: int
    steps: int = 0
    flops: float | None = None
    xla_flops: float | None = None


@dataclasses.dataclass(frozen=True)
class Row:
    """A program that is timed.

    Attributes:
      table: where it stands.
      name: in its table.
      label: for a reader.
      start: makes its turn; a WorkerError or OSError, or too little memory, becomes the row's status.
      work: counts its work, when everything has been timed.
      devices: that take part.
      settings: in what it differs from the other rows.
    """

    table: str
    name: str
    label: str
    start: Callable[[], Turn]
    work: Callable[[], Work]
    devices: int = 1
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)


class Plan(NamedTuple):
    """What a suite measures.

    Attributes:
      rows: in the order of their turns.
      details: for the record, counted when everything has been timed.
      dtype: of the matrix peak; empty for a suite without matrix products.
      min_seconds: for the turns.
    """

    rows: list[Row]
    details: Callable[[], dict[str, Any]] = dict
    dtype: str = "float32"
    min_seconds: float = 0.0


def timed(
    call: Callable[..., Any],
    *,
    prepare: Callable[[], tuple[Any, ...]] = tuple,
    average: Callable[[list[float]], float] = statistics.fmean,
    describe: Callable[[Any], Mapping[str, Any]] = lambda result: {},
) -> Turn:
    """A turn of calls.

    Args:
      call: what is timed, until its result is there.
      prepare: makes its arguments, outside the clock.
      average: of the seconds of the calls.
      describe: what there is to say of the last result.
    """

    def turn(min_seconds: float) -> tuple[float, Mapping[str, Any]]:
        rounds: list[float] = []
        while not rounds or sum(rounds) < min_seconds:
            arguments = jax.block_until_ready(prepare())
            begin = time.perf_counter()
            result = jax.block_until_ready(call(*arguments))
            rounds.append(time.perf_counter() - begin)
        return average(rounds), describe(result)

    return turn


def measure(
    plan: Plan, console: Console, *, repeats: int, peak: MatrixPeak | None = None
) -> tuple[list[Model], dict[str, Any]]:
    """Runs every row once, with its compiling, and then in turn in every round. All processes must call it.

    Args:
      plan: what is measured.
      console: where to show progress.
      repeats: rounds.
      peak: measured at the start of every round; None for none.

    Returns:
      A model of the record for each row: what it is, with its work and its first call, and a measurement of each round;
      and the plan's details, with the matrix peak.
    """
    turns: dict[int, Turn] = {}
    seconds: list[list[float]] = [[] for _ in plan.rows]
    said: list[dict[str, Any]] = [{} for _ in plan.rows]
    status = ["measured"] * len(plan.rows)
    columns = (TextColumn("{task.fields[what]}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        line = bar.add_task("", total=len(plan.rows) * (repeats + 1), what="preparing")
        for index, row in enumerate(plan.rows):
            bar.update(line, what=f"compiling: {row.table}, {row.label}")
            try:
                turn = row.start()
                first, found = _together(turn, 0.0)
                said[index], turns[index] = {"first_seconds": first, **found}, turn
            except (WorkerError, OSError, jax.errors.JaxRuntimeError) as error:
                if isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" not in str(error):
                    raise
                exhausted = isinstance(error, jax.errors.JaxRuntimeError)
                status[index] = "more than the device's memory" if exhausted else str(error)
            bar.advance(line)
        for number in range(1, repeats + 1):
            if peak is not None:
                peak.measure()
            for index, turn in turns.items():
                bar.update(line, what=f"round {number}/{repeats}: {plan.rows[index].table}, {plan.rows[index].label}")
                elapsed, found = _together(turn, plan.min_seconds)
                seconds[index].append(elapsed)
                said[index] |= found
                bar.advance(line)
            if not console.is_terminal:
                console.print(f"round {number}/{repeats} done", highlight=False)
    matrix_peak = peak.summary() if peak is not None else None
    rate = None if matrix_peak is None else matrix_peak["flops_per_second"]
    models = [_model(*each, rate) for each in zip(plan.rows, status, said, seconds, strict=True)]
    return models, ({} if matrix_peak is None else {"matrix_peak": matrix_peak}) | plan.details()


def _model(row: Row, status: str, said: Mapping[str, Any], seconds: list[float], peak: float | None) -> Model:
    values = {name: value for name, value in said.items() if value is None or isinstance(value, float | int)}
    measurements = []
    if status == "measured":
        work, own = row.work(), own_arithmetic(row.devices)
        measurements = [Measurement({}, {**values, **work._asdict(), "own_devices": own})]
        rounds = enumerate((speeds(each, work, own, peak) for each in seconds), 1)
        measurements += [Measurement({"round": number}, found) for number, found in rounds]
    settings = {"table": row.table, "row": row.name, "label": row.label, "devices": row.devices, **row.settings}
    details = {"status": status} | {name: value for name, value in said.items() if name not in values}
    return Model(f"{row.table} {row.name}".strip(), 0, measurements, settings, details=details)


def speeds(seconds: float, work: Work, own_devices: int, peak: float | None) -> dict[str, float]:
    """Images a second, a step's milliseconds, and the shares of the matrix peak of the devices.

    Args:
      seconds: of one call or stretch.
      work: done in it.
      own_devices: those that have arithmetic of their own.
      peak: FLOP/s of one of them, if it was measured.

    Returns:
      By name; `mfu` is of the matrix products alone, `mfu_xla` of all that XLA counts.
    """
    found = {"seconds": seconds, "images_per_second": work.images / seconds}
    if work.steps:
        found["step_ms"] = 1000 * seconds / work.steps
    for name, flops in {"mfu": work.flops, "mfu_xla": work.xla_flops}.items():
        if flops is not None and peak is not None:
            found[name] = flops / seconds / (peak * own_devices)
    return found


def _together(turn: Turn, min_seconds: float) -> tuple[float, Mapping[str, Any]]:
    """A turn that all processes begin at once; its seconds are those of the slowest."""
    _slowest(0.0)
    seconds, found = turn(min_seconds)
    return _slowest(seconds), found


def _slowest(seconds: float) -> float:
    if jax.process_count() == 1:
        return seconds
    return float(training.gather(training.replicate(np.float32(seconds))).max())
