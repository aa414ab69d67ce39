"""Whole stretches of training in one compiled loop, over data that lies on the device or is handed over."""

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp

from ib_jax import loops
from ib_jax.keys import counter_key, example_keys
from ib_jax.training.gradient import Batch, Metrics, rows_of
from ib_jax.training.step import TrainState
from ib_jax.types import Array

TrainStep = Callable[[TrainState, Batch, Array], tuple[TrainState, Metrics]]
State = TypeVar("State")

_ORDER, _NOISE, _AUGMENT = 0, 1, 2  # what a run's key is folded with, so that data order and noise are independent

Augment = Callable[[Array, Array], Array]
"""(keys [B], inputs [B, ...]) -> inputs [B, ...], as they were resident or handed over."""


def epoch_order(key: Array, epoch: int | Array, num_examples: int) -> Array:
    """The order in which an epoch visits the examples: a function of the run's key and the epoch's number alone.

    Args:
      key: PRNG key of the run, `TrainState.key`.
      epoch: from 0.
      num_examples: N.

    Returns:
      int32 [N], a permutation.

    Example:
      >>> import jax
      >>> from ib_jax import training
      >>> sorted(training.epoch_order(jax.random.key(0), 3, 4).tolist())
      [0, 1, 2, 3]
    """
    own = jax.random.fold_in(counter_key(key), _ORDER)
    return jax.random.permutation(jax.random.fold_in(own, epoch), jnp.arange(num_examples, dtype=jnp.int32))


def check_batches(num_examples: int, batch_size: int, num_steps: int, num_shards: int) -> int:
    """The number of steps of an epoch, `num_examples // batch_size`.

    Raises:
      ValueError: the sizes do not fit each other; the message says what would.
    """
    if batch_size < 1 or batch_size > num_examples:
        raise ValueError(f"batch_size must be between 1 and the {num_examples} training examples, got {batch_size}")
    if batch_size % num_shards:
        nearest = max(1, round(batch_size / num_shards)) * num_shards
        raise ValueError(f"batch_size must divide over {num_shards} devices, got {batch_size}; {nearest} does")
    steps_per_epoch = num_examples // batch_size
    if num_steps < 1 or steps_per_epoch % num_steps:
        raise ValueError(f"num_steps must divide the {steps_per_epoch} steps of an epoch, got {num_steps}")
    return steps_per_epoch


def make_epoch(
    step: TrainStep,
    *,
    num_examples: int,
    batch_size: int,
    num_steps: int,
    num_shards: int = 1,
    axis_name: str | None = None,
    augment: Augment = lambda keys, inputs: inputs,
    prepare: Callable[[Array], Array] = lambda inputs: inputs,
) -> Callable[[TrainState, Batch], tuple[TrainState, Metrics]]:
    """Makes the function that trains for `num_steps` steps without leaving the device.

    Each epoch visits the examples in a new random order, a function of the run's key and the epoch's number alone,
    in `num_examples // batch_size` full batches (the examples left over differ from epoch to epoch). The stretch
    starts wherever `state.step` stands, so a resumed run sees the batches it would have seen. Every call runs the
    same compiled program, which is what makes a resumed run bit-identical.

    Args:
      step: from `make_train_step`, with the same `axis_name`.
      num_examples: N, rows of the resident data.
      batch_size: size of the global batch, over all shards.
      num_steps: steps of one call; must divide the steps of an epoch, so that no call crosses an epoch's end.
      num_shards: devices that share each batch.
      axis_name: name of the mapped device axis, or None on one device.
      augment: changes resident inputs at random, inside the loop, with a key for each example that follows from the
        step and its place in the global batch: the number of devices changes nothing.
      prepare: from what `augment` returns to the model's inputs; for example `data.to_unit_interval`.

    Returns:
      (state, Batch with fields [N, ...]) -> (state, metrics), metrics float32 [num_steps], in nats.

    Raises:
      ValueError: the sizes do not fit each other; when traced, the data's do not.

    Example:
      >>> import jax, jax.numpy as jnp, optax
      >>> from ib_jax import BoundTerms, training
      >>> def loss_fn(params, keys, inputs, labels):
      ...     loss = (params["w"] * inputs - labels) ** 2
      ...     return BoundTerms(loss, loss)
      >>> optimizer = optax.sgd(0.1)
      >>> step = training.make_train_step(loss_fn, optimizer)
      >>> epoch = jax.jit(training.make_epoch(step, num_examples=6, batch_size=2, num_steps=3))
      >>> state = training.init_state(jax.random.key(0), {"w": jnp.zeros(())}, optimizer, 0.999)
      >>> state, metrics = epoch(state, training.Batch(jnp.ones(6), jnp.ones(6)))
      >>> int(state.step), metrics["loss"].shape
      (3, (3,))
    """
    steps_per_epoch = check_batches(num_examples, batch_size, num_steps, num_shards)
    shard_size = batch_size // num_shards

    def run(state: TrainState, data: Batch) -> tuple[TrainState, Metrics]:
        if rows_of(data) < num_examples:  # a row that is not there would be the last one
            raise ValueError(f"data must have {num_examples} rows, one for each example, got {rows_of(data)}")
        shard = 0 if axis_name is None else jax.lax.axis_index(axis_name)
        noise_key = jax.random.fold_in(counter_key(state.key), _NOISE)
        order = epoch_order(state.key, state.step // steps_per_epoch, num_examples)

        def body(state: TrainState, _: None) -> tuple[TrainState, Metrics]:
            start = (state.step % steps_per_epoch) * batch_size + shard * shard_size
            rows = jax.lax.dynamic_slice_in_dim(order, start, shard_size)
            batch = jax.tree.map(lambda leaf: jnp.asarray(leaf)[rows], data)
            batch = batch._replace(inputs=prepare(augment(_augment_keys(state, shard, shard_size), batch.inputs)))
            return step(state, batch, jax.random.fold_in(noise_key, state.step))

        return loops.scan(body, state, None, num_steps)

    return run


def make_stretch(
    step: TrainStep,
    *,
    axis_name: str | None = None,
    augment: Augment = lambda keys, inputs: inputs,
    prepare: Callable[[Array], Array] = lambda inputs: inputs,
) -> Callable[[TrainState, Batch], tuple[TrainState, Metrics]]:
    """Makes the function that trains on the batches it is given, one after another in one compiled loop.

    Given the batches of `make_epoch`, in the order of `epoch_order`, it takes the same steps.

    Args:
      step: from `make_train_step`, with the same `axis_name`.
      axis_name: name of the mapped device axis, or None on one device.
      augment: as of `make_epoch`.
      prepare: from what `augment` returns to the model's inputs.

    Returns:
      (state, Batch with fields [T, B, ...], B a device's share) -> (state, metrics), metrics float32 [T], in nats.

    Example:
      >>> import jax, jax.numpy as jnp, optax
      >>> from ib_jax import BoundTerms, training
      >>> def loss_fn(params, keys, inputs, labels):
      ...     loss = (params["w"] * inputs - labels) ** 2
      ...     return BoundTerms(loss, loss)
      >>> optimizer = optax.sgd(0.1)
      >>> stretch = training.make_stretch(training.make_train_step(loss_fn, optimizer))
      >>> state = training.init_state(jax.random.key(0), {"w": jnp.zeros(())}, optimizer, 0.999)
      >>> state, metrics = stretch(state, training.Batch(jnp.ones((3, 2)), jnp.ones((3, 2))))
      >>> int(state.step), metrics["loss"].shape
      (3, (3,))
    """

    def run(state: TrainState, batches: Batch) -> tuple[TrainState, Metrics]:
        num_steps, shard_size = batches.labels.shape[:2]
        shard = 0 if axis_name is None else jax.lax.axis_index(axis_name)
        noise_key = jax.random.fold_in(counter_key(state.key), _NOISE)

        def body(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
            batch = batch._replace(inputs=prepare(augment(_augment_keys(state, shard, shard_size), batch.inputs)))
            return step(state, batch, jax.random.fold_in(noise_key, state.step))

        return loops.scan(body, state, batches, num_steps)

    return run


def _augment_keys(state: TrainState, shard: int | Array, shard_size: int) -> Array:
    key = jax.random.fold_in(jax.random.fold_in(counter_key(state.key), _AUGMENT), state.step)
    rows = jnp.uint32(shard) * shard_size + jnp.arange(shard_size, dtype=jnp.uint32)
    return example_keys(key, rows)


def drive(
    run: Callable[[State], tuple[State, Metrics]], num_calls: int
) -> Callable[[State], tuple[State, list[Metrics]]]:
    """Calls a stretch's function several times from the host, as one longer stretch: a loop that is not compiled.

    For networks that are slow in a compiled loop, as `loops.compiles_whole` tells. The steps are those of the longer
    stretch, up to rounding.

    Args:
      run: (placed state) -> (placed state, metrics), one short stretch.
      num_calls: how many of them make a stretch.

    Returns:
      (placed state) -> (placed state, the metrics of each call in a list), for `fit`.

    Example:
      >>> from ib_jax import training
      >>> training.drive(lambda state: (state + 1, {"loss": state}), 3)(0)
      (3, [{'loss': 0}, {'loss': 1}, {'loss': 2}])
    """

    def driven(state: State) -> tuple[State, list[Metrics]]:
        traces = []
        for _ in range(num_calls):
            state, metrics = run(state)
            # Several devices of one CPU meet in collectives, and hang if steps pile up.
            traces.append(jax.block_until_ready(metrics))
        return state, traces

    return driven
