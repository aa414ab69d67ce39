"""Applies per-example functions to whole data sets, exactly, on all devices of all processes."""

from collections.abc import Callable

import jax
import numpy as np

from ib_jax import loops
from ib_jax.keys import example_keys
from ib_jax.training.parallel import Tree, gather, on_devices, own_devices
from ib_jax.training.step import TrainState
from ib_jax.training.sweep import Hyperparams, Population, over_members
from ib_jax.types import Array


def map_examples(fn: Callable[..., Tree], *, batch_size: int) -> Callable[[Tree, Array, Tree], Tree]:
    """Makes the function that applies a per-example function to a whole data set, on all devices, exactly.

    The last batch is filled up with copies of the first example, whose results are dropped. Example i gets the key
    `fold_in(key, i)`, so results depend neither on the batch size nor on the number of devices or processes; these
    share the examples, and all must call it.

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
    _check_batch_size(batch_size)

    def run(params: Tree, key: Array, batches: Tree, rows: Array) -> Tree:
        return _scan(lambda *batch: fn(params, *batch), key, batches, rows)

    sharded_run, form = on_devices(run, (None, None, 0, 0)), _Form(run)

    def mapped(params: Tree, key: Array, data: Tree) -> Tree:
        num_examples = _length(data)
        batches, rows = _batches(data, num_examples, batch_size, jax.device_count())
        own = jax.tree.map(lambda leaf: leaf[own_devices()], (batches, rows))
        first = jax.tree.map(lambda leaf: leaf[0, :1], own)
        parts = [own] if form.whole(params, key, *first) else _one_by_one(own, axis=1)
        results = _join([gather(sharded_run(params, key, *part)) for part in parts], axis=1)
        return jax.tree.map(lambda leaf: leaf.reshape(rows.size, *leaf.shape[3:])[:num_examples], results)

    return mapped


def own_rows(num_examples: int) -> slice:
    """The rows of a batch that the devices of this process compute in `map_examples`; the others need not be read.

    Args:
      num_examples: N, at most the batch size of `map_examples`.

    Returns:
      A slice of rows.

    Example:
      >>> from ib_jax import training
      >>> training.own_rows(10)
      slice(0, 10, None)
    """
    devices, shard_size = own_devices(), -(-num_examples // jax.device_count())
    return slice(*(min(place * shard_size, num_examples) for place in (devices.start, devices.stop)))


def map_members(
    fn: Callable[..., Tree],
    *,
    batch_size: int,
    key_fn: Callable[[Hyperparams], Array],
    num_members: int,
    members_at_once: int | None = None,
) -> Callable[[Population, Tree], Tree]:
    """Makes the function that applies a per-example function of each member of a population to a whole data set.

    Each device takes the members that it holds, and all examples. A member's results are those of `map_examples` with
    its own key.

    Args:
      fn: (hyperparams, TrainState, keys [B], batch) -> pytree of arrays [B, ...], of one member; pure.
      batch_size: examples of one call of `fn`.
      key_fn: from a member's hyperparams to its PRNG key.
      num_members: M.
      members_at_once: as of `make_sweep`.

    Returns:
      (placed population, data) -> NumPy arrays [M, N, ...], on every process; all must call it.

    Raises:
      ValueError: `batch_size` is less than 1.

    Example:
      >>> import jax, jax.numpy as jnp, optax
      >>> from ib_jax import training
      >>> start = lambda hyper: training.init_state(jax.random.key(0), hyper["beta"], optax.sgd(0.1), 0.9)
      >>> population = training.init_population(start, {"beta": [1.0, 10.0]})
      >>> scale = training.map_members(lambda hyper, state, keys, x: state.params * x, batch_size=2, num_members=2,
      ...                              key_fn=lambda hyper: jax.random.key(0))
      >>> scale(training.spread_members(2).put(population), jnp.arange(3.0))
      array([[ 0.,  1.,  2.],
             [ 0., 10., 20.]], dtype=float32)
    """
    _check_batch_size(batch_size)

    def run(population: Population, batches: Tree, rows: Array) -> Tree:
        def member(hyperparams: Hyperparams, state: TrainState) -> Tree:
            return _scan(lambda *batch: fn(hyperparams, state, *batch), key_fn(hyperparams), batches, rows)

        return over_members(member, members_at_once)(population.hyperparams, population.members)

    sharded_run, form = on_devices(run, (0, None, None)), _Form(run)

    def mapped(placed: Population, data: Tree) -> Tree:
        num_examples = _length(data)
        shared = jax.tree.map(lambda leaf: leaf[0], _batches(data, num_examples, batch_size, 1))
        rows = shared[1]
        device = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), placed)
        parts = [shared] if form.whole(device, *_one_by_one(shared, axis=0)[0]) else _one_by_one(shared, axis=0)
        results = _join([gather(sharded_run(placed, *part)) for part in parts], axis=2)
        flat = jax.tree.map(lambda leaf: leaf.reshape(-1, rows.size, *leaf.shape[4:]), results)
        return jax.tree.map(lambda leaf: leaf[:num_members, :num_examples], flat)

    return mapped


def _check_batch_size(batch_size: int) -> None:
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")


def _length(data: Tree) -> int:
    lengths = {len(leaf) for leaf in jax.tree.leaves(data)}
    if len(lengths) != 1:
        raise ValueError(f"data must hold arrays of one length, got lengths {sorted(lengths)}")
    (num_examples,) = lengths
    return num_examples


def _batches(data: Tree, num_examples: int, batch_size: int, num_shards: int) -> tuple[Tree, np.ndarray]:
    """The data as arrays [shards, batches, B, ...] filled up with the first example, and the examples' numbers."""
    shard_size = -(-min(batch_size, max(num_examples, 1)) // num_shards)
    num_batches = max(1, -(-num_examples // (shard_size * num_shards)))
    total = num_batches * shard_size * num_shards

    def shard(leaf: Array) -> np.ndarray:
        rows = np.asarray(leaf)
        filler = rows[:1] if num_examples else np.zeros((1, *rows.shape[1:]), rows.dtype)
        padded = np.concatenate([rows, np.repeat(filler, total - num_examples, axis=0)])
        return padded.reshape(num_shards, num_batches, shard_size, *rows.shape[1:])

    rows = np.arange(total, dtype=np.uint32).reshape(num_shards, num_batches, shard_size)
    return jax.tree.map(shard, data), rows


def _scan(fn: Callable[[Array, Tree], Tree], key: Array, batches: Tree, rows: Array) -> Tree:
    """fn(keys, batch) for batch after batch, the key of example i being fold_in(key, i)."""

    def body(_: None, xs: tuple[Tree, Array]) -> tuple[None, Tree]:
        batch, row = xs
        return None, fn(example_keys(key, row), batch)

    return loops.scan(body, None, (batches, rows), len(rows))[1]


class _Form:
    """Whether all batches go through one compiled loop, asked of a program of one batch, once."""

    def __init__(self, run: Callable[..., Tree]):
        self._run = run
        self._whole: bool | None = None

    def whole(self, *args: Tree) -> bool:
        if self._whole is None:
            self._whole = loops.compiles_whole(self._run, *args)
        return self._whole


def _one_by_one(tree: Tree, *, axis: int) -> list[Tree]:
    """The batches, each with its axis kept."""
    num_batches = jax.tree.leaves(tree)[0].shape[axis]
    whole = (slice(None),) * axis
    return [
        jax.tree.map(lambda leaf, index=index: leaf[(*whole, slice(index, index + 1))], tree)
        for index in range(num_batches)
    ]


def _join(parts: list[Tree], *, axis: int) -> Tree:
    return parts[0] if len(parts) == 1 else jax.tree.map(lambda *leaves: np.concatenate(leaves, axis), *parts)
