"""The train step: a pure function of state, batch and key."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from ib_jax import promotion
from ib_jax.training.average import debiased_average, move_average
from ib_jax.training.gradient import Batch, LossFn, Metrics, Perturb, make_gradient
from ib_jax.training.schedule import Schedule, ScheduleState
from ib_jax.types import Array, Params


class TrainState(NamedTuple):
    """All that a run needs to go on.

    Attributes:
      step: int32 [], steps taken.
      key: PRNG key of the run; the data order and all noise follow from it and from `step`.
      params: pytree of parameters.
      opt_state: state of the optimizer.
      average: state of the Polyak average (as of optax.ema), not debiased; see `averaged_params`. With a decay of 0 it
        holds no second copy of the parameters.
      schedule: state of the schedule of rho; empty without one.
    """

    step: Array
    key: Array
    params: Params
    opt_state: optax.OptState
    average: optax.EmaState
    schedule: ScheduleState = ()


def init_state(
    key: Array,
    params: Params,
    optimizer: optax.GradientTransformation,
    average_decay: float,
    schedule: Schedule | None = None,
) -> TrainState:
    """The state before the first step.

    Args:
      key: PRNG key of the run.
      params: pytree of arrays.
      optimizer: as given to `make_train_step`.
      average_decay: as given to `make_train_step`.
      schedule: as given to `make_train_step`.

    Returns:
      TrainState at step 0.

    Example:
      >>> import jax, jax.numpy as jnp, optax
      >>> from ib_jax import training
      >>> state = training.init_state(jax.random.key(0), {"w": jnp.ones(2)}, optax.sgd(0.1), 0.999)
      >>> int(state.step)
      0
    """
    average = optax.ema(average_decay).init(params if average_decay else ())
    schedule_state = () if schedule is None else schedule.init()
    with promotion.of_others():
        opt_state = optimizer.init(params)
    return TrainState(jnp.zeros((), jnp.int32), key, params, opt_state, average, schedule_state)


def averaged_params(state: TrainState, average_decay: float) -> Params:
    r"""The debiased Polyak average of the parameters, :math:`\sum_t (1-d) d^{T-t} \theta_t / (1 - d^T)`.

    Args:
      state: TrainState after at least one step (before, there is nothing to average and the parameters come back).
      average_decay: d in [0, 1), as given to `make_train_step`.

    Returns:
      A pytree like `state.params`.

    Example:
      >>> import jax, jax.numpy as jnp, optax
      >>> from ib_jax import training
      >>> state = training.init_state(jax.random.key(0), {"w": jnp.ones(2)}, optax.sgd(0.1), 0.999)
      >>> training.averaged_params(state, 0.999)
      {'w': Array([1., 1.], dtype=float32)}
    """
    if not average_decay:
        return state.params
    debiased = debiased_average(state.average, average_decay)
    return jax.tree.map(lambda new, old: jnp.where(state.average.count > 0, new, old), debiased, state.params)


def make_train_step(
    loss_fn: LossFn,
    optimizer: optax.GradientTransformation,
    *,
    perturb: Perturb | None = None,
    average_decay: float = 0.999,
    schedule: Schedule | None = None,
    axis_name: str | None = None,
    num_microbatches: int = 1,
    remat: bool = False,
) -> Callable[[TrainState, Batch, Array], tuple[TrainState, Metrics]]:
    """Makes the pure train step `(state, batch, key) -> (state, metrics)`.

    The gradient is that of the (weighted) mean loss over the batch, or over the batches of all devices when `axis_name`
    names the axis they are mapped over. Example i of the global batch draws its noise from `fold_in(key, i)`, so one
    device and eight, and one microbatch and eight, take the same step up to rounding.

    Args:
      loss_fn: (params, keys [B], inputs, labels) -> BoundTerms, per example; see `LossFn` for batch normalisation.
      optimizer: any optax transformation.
      perturb: what is done to the inputs before the gradient, such as an attack on the model as it stands; `attacked`.
      average_decay: decay of the Polyak average, in [0, 1); 0.999 in the paper's notebook.
      schedule: of rho, which `loss_fn` is then handed as a fifth argument; None for a loss that knows its own.
      axis_name: name of the mapped device axis, or None on one device.
      num_microbatches: parts in which a device takes its batch one after another, adding up their gradients, to save
        memory; must divide it.
      remat: whether the backward pass computes the activations again rather than keeping them, to save memory.

    Returns:
      The step. Its metrics are means over the global batch, float32 []: every term that the objective has, in nats
      (the accuracy is a share), and with a schedule rho.

    Raises:
      ValueError: `average_decay` or `num_microbatches` is out of range; when the step is traced, `num_microbatches`
        does not divide a device's batch.

    Example:
      >>> import jax, jax.numpy as jnp, optax
      >>> from ib_jax import BoundTerms, training
      >>> def loss_fn(params, keys, inputs, labels):
      ...     loss = (params["w"] * inputs - labels) ** 2
      ...     return BoundTerms(loss, loss)
      >>> optimizer = optax.sgd(0.5)
      >>> step = training.make_train_step(loss_fn, optimizer)
      >>> state = training.init_state(jax.random.key(0), {"w": jnp.zeros(())}, optimizer, 0.999)
      >>> state, metrics = step(state, training.Batch(jnp.ones(2), jnp.ones(2)), jax.random.key(1))
      >>> print(state.params["w"], metrics["loss"])
      1.0 1.0
    """
    if not 0.0 <= average_decay < 1.0:
        raise ValueError(f"average_decay must be in [0, 1), got {average_decay}")
    gradient = make_gradient(
        loss_fn, perturb=perturb, axis_name=axis_name, num_microbatches=num_microbatches, remat=remat
    )

    def step(state: TrainState, batch: Batch, key: Array) -> tuple[TrainState, Metrics]:
        rho = [] if schedule is None else [schedule.value(state.schedule, state.step)]
        grads, metrics, statistics = gradient(state.params, batch, key, *rho)
        with promotion.of_others():
            updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
            params = optax.apply_updates(state.params, updates)
        if statistics:
            params = {**params, **statistics}
        averaged = move_average(state.average, params if average_decay else (), average_decay)
        schedule_state = () if schedule is None else schedule.update(state.schedule, state.step, metrics)
        if schedule is not None:
            metrics |= {"rho": rho[0]}
        return TrainState(state.step + 1, state.key, params, opt_state, averaged, schedule_state), metrics

    return step
