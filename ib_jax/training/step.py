"""The train step: a pure function of state, batch and key."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from ib_jax.types import Array, BoundTerms, Params

LossFn = Callable[[Params, Array, Array, Array], BoundTerms]
"""(params, keys [B], inputs [B, ...], labels [B]) -> BoundTerms, per example."""

Metrics = dict[str, Array]
"""Means over the global batch, by the name of the bound's term."""


class Batch(NamedTuple):
    """A batch: inputs [B, ...] and labels int [B]."""

    inputs: Array
    labels: Array


class TrainState(NamedTuple):
    """All that a run needs to go on.

    Attributes:
      step: int32 [], steps taken.
      key: PRNG key of the run; the data order and all noise follow from it and from `step`.
      params: pytree of parameters.
      opt_state: state of the optimizer.
      average: state of the Polyak average (optax.ema), not debiased; see `averaged_params`.
    """

    step: Array
    key: Array
    params: Params
    opt_state: optax.OptState
    average: optax.EmaState


def init_state(key: Array, params: Params, optimizer: optax.GradientTransformation, average_decay: float) -> TrainState:
    """The state before the first step.

    Args:
      key: PRNG key of the run.
      params: pytree of arrays.
      optimizer: as given to `make_train_step`.
      average_decay: as given to `make_train_step`.

    Returns:
      TrainState at step 0.

    Example:
      >>> import jax, jax.numpy as jnp, optax
      >>> from ib_jax import training
      >>> state = training.init_state(jax.random.key(0), {"w": jnp.ones(2)}, optax.sgd(0.1), 0.999)
      >>> int(state.step)
      0
    """
    average = optax.ema(average_decay).init(params)
    return TrainState(jnp.zeros((), jnp.int32), key, params, optimizer.init(params), average)


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
    debiased = optax.tree.bias_correction(state.average.ema, average_decay, jnp.maximum(state.average.count, 1))
    return jax.tree.map(lambda new, old: jnp.where(state.average.count > 0, new, old), debiased, state.params)


def make_train_step(
    loss_fn: LossFn,
    optimizer: optax.GradientTransformation,
    *,
    average_decay: float = 0.999,
    axis_name: str | None = None,
) -> Callable[[TrainState, Batch, Array], tuple[TrainState, Metrics]]:
    """Makes the pure train step `(state, batch, key) -> (state, metrics)`.

    The gradient is that of the mean loss over the batch, or over the batches of all devices when `axis_name` names
    the axis they are mapped over. Example i of the global batch draws its noise from `fold_in(key, i)`, so one device
    and eight take the same step up to rounding.

    Args:
      loss_fn: (params, keys [B], inputs, labels) -> BoundTerms, per example.
      optimizer: any optax transformation.
      average_decay: decay of the Polyak average, in [0, 1); 0.999 in the paper's notebook.
      axis_name: name of the mapped device axis, or None on one device.

    Returns:
      The step. Its metrics are means over the global batch, float32 []: loss, distortion and, where the objective has
      one, rate, in nats.

    Raises:
      ValueError: `average_decay` is out of range.

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
    average = optax.ema(average_decay)

    def mean_loss(params: Params, keys: Array, batch: Batch) -> tuple[Array, Metrics]:
        terms = loss_fn(params, keys, batch.inputs, batch.labels)
        metrics = {name: value.mean() for name, value in terms._asdict().items() if value is not None}
        return metrics["loss"], metrics

    def step(state: TrainState, batch: Batch, key: Array) -> tuple[TrainState, Metrics]:
        batch_size = batch.labels.shape[0]
        shard = 0 if axis_name is None else jax.lax.axis_index(axis_name)
        rows = jnp.uint32(shard) * batch_size + jnp.arange(batch_size, dtype=jnp.uint32)
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, rows)
        # The mean over devices is taken of the gradients, after `grad`: a gradient of a mean over devices would be
        # multiplied by their number.
        grads, metrics = jax.grad(mean_loss, has_aux=True)(state.params, keys, batch)
        if axis_name is not None and jax.lax.axis_size(axis_name) > 1:  # over one device it would only copy
            grads, metrics = jax.lax.pmean((grads, metrics), axis_name)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        _, averaged = average.update(params, state.average)
        return TrainState(state.step + 1, state.key, params, opt_state, averaged), metrics

    return step
