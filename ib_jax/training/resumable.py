"""A training run that may have a folder, from which the same call goes on."""

import contextlib
import pathlib
import sys
import threading
import time
from os import PathLike
from typing import Any

from ib_jax.training import metrics_log
from ib_jax.training.checkpoint import Checkpoints
from ib_jax.training.distributed import is_main
from ib_jax.training.loop import StopRequest
from ib_jax.training.step import TrainState
from ib_jax.training.step_folders import saved_settings

_SILENCE = 10.0  # seconds without a line


class ResumableRun:
    """What is kept of a run: its history, and with a workdir checkpoints to go on from."""

    def __init__(self, workdir: str | PathLike[str] | None, settings: dict[str, Any], num_steps: int, *, show: bool):
        self.num_steps, self._settings, self._show = num_steps, settings, show
        self.folder = None if workdir is None else pathlib.Path(workdir)
        self.history: list[dict[str, Any]] = []
        self.checkpoints: Checkpoints | None = None
        self._open = contextlib.ExitStack()
        self._stop: StopRequest | None = None
        self._begun = self._shown = time.monotonic()
        self._first = 0

    def __enter__(self) -> "ResumableRun":
        if self.folder is not None:
            saved = saved_settings(self.folder / "checkpoints")
            if saved not in (None, self._settings):
                raise ValueError(f"workdir {self.folder} holds a run with {saved}, and this one has {self._settings}")
            self.checkpoints = self._open.enter_context(
                Checkpoints(self.folder / "checkpoints", settings=self._settings)
            )
            if threading.current_thread() is threading.main_thread():  # where alone signals can be caught
                self._stop = self._open.enter_context(StopRequest())
        return self

    def __exit__(self, *error: Any) -> None:
        self._open.__exit__(*error)

    @property
    def log(self) -> pathlib.Path:
        assert self.folder is not None
        return self.folder / "history.jsonl"

    def resume(self, state: TrainState) -> TrainState:
        if self.checkpoints is None:
            return state
        found = self.checkpoints.resume(state)
        self._first = 0 if found is None else int(found.step)
        if self._first > self.num_steps:
            raise ValueError(
                f"num_epochs must reach step {self._first}, where the run in {self.folder} stands, got "
                f"{self.num_steps} steps"
            )
        self.history = metrics_log.rewind(self.log, self._first)
        return state if found is None else found

    def asked_to_stop(self) -> bool:
        return self._stop is not None and self._stop.requested

    def add(self, row: dict[str, Any], examples_per_second: float) -> None:
        self.history.append(row)
        if self.folder is not None:
            metrics_log.append(self.log, row)
        now, share = time.monotonic(), (row["step"] - self._first) / (self.num_steps - self._first)
        if self._show and is_main() and now - self._shown > _SILENCE:
            left = (now - self._begun) * (1 - share) / share
            numbers = f"loss {row['loss']:.4f} nats  {examples_per_second:,.0f} examples/s  {left:,.0f} s left"
            print(f"epoch {row['epoch']}, step {row['step']}/{self.num_steps}  {numbers}", file=sys.stderr)
            self._shown = now
