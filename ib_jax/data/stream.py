"""Batches of examples that do not fit into memory, read ahead by threads (grain), from any step of a run on."""

import functools
import threading
from collections.abc import Callable, Generator
from typing import Any

import numpy as np

from ib_jax.data.access import EpochSource, Source, read_rows
from ib_jax.data.ahead import read_ahead
from ib_jax.data.dataset import Split

Order = Callable[[int], Any]
"""From an epoch's number to the rows it visits, int [N] in their order (a NumPy or JAX array)."""


def stream(
    source: Source | EpochSource,
    *,
    order: Order,
    batch_size: int,
    num_steps: int,
    first_step: int = 0,
    steps_per_call: int | None = None,
    shard: tuple[int, int] = (0, 1),
    num_threads: int = 1,
    num_ahead: int | None = None,
) -> Generator[Split, None, None]:
    """Reads the batches of steps first_step..num_steps-1, in their order.

    An epoch has `N // batch_size` full batches, N being the number of examples: step s takes batch
    `k = s % steps_per_epoch` of epoch `e = s // steps_per_epoch`, the rows `order(e)[k * batch_size : (k + 1) *
    batch_size]`. A batch is thus a function of the step alone: a resumed run goes on at `first_step=state.step`, with
    any number of processes and threads, and nothing else to save. It begins there at once, without reading what came
    before.

    Reading begins with the first `next`. The threads end when the iterator is exhausted, closed with `.close()` or
    dropped, and when a read fails.

    Args:
      source: the N examples, from `open_train` for instance. One with `read_rows` is read a batch at a time; of an
        `EpochSource`, such as random crops, each step is read from its epoch's.
      order: the visiting order of each epoch, such as a `jax.random.permutation`. It must be pure, and is called in
        the reading threads, never twice at a time.
      batch_size: B, size of the global batch, over all processes.
      num_steps: steps of the whole run, counted from its start.
      first_step: the first step to read, 0 <= first_step <= num_steps.
      steps_per_call: T, to get the batches of T steps stacked; must divide the steps of an epoch and those to be read.
        None for one step at a time.
      shard: (index, count): of each batch, process `index` of `count` gets rows
        [index * B / count, (index + 1) * B / count).
      num_threads: reading threads, which share each batch. Decoding small images is work for the interpreter, and one
        thread does it fastest; large images and slow disks gain from as many as `usable_cores()`.
      num_ahead: steps that are read ahead, and so held in memory; by default T, or what keeps all threads busy if that
        is more.

    Returns:
      An iterator of Splits of NumPy arrays: inputs [B / count, H, W, C] and labels int32 [B / count], with
      `steps_per_call` [T, B / count, ...].

    Raises:
      ValueError: the sizes do not fit each other; from the iterator, if `order` returns anything but N rows of N.
      DatasetCorruptError: from the iterator, where an example is damaged.

    Example:
      >>> import jax
      >>> from ib_jax import data
      >>> def order(epoch):
      ...     return jax.random.permutation(jax.random.fold_in(jax.random.key(0), epoch), 1437)
      >>> batches = data.stream(data.open_train("digits"), order=order, batch_size=100, first_step=20, num_steps=28)
      >>> len(list(batches))
      8
      >>> source = data.open_train("digits")
      >>> stretch = next(data.stream(source, order=order, batch_size=100, num_steps=28, steps_per_call=7, shard=(1, 4)))
      >>> stretch.inputs.shape, stretch.labels.shape
      ((7, 25, 8, 8, 1), (7, 25))
    """
    num_examples = len(source)
    if batch_size < 1 or batch_size > num_examples:
        raise ValueError(f"batch_size must be between 1 and the {num_examples} training examples, got {batch_size}")
    index, count = shard
    if not 0 <= index < count:
        raise ValueError(f"shard must be (index, count) with 0 <= index < count, got {shard}")
    if batch_size % count:
        nearest = max(1, round(batch_size / count)) * count
        raise ValueError(f"batch_size must divide over {count} processes, got {batch_size}; {nearest} does")
    if not 0 <= first_step <= num_steps:
        raise ValueError(f"first_step must be between 0 and the {num_steps} steps of the run, got {first_step}")
    steps_per_epoch = num_examples // batch_size
    if steps_per_call is not None:
        if steps_per_call < 1 or steps_per_epoch % steps_per_call:
            raise ValueError(
                f"steps_per_call must divide the {steps_per_epoch} steps of an epoch, got {steps_per_call}"
            )
        if (num_steps - first_step) % steps_per_call:
            raise ValueError(
                f"steps_per_call must divide the {num_steps - first_step} steps from first_step {first_step} to "
                f"num_steps {num_steps}, got {steps_per_call}"
            )
    # Two epochs, and more where the steps read ahead span more.
    ahead = max(num_ahead or 2 * num_threads, steps_per_call or 1)
    order_of = _remember(order, num_examples, num_kept=2 + ahead // steps_per_epoch)
    shard_size = batch_size // count

    def read(step: int, places: slice) -> Split:
        epoch, batch = divmod(step, steps_per_epoch)
        examples = source.at_epoch(epoch) if isinstance(source, EpochSource) else source
        start = batch * batch_size + index * shard_size
        return read_rows(examples, order_of(epoch)[start : start + shard_size][places])

    return read_ahead(
        read,
        range(first_step, num_steps),
        shard_size,
        steps_per_call=steps_per_call,
        num_threads=num_threads,
        num_ahead=num_ahead,
    )


def _remember(order: Order, num_examples: int, *, num_kept: int) -> Callable[[int], np.ndarray]:
    """The orders of the last epochs, checked; each is made once, though many threads ask for it."""
    lock = threading.Lock()

    @functools.lru_cache(maxsize=num_kept)
    def make(epoch: int) -> np.ndarray:
        rows = np.asarray(order(epoch))
        if rows.shape != (num_examples,) or not np.issubdtype(rows.dtype, np.integer):
            raise ValueError(f"order({epoch}) is {rows.dtype} {rows.shape}; expected integers ({num_examples},)")
        if rows.min() < 0 or rows.max() >= num_examples:
            raise ValueError(
                f"order({epoch}) has rows in {rows.min()}..{rows.max()}; expected 0..{num_examples - 1}, "
                f"the training examples"
            )
        return rows

    def remembered(epoch: int) -> np.ndarray:
        with lock:
            return make(epoch)

    return remembered
