"""The host loop: it calls the compiled epochs, saves, evaluates, reports, and stops when it must."""

import signal
import time
from collections.abc import Callable, Mapping
from types import FrameType, TracebackType
from typing import Any, NamedTuple

import numpy as np

from ib_jax.training.checkpoint import Checkpoints
from ib_jax.training.parallel import replicate, unreplicate
from ib_jax.training.step import Batch, Metrics, TrainState


class NonFiniteLossError(FloatingPointError):
    """The loss stopped being finite; the message names step, term and last good checkpoint."""


class Progress(NamedTuple):
    """What the loop reports after each stretch of steps.

    Attributes:
      step: steps taken since the start of the run.
      num_steps: steps of the whole run.
      metrics: means over the stretch, in nats.
      evaluation: what `evaluate` returned, or None between evaluations.
      examples_per_second: training speed of the stretch, evaluation and saving left out.
    """

    step: int
    num_steps: int
    metrics: Mapping[str, float]
    evaluation: Mapping[str, Any] | None
    examples_per_second: float


class StopRequest:
    """Turns SIGTERM (and a first Ctrl-C) into a flag that the loop asks between two stretches.

    Example:
      >>> import signal
      >>> from ib_jax import training
      >>> with training.StopRequest() as stop:
      ...     signal.raise_signal(signal.SIGTERM)
      ...     stop.requested
      True
    """

    def __init__(self) -> None:
        self.requested = False
        self._previous: dict[int, object] = {}

    def _request(self, signum: int, frame: FrameType | None) -> None:
        self.requested = True
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a second Ctrl-C stops at once

    def __enter__(self) -> "StopRequest":
        for signum in (signal.SIGTERM, signal.SIGINT):
            self._previous[signum] = signal.signal(signum, self._request)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)  # type: ignore[arg-type]


def fit(
    state: TrainState,
    run: Callable[[TrainState, Batch], tuple[TrainState, Metrics]],
    data: Batch,
    *,
    num_steps: int,
    batch_size: int,
    checkpoints: Checkpoints,
    evaluate: Callable[[TrainState], Mapping[str, Any]],
    steps_per_evaluation: int,
    score: Callable[[Progress], float] = lambda progress: progress.metrics["loss"],
    report: Callable[[Progress], None] = lambda progress: None,
    stop: Callable[[], bool] = lambda: False,
) -> TrainState:
    """Trains from where `state` stands until `num_steps`.

    Args:
      state: TrainState on one device; a restored one goes on where it stood.
      run: sharded epoch function, from `shard_epoch(make_epoch(...))`.
      data: the resident data, replicated over the devices.
      num_steps: steps of the whole run, counted from its start.
      batch_size: size of the global batch, for the speed reported.
      checkpoints: where to save: at every evaluation, when stopped, and at the end.
      evaluate: from a TrainState to numbers.
      steps_per_evaluation: steps between evaluations; a multiple of the steps of one call of `run`.
      score: which checkpoint is best: lower is better.
      report: called after every call of `run`.
      stop: asked between calls of `run`; True saves and returns.

    Returns:
      The last TrainState, on one device; its step is below `num_steps` if the loop was stopped.

    Raises:
      NonFiniteLossError: the loss is not finite. Nothing is saved then, so the last checkpoint is good.
    """
    replicated = replicate(state)
    step = int(state.step)
    while step < num_steps:
        start = time.perf_counter()
        replicated, traced = run(replicated, data)
        traces = {name: np.asarray(value) for name, value in unreplicate(traced).items()}
        seconds = time.perf_counter() - start
        steps_taken = len(traces["loss"])
        _check_finite(traces, step, checkpoints)
        step += steps_taken
        state = unreplicate(replicated)
        stopping = stop() and step < num_steps
        due = step % steps_per_evaluation == 0 or step >= num_steps
        means = {name: float(value.mean(dtype=np.float64)) for name, value in traces.items()}
        evaluation = evaluate(state) if due and not stopping else None
        progress = Progress(step, num_steps, means, evaluation, steps_taken * batch_size / seconds)
        # Reported first: what a kill leaves is then never a checkpoint of steps that nobody has heard of.
        report(progress)
        if due or stopping:
            checkpoints.save(state, score=score(progress))
        if stopping:
            break
    checkpoints.wait()
    return state


def _check_finite(traces: Mapping[str, np.ndarray], first_step: int, checkpoints: Checkpoints) -> None:
    bad = ~np.isfinite(traces["loss"])
    if not bad.any():
        return
    index = int(bad.argmax())
    terms = [name for name, trace in traces.items() if name != "loss" and not np.isfinite(trace[index])]
    checkpoints.wait()
    good = checkpoints.last_step()
    where = "there is no checkpoint yet" if good is None else f"the last good checkpoint is step {good}"
    raise NonFiniteLossError(
        f"the loss is {traces['loss'][index]} at step {first_step + index + 1}; not finite: "
        f"{', '.join(terms) or 'loss'}; {where} in {checkpoints.directory}. A smaller learning rate usually helps."
    )
