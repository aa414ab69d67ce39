"""What a run shows on the terminal: one progress line while it works, tables when it is done."""

import time
from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from ib_jax.training import Progress as TrainingProgress

_SILENCE = 10.0  # seconds without a line in a log


class _Line:
    """A bar of rich, which is drawn on a terminal alone."""

    def __init__(self, console: Console, *columns: ProgressColumn):
        self._console, self._start = console, time.monotonic()
        self._bar = Progress(*columns, console=console, disable=not console.is_terminal)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()


class ProgressLine(_Line):
    """One line with the epoch, loss, speed and time left; in a log one for each evaluation, and every ten seconds."""

    def __init__(self, console: Console, *, first_step: int, steps_per_epoch: int, unit: str = "images"):
        numbers = TextColumn("loss {task.fields[loss]} nats  {task.fields[speed]:,.0f} " + f"{unit}/s")
        left = TimeRemainingColumn(elapsed_when_finished=True)
        super().__init__(console, TextColumn("epoch {task.fields[epoch]}"), BarColumn(), numbers, left)
        self._steps_per_epoch, self._first_step, self._unit = steps_per_epoch, first_step, unit
        self._shown = self._start
        self._task = self._bar.add_task("", total=None, epoch="0", loss="-", speed=0.0, completed=first_step)

    def __call__(self, progress: TrainingProgress) -> None:
        """Shows a report of the training loop."""
        epochs = f"{progress.step / self._steps_per_epoch:.3g}/{progress.num_steps / self._steps_per_epoch:.3g}"
        loss, speed = _range(progress.metrics["loss"], "{:.4f}"), progress.examples_per_second
        self._bar.update(
            self._task, total=progress.num_steps, completed=progress.step, epoch=epochs, loss=loss, speed=speed
        )
        now, found = time.monotonic(), progress.evaluation
        if not self._console.is_terminal and (found is not None or now - self._shown > _SILENCE):
            share = (progress.step - self._first_step) / max(1, progress.num_steps - self._first_step)
            error = "" if found is None else f"test error {_range(found['test']['error_avg'], '{:.2%}')}  "
            left = (now - self._start) * (1 - share) / share
            done = f"epoch {epochs}  loss {loss} nats  {error}{speed:,.0f} {self._unit}/s"
            self._console.print(f"{done}  {left:,.0f} s left")
            self._shown = now


class WorkLine(_Line):
    """One line with what is being measured and the time left; in a log a line for each report.

    Args:
      console: where to show it.
      total: all the work, in any unit.
    """

    def __init__(self, console: Console, total: float):
        what, left = TextColumn("{task.description}", markup=False), (TextColumn("left:"), TimeRemainingColumn())
        super().__init__(console, what, BarColumn(), TimeElapsedColumn(), *left)
        self._task, self._done, self._total = self._bar.add_task("compiling", total=total), 0.0, total

    def __call__(self, model: str, what: str, work: float) -> None:
        """Shows what is done."""
        self._done += work
        self._bar.update(self._task, advance=work, description=f"{model}: {what}")
        if not self._console.is_terminal:
            passed = time.monotonic() - self._start
            left = passed * (self._total / max(self._done, 1.0) - 1.0)
            self._console.print(f"{model}: {what}  {passed:.0f} s, some {left:,.0f} s left")


def _range(value: float | Sequence[float] | np.ndarray, form: str) -> str:
    """The number, or of a population the least and the greatest."""
    least, greatest = (form.format(bound(value)) for bound in (np.nanmin, np.nanmax))
    return least if least == greatest else f"{least} to {greatest}"


def print_results(console: Console, title: str, splits: Mapping[str, Mapping[str, float]], num_samples: int) -> None:
    """Prints a column for each split: errors, information, cross-entropy, calibration."""
    rows = [
        ("error, 1 sample", "error_one", "{:.2%}"),
        (f"error, {num_samples} samples", "error_avg", "{:.2%}"),
        ("error at the mean", "error_mean", "{:.2%}"),
        ("I(X;Z) <= rate, bits", "rate_bits", "{:.2f}"),
        ("I(X;Z|Y) <= residual, bits", "residual_bits", "{:.2f}"),
        ("I(Z;Y) >=, bits", "information_zy_bits", "{:.3f}"),
        ("cross-entropy, nats", "cross_entropy", "{:.4f}"),
        ("calibration error", "calibration_error", "{:.2%}"),
    ]
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for split in splits:
        table.add_column(split, justify="right")
    for label, name, form in rows:
        if any(name in split for split in splits.values()):
            table.add_row(label, *(form.format(split[name]) for split in splits.values()))
    console.print(table)
