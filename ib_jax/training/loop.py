"""The host loop: it calls the compiled epochs, saves, evaluates, reports, and stops when it must."""

import math
import signal
import time
from collections.abc import Callable, Mapping
from types import FrameType, TracebackType
from typing import Any, NamedTuple, TypeVar

import numpy as np

from ib_jax.training.checkpoint import Checkpoints
from ib_jax.training.distributed import any_process
from ib_jax.training.gradient import Metrics
from ib_jax.training.parallel import REPLICATED, Placement

State = TypeVar("State")
"""A TrainState or a Population."""


class NonFiniteLossError(FloatingPointError):
    """The loss (in a population, every member's) is not finite; the message names step, term and last checkpoint."""


class Progress(NamedTuple):
    """What the loop reports after each stretch of steps.

    Attributes:
      step: steps taken since the start of the run.
      num_steps: steps of the whole run.
      metrics: means over the stretch, in nats: numbers, or for a population arrays [M].
      evaluation: what `evaluate` returned, or None between evaluations.
      examples_per_second: training speed of the stretch, of all members together, evaluation and saving left out.
    """

    step: int
    num_steps: int
    metrics: Mapping[str, Any]
    evaluation: Mapping[str, Any] | None
    examples_per_second: float


class StopRequest:
    """Turns SIGTERM (and a first Ctrl-C) into a flag that the loop reads between two stretches.

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
    state: State,
    run: Callable[[State], tuple[State, Metrics | list[Metrics]]],
    *,
    num_steps: int,
    batch_size: int,
    checkpoints: Checkpoints | None = None,
    evaluate: Callable[[State], Mapping[str, Any]] = lambda placed: {},
    steps_per_evaluation: int,
    placement: Placement = REPLICATED,
    score: Callable[[Progress], float] = lambda progress: float(np.nanmin(progress.metrics["loss"])),
    report: Callable[[Progress], None] = lambda progress: None,
    stop: Callable[[], bool] = lambda: False,
) -> State:
    """Trains from where `state` stands until `num_steps`; with several processes, all call it.

    Args:
      state: TrainState or Population, not placed; a restored one goes on where it stood.
      run: trains one stretch: (placed state) -> (placed state, metrics). For data on the devices, `lambda state:
        epoch(state, data)` with `epoch` from `shard_epoch` and `data` from `replicate`; or from `drive`.
      num_steps: steps of the whole run, counted from its start.
      batch_size: size of the global batch, for the speed reported.
      checkpoints: where to save, at every evaluation, when stopped, and at the end; None saves nothing.
      evaluate: from a placed state to numbers; nothing is evaluated by default.
      steps_per_evaluation: steps between evaluations; a multiple of the steps of one call of `run`.
      placement: how the state lies on the devices; `spread_members(M)` for a population.
      score: which checkpoint is best: lower is better. Called at each evaluation.
      report: called after every call of `run`.
      stop: called between calls of `run`; if it returns True on any process, the loop saves and returns.

    Returns:
      The last state, not placed; its step is below `num_steps` if the loop was stopped.

    Raises:
      NonFiniteLossError: the loss is not finite. Nothing is saved then, so the last checkpoint is good.
    Example:
      >>> import jax, jax.numpy as jnp, optax
      >>> from ib_jax import BoundTerms, training
      >>> def loss_fn(weight, keys, inputs, labels):
      ...     loss = (weight * inputs - labels) ** 2
      ...     return BoundTerms(loss, loss)
      >>> n, optimizer = jax.device_count(), optax.sgd(0.1)
      >>> step = training.make_train_step(loss_fn, optimizer, axis_name="devices")
      >>> epoch = training.shard_epoch(training.make_epoch(
      ...     step, num_examples=2 * n, batch_size=n, num_steps=2, num_shards=n, axis_name="devices"))
      >>> data = training.replicate(training.Batch(jnp.ones(2 * n), jnp.ones(2 * n)))
      >>> state = training.init_state(jax.random.key(0), jnp.zeros(()), optimizer, 0.999)
      >>> run = lambda placed: epoch(placed, data)
      >>> state = training.fit(state, run, num_steps=6, batch_size=n, steps_per_evaluation=2)
      >>> int(state.step)
      6
    """
    placed = placement.put(state)
    step = int(state.step)  # type: ignore[attr-defined]
    while step < num_steps:
        start = time.perf_counter()
        placed, traced = run(placed)
        parts = [placement.get(part) for part in (traced if isinstance(traced, list) else [traced])]
        traces = {name: np.concatenate([part[name] for part in parts], axis=-1) for name in parts[0]}
        seconds = time.perf_counter() - start
        num_models, steps_taken = traces["loss"].size // traces["loss"].shape[-1], traces["loss"].shape[-1]
        _check_finite(traces, step, checkpoints)
        step += steps_taken
        stopping = any_process(stop()) and step < num_steps
        due = step % steps_per_evaluation == 0 or step >= num_steps
        means = {name: value.mean(-1, dtype=np.float64) for name, value in traces.items()}
        evaluation = evaluate(placed) if due else None
        speed = num_models * steps_taken * batch_size / seconds
        progress = Progress(step, num_steps, means, evaluation, speed)
        # Reported first: what a kill leaves is then never a checkpoint of steps that nobody has heard of.
        report(progress)
        if checkpoints is not None and (due or stopping):
            # Where an uninterrupted run would not have saved, nothing is the best: there is no evaluation to score.
            checkpoints.save(placement.get(placed), score=score(progress) if due else math.inf)
        if stopping:
            break
    if checkpoints is not None:
        checkpoints.wait()
    return placement.get(placed)


def _check_finite(traces: Mapping[str, np.ndarray], first_step: int, checkpoints: Checkpoints | None) -> None:
    bad = ~np.isfinite(traces["loss"])
    if not (bad.all() if bad.ndim == 2 else bad.any()):
        return
    where = "nothing is kept"
    if checkpoints is not None:
        checkpoints.wait()
        good = checkpoints.last_step()
        where = "there is no checkpoint yet" if good is None else f"the last good checkpoint is step {good}"
        where += f" in {checkpoints.directory}"
    if bad.ndim == 2:
        what = f"the loss of all {len(bad)} members has ceased to be finite by step {first_step + bad.shape[1]}"
    else:
        index = int(bad.argmax())
        terms = [name for name, trace in traces.items() if name != "loss" and not np.isfinite(trace[index])]
        what = f"the loss is {traces['loss'][index]} at step {first_step + index + 1}; not finite: "
        what += ", ".join(terms) or "loss"
    raise NonFiniteLossError(f"{what}; {where}. A smaller learning rate usually helps.")
