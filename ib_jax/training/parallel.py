"""Sharding over the devices of all processes. The only file that knows `jax.pmap`."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from ib_jax.compiling import jit_quickly
from ib_jax.training.gradient import Batch, Metrics

AXIS = "devices"
"""Name of the mapped device axis."""

Tree = Any
State = TypeVar("State")
"""A TrainState or a Population."""


class Placement(NamedTuple):
    """How a training state lies on the devices.

    Attributes:
      put: from a state, the same on every process, to what the mapped function takes.
      get: from what it returns back to a state, or to the metrics, on every process.
    """

    put: Callable[[Tree], Tree]
    get: Callable[[Tree], Tree]


def replicate(tree: Tree, devices: Sequence[jax.Device] | None = None) -> Tree:
    """Puts one copy of a pytree on each local device.

    Args:
      tree: pytree of arrays.
      devices: local devices that take part; None is all of them.

    Returns:
      The same pytree with a leading axis of these devices.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import training
      >>> training.replicate(jnp.ones(3)).shape[0] == jax.local_device_count()
      True
    """
    chosen = None if devices is None else tuple(devices)
    return _copy(None, chosen)(tree, np.zeros(jax.local_device_count() if chosen is None else len(chosen)))


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


REPLICATED = Placement(replicate, unreplicate)
"""One model, the same on every device; what an ordinary run has."""


def spread_members(num_members: int) -> Placement:
    """Members of a population dealt out over the devices of all processes, the same number to each.

    If the members do not divide over the devices, the last devices hold copies of the last member, which `get` drops.

    Args:
      num_members: M >= 1.

    Returns:
      Placement: `put` from a pytree of arrays [M, ...] to arrays [local devices, members of a device, ...], and `get`
      back to NumPy arrays [M, ...], on every process all M. `get` is a collective: all processes must call it.

    Example:
      >>> import numpy as np
      >>> from ib_jax import training
      >>> placement = training.spread_members(3)
      >>> placement.get(placement.put(np.arange(3.0)))
      array([0., 1., 2.], dtype=float32)
    """
    per_device = -(-num_members // jax.device_count())
    rows = np.minimum(np.arange(per_device * jax.device_count()), num_members - 1).reshape(-1, per_device)

    def put(tree: Tree) -> Tree:
        return scatter(jax.tree.map(lambda leaf: np.asarray(leaf)[rows[own_devices()]], tree))

    def get(tree: Tree) -> Tree:
        return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:num_members], gather(tree))

    return Placement(put, get)


def scatter(tree: Tree) -> Tree:
    """Puts row i of each array [local devices, ...] on local device i."""
    return _copy(0, None)(tree)


@functools.cache
def _copy(in_axis: int | None, devices: tuple[jax.Device, ...] | None) -> Callable[..., Tree]:
    # With the same axis name as `shard_epoch`, whose first and second call would otherwise be compiled apart.
    in_axes = (in_axis, 0) if in_axis is None else in_axis
    return jax.pmap(lambda x, *_: x, axis_name=AXIS, in_axes=in_axes, devices=devices)


def own_devices() -> slice:
    """The places of this process's devices where the results of all processes are put together."""
    first = jax.process_index() * jax.local_device_count()
    return slice(first, first + jax.local_device_count())


def gather(tree: Tree) -> Tree:
    """Collects what a mapped function returned on the devices of all processes, as NumPy arrays on each.

    Args:
      tree: pytree of arrays [local devices, ...].

    Returns:
      The same pytree of NumPy arrays [devices of all processes, ...], process after process. All must call it.

    Example:
      >>> import jax, numpy as np
      >>> from ib_jax import training
      >>> training.gather(training.replicate(np.ones(3))).shape == (jax.device_count(), 3)
      True
    """

    def local(leaf: jax.Array) -> np.ndarray:
        shards = sorted(leaf.addressable_shards, key=lambda shard: shard.index[0].start or 0)
        return np.concatenate([np.asarray(shard.data) for shard in shards])

    own = jax.tree.map(local, tree)
    if jax.process_count() == 1:
        return own
    everyone = multihost_utils.process_allgather(own)
    return jax.tree.map(lambda leaf: np.asarray(leaf).reshape(-1, *leaf.shape[2:]), everyone)


def first_shard() -> int:
    """The index on the mapped axis of this process's first device.

    Returns:
      i, a multiple of the number of local devices.

    Raises:
      RuntimeError: the devices of this process do not stand in a row on the mapped axis.

    Example:
      >>> from ib_jax import training
      >>> training.first_shard()
      0
    """
    tell = jax.pmap(lambda _: jax.lax.axis_index(AXIS), axis_name=AXIS)
    indices = [int(shard.data[0]) for shard in tell(np.zeros(jax.local_device_count())).addressable_shards]
    if sorted(indices) != list(range(min(indices), min(indices) + len(indices))):
        raise RuntimeError(f"this process's devices must stand in a row on the mapped axis, got places {indices}")
    return min(indices)


def shard_epoch(
    epoch: Callable[[State, Batch], tuple[State, Metrics]],
    devices: Sequence[jax.Device] | None = None,
) -> Callable[[State, Batch], tuple[State, Metrics]]:
    """Runs an epoch function on all devices of all processes, with the state donated.

    Args:
      epoch: from `make_epoch`, built with `axis_name=AXIS` and `num_shards=jax.device_count()`; from `make_stretch`; or
        from `make_sweep`.
      devices: local devices that take part, without those of other processes; `epoch` has as many shards. None is all
        devices of all processes.

    Returns:
      (placed state, data) -> (placed state, metrics), all with a leading axis of the local devices that take part. The
      state passed in is consumed.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import training
      >>> first = jax.local_devices()[:1]
      >>> add = training.shard_epoch(lambda state, data: (state + data, {}), first)
      >>> total, _ = add(training.replicate(jnp.ones(2), first), training.replicate(jnp.ones(2), first))
      >>> total.tolist()
      [[2.0, 2.0]]
    """
    return jax.pmap(epoch, axis_name=AXIS, devices=devices, donate_argnums=0)


def on_devices(fn: Callable[..., Tree], in_axes: tuple[int | None, ...]) -> Callable[..., Tree]:
    """Runs a function on every local device, without collectives.

    Args:
      fn: of as many arguments as `in_axes` has entries.
      in_axes: 0 for an argument with a leading axis of local devices, None for one that all share.

    Returns:
      The mapped function; its results have a leading axis of local devices.
    """
    if jax.device_count() == 1:  # with nobody to share the work, programs of evaluations are to be there soon

        def alone(*args: Tree) -> Tree:
            own = [_first(arg) if axis == 0 else arg for arg, axis in zip(args, in_axes, strict=True)]
            return jax.tree.map(lambda leaf: leaf[None], fn(*own))

        return jit_quickly(alone)
    # An axis without a name is called by its address, so that no compilation cache would know the program again. All
    # arguments are one: where as many arrays as arguments come, pmap reads a flat `in_axes` as one for each array.
    mapped = jax.pmap(lambda args: fn(*args), axis_name=AXIS, in_axes=(in_axes,))
    return lambda *args: mapped(args)


def _first(tree: Tree) -> Tree:
    return jax.tree.map(lambda leaf: leaf[0], tree)
