"""Schedules of the bottleneck's strength: rho as a function of the step, and of training accuracy."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import optax

from ib_jax import promotion
from ib_jax.types import Array

ScheduleState = Any
"""A pytree of arrays; it is part of TrainState and so of the checkpoint."""


class Schedule(NamedTuple):
    r"""A schedule of rho, as pure functions. The weight is :math:`e^{-\rho}` for CEB and :math:`\sigma(-\rho)` for VIB.

    Attributes:
      init: () -> state.
      value: (state, step) -> rho, float32 [].
      update: (state, step, metrics of that step) -> state.
    """

    init: Callable[[], ScheduleState]
    value: Callable[[ScheduleState, Array], Array]
    update: Callable[[ScheduleState, Array, Mapping[str, Array]], ScheduleState]


def _stateless(value: Callable[[Array], Array]) -> Schedule:
    return Schedule(lambda: (), lambda state, step: value(step), lambda state, step, metrics: state)


def _line(start: float | Array, end: float | Array, num_steps: int) -> Callable[[Array], Array]:
    line = optax.linear_schedule(start, end, num_steps)

    def value(step: Array) -> Array:
        with promotion.of_others():
            return jnp.asarray(line(step), jnp.float32)

    return value


def constant(value: float | Array) -> Schedule:
    """A strength that does not change. It is part of the state, so that runs of other strengths share one program.

    Args:
      value: rho, or whatever the loss takes as its fifth argument.

    Returns:
      Schedule.

    Example:
      >>> from ib_jax import training
      >>> schedule = training.constant(2.0)
      >>> float(schedule.value(schedule.init(), 7))
      2.0
    """
    return Schedule(lambda: jnp.asarray(value, jnp.float32), _kept_value, _kept_state)


def _kept_value(state: ScheduleState, step: Array) -> Array:
    return jnp.asarray(state)


def _kept_state(state: ScheduleState, step: Array, metrics: Mapping[str, Array]) -> ScheduleState:
    return state


def _check_steps(**steps: int) -> None:
    for name, value in steps.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")


def linear_rho(rho: float | Array, num_steps: int, *, initial_rho: float = 100.0) -> Schedule:
    r"""From the initial to the target rho on a straight line in rho.

    Args:
      rho: target.
      num_steps: steps until the target, >= 1.
      initial_rho: rho at step 0.

    Returns:
      Schedule.

    Raises:
      ValueError: `num_steps` is less than 1.

    Example:
      >>> from ib_jax import training
      >>> schedule = training.linear_rho(2.0, 10)
      >>> [float(schedule.value((), step)) for step in (0, 5, 10, 99)]
      [100.0, 51.0, 2.0, 2.0]
    """
    _check_steps(num_steps=num_steps)
    return _stateless(_line(initial_rho, rho, num_steps))


def linear_gamma(rho: float | Array, num_steps: int, *, initial_rho: float = 100.0) -> Schedule:
    r"""From the initial to the target rho on a straight line in :math:`\gamma = e^{-\rho}`.

    .. math:: \gamma_t = (1 - t/T)\, e^{-\rho_0} + (t/T)\, e^{-\rho}, \quad \rho_t = -\log \gamma_t

    Args:
      rho: target.
      num_steps: steps until the target, >= 1; 12,000 in the paper's ImageNet experiments.
      initial_rho: rho at step 0.

    Returns:
      Schedule.

    Raises:
      ValueError: `num_steps` is less than 1.

    Source: Fischer and Alemi, CEB Improves Model Robustness, 2020, listing 3.

    Example:
      >>> import math
      >>> from ib_jax import training
      >>> schedule = training.linear_gamma(0.0, 10)
      >>> [round(math.exp(-float(schedule.value((), step))), 3) for step in (0, 5, 10, 99)]
      [0.0, 0.5, 1.0, 1.0]
    """
    _check_steps(num_steps=num_steps)
    lerp = _line(jnp.exp(-jnp.float32(initial_rho)), jnp.exp(-jnp.float32(rho)), num_steps)
    most = jnp.maximum(jnp.float32(initial_rho), jnp.float32(rho))

    def value(step: Array) -> Array:
        gamma = lerp(step)
        # e^-100 underflows in float32, and the logarithm of the first gamma would not be finite.
        return jnp.where(gamma > 0, jnp.minimum(-jnp.log(jnp.where(gamma > 0, gamma, 1.0)), most), most)

    return _stateless(value)


class Gate(NamedTuple):
    """State of `gated_rho`.

    Attributes:
      opened: int32 [], the step at which the gate opened, or -1.
      accuracy: float32 [], running mean of the training accuracy.
    """

    opened: Array
    accuracy: Array


def gated_rho(
    rho: float | Array,
    *,
    steps_per_epoch: int,
    initial_rho: float = 100.0,
    gate_rho: float = 10.0,
    epochs_to_gate: float = 2.0,
    epochs_to_target: float = 1.0,
    threshold: float = 0.2,
) -> Schedule:
    r"""The jump-start of CEB on CIFAR-10: rho falls to a gate, and on to the target once the model has learned.

    From `initial_rho` to `gate_rho` on a straight line over two epochs; there it waits until training accuracy exceeds
    the threshold; then to the target on a straight line over one epoch. The accuracy is a running mean over about a
    tenth of an epoch, starting from 0, so that a lucky batch does not open the gate.

    Args:
      rho: target.
      steps_per_epoch: >= 1.
      initial_rho: rho at step 0.
      gate_rho: rho where it waits.
      epochs_to_gate: time to the gate, in epochs, > 0.
      epochs_to_target: time from the gate's opening to the target, in epochs, > 0.
      threshold: accuracy that opens the gate, in [0, 1); 0.2 in the paper.

    Returns:
      Schedule; its state is a `Gate`, and its update needs the metric "accuracy".

    Raises:
      ValueError: an argument is out of its range; in `update`, the metrics have no accuracy.

    Source: Fischer and Alemi, CEB Improves Model Robustness, 2020, appendix A.1.

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax import training
      >>> schedule = training.gated_rho(3.0, steps_per_epoch=10)
      >>> shut = schedule.init()
      >>> [float(schedule.value(shut, step)) for step in (0, 10, 20, 500)]
      [100.0, 55.0, 10.0, 10.0]
      >>> opened = schedule.update(shut, 500, {"accuracy": jnp.float32(0.9)})
      >>> [float(schedule.value(opened, step)) for step in (501, 506, 511)]
      [10.0, 6.5, 3.0]
    """
    _check_steps(steps_per_epoch=steps_per_epoch)
    if not (epochs_to_gate > 0 and epochs_to_target > 0):
        raise ValueError(
            f"epochs_to_gate and epochs_to_target must be positive, got {epochs_to_gate} and {epochs_to_target}"
        )
    if not 0.0 <= threshold < 1.0:
        raise ValueError(f"threshold must be in [0, 1), got {threshold}")
    steps_to_gate, steps_to_target = (
        max(1, round(epochs * steps_per_epoch)) for epochs in (epochs_to_gate, epochs_to_target)
    )
    down, on = _line(initial_rho, gate_rho, steps_to_gate), _line(gate_rho, rho, steps_to_target)
    keep = 1.0 - 1.0 / max(1.0, steps_per_epoch / 10)

    def init() -> Gate:
        return Gate(jnp.int32(-1), jnp.float32(0.0))

    def value(state: Gate, step: Array) -> Array:
        return jnp.where(state.opened < 0, down(step), on(step - state.opened))

    def update(state: Gate, step: Array, metrics: Mapping[str, Array]) -> Gate:
        if "accuracy" not in metrics:
            raise ValueError(f"a gated schedule needs the metric 'accuracy' of the bound, got {sorted(metrics)}")
        accuracy = keep * state.accuracy + (1.0 - keep) * metrics["accuracy"]
        opens = (state.opened < 0) & (step + 1 >= steps_to_gate) & (accuracy > threshold)
        return Gate(jnp.where(opens, step + 1, state.opened).astype(jnp.int32), jnp.float32(accuracy))

    return Schedule(init, value, update)
