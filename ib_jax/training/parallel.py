"""Sharding over devices. The only file that knows `jax.pmap`."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ib_jax.training.step import Batch, Metrics, TrainState
from ib_jax.types import Array

AXIS = "devices"
"""Name of the mapped device axis."""

Tree = Any


def replicate(tree: Tree) -> Tree:
    """Puts one copy of a pytree on each local device.

    Args:
      tree: pytree of arrays.

    Returns:
      The same pytree with a leading axis of local devices.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import training
      >>> training.replicate(jnp.ones(3)).shape[0] == jax.local_device_count()
      True
    """
    # With the same axis name as `shard_epoch`, whose first and second call would otherwise be compiled apart.
    copy = jax.pmap(lambda _, x: x, axis_name=AXIS, in_axes=(0, None))
    return copy(np.zeros(jax.local_device_count()), tree)


def unreplicate(tree: Tree) -> Tree:
    """The first device's copy of a replicated pytree, without moving the others.

    Args:
      tree: a pytree as returned by `replicate` or a sharded function.

    Returns:
      The pytree without its leading axis.

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax import training
      >>> training.unreplicate(training.replicate(jnp.ones(3)))
      Array([1., 1., 1.], dtype=float32)
    """
    # x[0] of a sharded array would first replicate it over all devices.
    return jax.tree.map(lambda x: x.addressable_shards[0].data[0], tree)


def shard_epoch(
    epoch: Callable[[TrainState, Batch], tuple[TrainState, Metrics]],
) -> Callable[[TrainState, Batch], tuple[TrainState, Metrics]]:
    """Runs an epoch function on all devices of all processes, with the state donated.

    Args:
      epoch: from `make_epoch`, built with `axis_name=AXIS` and `num_shards=jax.device_count()`.

    Returns:
      (replicated state, replicated data) -> (replicated state, replicated metrics). The state passed in is consumed.
    """
    return jax.pmap(epoch, axis_name=AXIS, donate_argnums=0)


def map_examples(fn: Callable[..., Tree], *, batch_size: int) -> Callable[[Tree, Array, Tree], Tree]:
    """Makes the function that applies a per-example function to a whole data set, on all local devices, exactly.

    The last batch is filled up with copies of the first example, whose results are dropped. Example i gets the key
    `fold_in(key, i)`, so results depend neither on the batch size nor on the number of devices.

    Args:
      fn: (params, keys [B], batch) -> pytree of arrays [B, ...]; pure. Compiled once for each shape of the data.
      batch_size: examples of one call of `fn`, over all devices; rounded up to a multiple of their number.

    Returns:
      (params, key, data) -> results: `params` is handed to `fn` as it is, `key` is one PRNG key, `data` a pytree of
      arrays [N, ...] of one length N >= 0, and the results are NumPy arrays [N, ...]. Raises a ValueError where the
      arrays of `data` differ in length.

    Raises:
      ValueError: `batch_size` is less than 1.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import training
      >>> scale = training.map_examples(lambda w, keys, x: w * x, batch_size=2)
      >>> scale(2.0, jax.random.key(0), jnp.arange(5.0))
      array([0., 2., 4., 6., 8.], dtype=float32)
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")

    def run(params: Tree, key: Array, batches: Tree, rows: Array) -> Tree:
        def body(_: None, xs: tuple[Tree, Array]) -> tuple[None, Tree]:
            batch, row = xs
            return None, fn(params, jax.vmap(jax.random.fold_in, (None, 0))(key, row), batch)

        return jax.lax.scan(body, None, (batches, rows))[1]

    sharded_run = jax.pmap(run, in_axes=(None, None, 0, 0))

    def mapped(params: Tree, key: Array, data: Tree) -> Tree:
        lengths = {len(leaf) for leaf in jax.tree.leaves(data)}
        if len(lengths) != 1:
            raise ValueError(f"data must hold arrays of one length, got lengths {sorted(lengths)}")
        (num_examples,) = lengths
        num_devices = jax.local_device_count()
        shard_size = -(-min(batch_size, max(num_examples, 1)) // num_devices)
        num_batches = max(1, -(-num_examples // (shard_size * num_devices)))
        total = num_batches * shard_size * num_devices

        def shard(leaf: Array) -> np.ndarray:
            rows = np.asarray(leaf)
            filler = rows[:1] if num_examples else np.zeros((1, *rows.shape[1:]), rows.dtype)
            padded = np.concatenate([rows, np.repeat(filler, total - num_examples, axis=0)])
            return padded.reshape(num_devices, num_batches, shard_size, *rows.shape[1:])

        rows = np.arange(total, dtype=np.uint32).reshape(num_devices, num_batches, shard_size)
        results = sharded_run(params, key, jax.tree.map(shard, data), rows)
        return jax.tree.map(lambda leaf: np.asarray(leaf).reshape(total, *leaf.shape[3:])[:num_examples], results)

    return mapped
