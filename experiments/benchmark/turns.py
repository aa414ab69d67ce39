"""Rows that take turns, round after round, and the speeds that come of their times."""

import time
from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np
from rich.console import Console

from experiments.benchmark.device import own_arithmetic
from experiments.benchmark.program import Stretch
from experiments.benchmark.show import progress, summary
from experiments.core import worker as torch_worker
from ib_jax import training

Row = dict[str, Any]
Key = TypeVar("Key", bound=Hashable)
Turn = Callable[[], tuple[float, Mapping[str, Any]]]
"""Trains one stretch; returns its seconds and what goes into the row."""


class Work(NamedTuple):
    """What a row does in one stretch.

    Attributes:
      steps: train steps.
      images: over all devices and members.
      matmul_flops: of the matrix products.
      xla_flops: as XLA counts, element-wise work included; None where it does not say.
      devices: that take part.
    """

    steps: int
    images: int
    matmul_flops: float
    xla_flops: float | None
    devices: int


def take_turns(
    console: Console,
    rows: Mapping[Key, Row],
    start: Mapping[Key, Callable[[], Turn]],
    *,
    repeats: int,
    each_round: Callable[[], None],
) -> None:
    """Runs every row once, with its compiling, and then in turn in every round. All processes must call it.

    Args:
      console: where to show progress.
      rows: each with its label; gets `first_stretch_seconds`, the `seconds` of every round, `status` and what its
        turn says.
      start: makes a row's turn; a WorkerError or OSError becomes its status.
      repeats: rounds.
      each_round: called at the start of every round.
    """
    turns: dict[Key, Turn] = {}
    with progress(console) as bar:
        line = bar.add_task("", total=len(rows) * (repeats + 1), what="preparing")
        for key, row in rows.items():
            bar.update(line, what=f"compiling: {row['label']}")
            try:
                turn = start[key]()
                row["first_stretch_seconds"] = _together(turn)[0]
                row |= {"status": "measured", "seconds": []}
                turns[key] = turn
            except (torch_worker.WorkerError, OSError) as error:
                row["status"] = str(error)
            bar.advance(line)
        for index in range(repeats):
            each_round()
            for key, turn in turns.items():
                row = rows[key]
                bar.update(line, what=f"round {index + 1}/{repeats}: {row['label']}")
                seconds, found = _together(turn)
                row["seconds"].append(seconds)
                row |= found
                bar.advance(line)
            if not console.is_terminal:
                console.print(f"round {index + 1}/{repeats} done", highlight=False)


def timed(stretch: Stretch) -> Turn:
    """A turn of one stretch in JAX."""

    def turn() -> tuple[float, Mapping[str, Any]]:
        begin = time.perf_counter()
        loss = stretch.train()
        return time.perf_counter() - begin, {"last_loss": loss, **stretch.program.describe()}

    return turn


def _together(turn: Turn) -> tuple[float, Mapping[str, Any]]:
    """A turn that all processes begin at once; its seconds are those of the slowest."""
    _slowest(0.0)
    seconds, found = turn()
    return _slowest(seconds), found


def _slowest(seconds: float) -> float:
    if jax.process_count() == 1:
        return seconds
    return float(training.gather(training.replicate(np.float32(seconds))).max())


def add_speed(row: Row, work: Work, peak: Mapping[str, Any]) -> None:
    """Adds images a second, a step's milliseconds, FLOP/s, and the shares of the matrix peak of its devices.

    `mfu` is of the matrix products alone, `mfu_xla` of all that XLA counts.
    """
    row["images_per_second"] = summary([work.images / seconds for seconds in row["seconds"]])
    row["step_ms"] = summary([1000 * seconds / work.steps for seconds in row["seconds"]])
    stretches_per_second = row["images_per_second"]["median"] / work.images
    available = peak["flops_per_second"] * own_arithmetic(work.devices)
    row["mfu"] = work.matmul_flops * stretches_per_second / available
    row["flops_per_second"] = row["mfu_xla"] = None
    if work.xla_flops is not None:
        row["flops_per_second"] = work.xla_flops * stretches_per_second
        row["mfu_xla"] = row["flops_per_second"] / available
