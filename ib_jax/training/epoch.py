"""Whole stretches of training in one compiled loop over a data set that lies on the device."""

from collections.abc import Callable

import jax

from ib_jax.training.step import Batch, Metrics, TrainState
from ib_jax.types import Array

TrainStep = Callable[[TrainState, Batch, Array], tuple[TrainState, Metrics]]

_ORDER, _NOISE = 0, 1  # what a run's key is folded with, so that data order and noise are independent


def make_epoch(
    step: TrainStep,
    *,
    num_examples: int,
    batch_size: int,
    num_steps: int,
    num_shards: int = 1,
    axis_name: str | None = None,
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
      prepare: from resident inputs to the model's, inside the loop; for example `data.to_unit_interval`.

    Returns:
      (state, Batch with fields [N, ...]) -> (state, metrics), metrics float32 [num_steps], in nats.

    Raises:
      ValueError: the sizes do not fit each other.

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
    if batch_size < 1 or batch_size > num_examples:
        raise ValueError(f"batch_size must be between 1 and the {num_examples} training examples, got {batch_size}")
    if batch_size % num_shards:
        nearest = max(1, round(batch_size / num_shards)) * num_shards
        raise ValueError(f"batch_size must divide over {num_shards} devices, got {batch_size}; {nearest} does")
    steps_per_epoch = num_examples // batch_size
    if num_steps < 1 or steps_per_epoch % num_steps:
        raise ValueError(f"num_steps must divide the {steps_per_epoch} steps of an epoch, got {num_steps}")
    shard_size = batch_size // num_shards

    def run(state: TrainState, data: Batch) -> tuple[TrainState, Metrics]:
        shard = 0 if axis_name is None else jax.lax.axis_index(axis_name)
        order_key = jax.random.fold_in(state.key, _ORDER)
        noise_key = jax.random.fold_in(state.key, _NOISE)
        order = jax.random.permutation(jax.random.fold_in(order_key, state.step // steps_per_epoch), num_examples)

        def body(state: TrainState, _: None) -> tuple[TrainState, Metrics]:
            start = (state.step % steps_per_epoch) * batch_size + shard * shard_size
            rows = jax.lax.dynamic_slice_in_dim(order, start, shard_size)
            batch = jax.tree.map(lambda leaf: leaf[rows], data)
            batch = batch._replace(inputs=prepare(batch.inputs))
            return step(state, batch, jax.random.fold_in(noise_key, state.step))

        return jax.lax.scan(body, state, None, length=num_steps)

    return run
