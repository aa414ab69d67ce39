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

from experiments.benchmark.machine import Cost, MatrixPeak, own_arithmetic
from experiments.core.records import Measurement, Model
from experiments.core.worker import WorkerError
from ib_jax import data, training

Turn = Callable[[float], tuple[float, Mapping[str, Any]]]
"""Runs what is timed, where that is a call again and again for the seconds asked for (0: once); returns the seconds of
one call or stretch and what else there is to say: numbers go into the row's values, all else into its details."""
MEASURED = "measured"


@dataclasses.dataclass(frozen=True)
class Row:
    """A program that is timed."""

    table: str
    name: str  # in its table
    label: str  # for a reader
    start: Callable[[], Turn]  # a WorkerError or OSError, or too little memory, becomes the row's status
    images: int  # of one call or stretch, over all devices and members
    steps: int = 0  # train or attack steps of it; 0 where nobody asks
    cost: Callable[[], Cost] = Cost  # of it, counted when everything has been timed
    devices: int = 1  # that take part
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # in what it differs from the other rows


class Plan(NamedTuple):
    """What a suite measures."""

    rows: list[Row]  # in the order of their turns
    details: Callable[[], dict[str, Any]] = dict  # for the record, counted when everything has been timed
    dtype: str = "float32"  # of the matrix peak; empty for a suite without matrix products
    min_seconds: float = 0.0  # of a turn


def random_dataset(num_examples: int, shape: tuple[int, ...] = (28, 28, 1), num_classes: int = 10) -> data.Dataset:
    """Random images, of MNIST's shape by default, the same every time, with all classes in turn."""
    images = np.random.default_rng(0).integers(0, 256, (num_examples, *shape), np.uint8)
    train = data.Split(images, np.arange(num_examples, dtype=np.int32) % num_classes)
    return data.Dataset("random", train, None, train, num_classes)


def refuse_peer(reason: str = "", precision: str = "float32") -> None:
    """Refuses a library that cannot run, for a reason, or that would run elsewhere or in another way than JAX.

    Raises:
      WorkerError: with the reason.
    """
    if not reason and jax.default_backend() != "cpu":
        reason = f"skipped: the peers run on the CPU, JAX on the {jax.default_backend()}"
    if not reason and precision != "float32":
        reason = f"skipped: the peers train in float32, JAX in {precision}"
    if not reason and jax.process_count() > 1:
        reason = f"skipped: the peers train in one process, JAX in {jax.process_count()}"
    if reason:
        raise WorkerError(reason)


def timed(
    call: Callable[..., Any],
    *,
    prepare: Callable[[], tuple[Any, ...]] = tuple,
    average: Callable[[list[float]], float] = statistics.fmean,
    describe: Callable[[Any], Mapping[str, Any]] = lambda result: {},
) -> Turn:
    """A turn of calls, each until its result is there; its arguments are prepared outside the clock."""

    def turn(min_seconds: float) -> tuple[float, Mapping[str, Any]]:
        rounds: list[float] = []
        while not rounds or sum(rounds) < min_seconds:
            arguments = jax.block_until_ready(prepare())
            begin = time.perf_counter()
            result = jax.block_until_ready(call(*arguments))
            rounds.append(time.perf_counter() - begin)
        return average(rounds), describe(result)

    return turn


def stretches(
    run: Callable[[Any], tuple[Any, Any]], state: Any, *, describe: Callable[[], Mapping[str, Any]] = dict
) -> Turn:
    """A turn of one stretch of training, which goes on from the last.

    Args:
      run: state -> (state, losses [..., steps] or the last one).
      state: before the first stretch; in a list, if several turns go on with the same.
      describe: what else there is to say than the last loss.
    """
    held = state if isinstance(state, list) else [state]

    def call() -> Any:
        held[0], losses = run(held[0])
        return held[0], losses

    return timed(call, describe=lambda ran: {"last_loss": float(np.mean(np.atleast_1d(ran[1])[..., -1])), **describe()})


def measure(
    plan: Plan, console: Console, *, repeats: int, peak: MatrixPeak | None = None
) -> tuple[list[Model], dict[str, Any]]:
    """Runs every row once, with its compiling, and then in turn in every round. All processes must call it.

    Returns:
      A model of the record for each row: what it is, with its work and its first call, and a measurement of each round;
      and the plan's details, with the matrix peak, if that is measured in every round.
    """
    runs = [_Run(row) for row in plan.rows]
    columns = (TextColumn("{task.fields[what]}", markup=False), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        line = bar.add_task("", total=len(runs) * (repeats + 1), what="preparing")

        def show(what: str, row: Row) -> None:
            bar.update(line, what=f"{what}: {row.table}, {row.label}", advance=1)

        for run in runs:
            show("compiling", run.row)
            run.start()
        for number in range(1, repeats + 1):
            if peak is not None:
                peak.measure()
            for run in runs:
                if run.status == MEASURED:
                    show(f"round {number}/{repeats}", run.row)
                    run.seconds.append(run.take_turn(plan.min_seconds))
            if not console.is_terminal:
                console.print(f"round {number}/{repeats} done")
    matrix_peak = {} if peak is None else {"matrix_peak": peak.summary()}
    rate = matrix_peak["matrix_peak"]["flops_per_second"] if matrix_peak else None
    return [run.model(rate) for run in runs], matrix_peak | plan.details()


class _Run:
    """A row, its turns so far, and what they said."""

    def __init__(self, row: Row):
        self.row, self.status = row, MEASURED
        self.seconds: list[float] = []
        self._said: dict[str, Any] = {}

    def start(self) -> None:
        """Takes the first turn, with its compiling."""
        try:
            self._turn = self.row.start()
            self._said["first_seconds"] = self.take_turn(0.0)
        except (WorkerError, OSError) as error:
            self.status = str(error)
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            self.status = "more than the device's memory"

    def take_turn(self, min_seconds: float) -> float:
        """All processes begin at once; the seconds are those of the slowest."""
        _slowest(0.0)
        seconds, said = self._turn(min_seconds)
        self._said |= said
        return _slowest(seconds)

    def model(self, peak: float | None) -> Model:
        """As the record has it."""
        row, own = self.row, own_arithmetic(self.row.devices)
        values = {name: value for name, value in self._said.items() if value is None or isinstance(value, float | int)}
        measurements = []
        if self.status == MEASURED:
            cost = row.cost()
            work = {"images": row.images, "steps": row.steps, "flops": cost.products, "xla_flops": cost.xla}
            measurements.append(Measurement({}, {**values, **work, "own_devices": own}))
            for number, seconds in enumerate(self.seconds, 1):
                speed = speeds(seconds, row.images, row.steps, cost, None if peak is None else peak * own)
                measurements.append(Measurement({"round": number}, speed))
        settings = {"table": row.table, "row": row.name, "label": row.label, "devices": row.devices, **row.settings}
        details = {"status": self.status} | {name: said for name, said in self._said.items() if name not in values}
        return Model(f"{row.table} {row.name}".strip(), 0, measurements, settings, details=details)


def speeds(seconds: float, images: int, steps: int, cost: Cost, peak: float | None) -> dict[str, float]:
    """Images a second, a step's milliseconds, and the shares of the devices' matrix peak in FLOP/s, if that is known.

    `mfu` is of the matrix products alone, `mfu_xla` of all that XLA counts.
    """
    known = {"seconds": seconds, "images_per_second": images / seconds}
    if steps:
        known["step_ms"] = 1000 * seconds / steps
    for name, flops in {"mfu": cost.products, "mfu_xla": cost.xla}.items():
        if flops is not None and peak is not None:
            known[name] = flops / seconds / peak
    return known


def _slowest(seconds: float) -> float:
    if jax.process_count() == 1:
        return seconds
    return float(training.gather(training.replicate(np.float32(seconds))).max())
