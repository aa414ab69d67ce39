"""Threads that read batches ahead of the caller (grain)."""

import os
from collections.abc import Callable, Generator, Sequence

import numpy as np

from ib_jax.data.dataset import Split

_PIECE = 32  # examples that a thread reads at a time, so that all threads work on one batch and few wait in memory


def usable_cores() -> int:
    """The cores that this process may use.

    Example:
      >>> usable_cores() >= 1
      True
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def read_ahead(
    read: Callable[[int, slice], Split],
    steps: range,
    batch_size: int,
    *,
    steps_per_call: int | None = None,
    num_threads: int = 1,
    num_ahead: int | None = None,
) -> Generator[Split, None, None]:
    """Reads steps in order and ahead of the caller; all threads share each step. See `stream`.

    Args:
      read: (step, places in its batch) -> these examples, fewer if the batch ends earlier; called by several threads
        at once.
      steps: their numbers.
      batch_size: examples of a step.
      steps_per_call: steps to be stacked, or None for one at a time.
      num_threads: reading threads.
      num_ahead: steps that are read ahead; by default `steps_per_call` or, if more, what keeps two pieces of work
        ready for each thread.

    Returns:
      An iterator, whose threads end when it is exhausted, closed or dropped, and when a read fails.

    Raises:
      ValueError: a number is less than 1.
    """
    for name, value in (("num_threads", num_threads), ("num_ahead", num_ahead)):
        if value is not None and value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    # One thread reads a batch at once: it pays for handing over once a batch.
    size = batch_size if num_threads == 1 else min(batch_size, _PIECE)
    pieces = -(-batch_size // size)
    num_ahead = num_ahead or max(steps_per_call or 1, -(-2 * num_threads // pieces))

    def read_piece(place: int) -> Split:
        step, piece = divmod(place, pieces)
        return read(steps[step], slice(piece * size, (piece + 1) * size))

    def join(parts: Sequence[Split]) -> Split:
        filled = [part for part in parts if len(part.labels)] or parts[:1]
        whole = filled[0] if len(filled) == 1 else Split(*map(np.concatenate, zip(*filled, strict=True)))
        if steps_per_call is None:
            return whole
        return Split(*(field.reshape(steps_per_call, -1, *field.shape[1:]) for field in whole))

    return _read(read_piece, len(steps) * pieces, pieces * (steps_per_call or 1), join, num_threads, num_ahead * pieces)


def _read(
    read_piece: Callable[[int], Split],
    num_pieces: int,
    at_once: int,
    join: Callable[[Sequence[Split]], Split],
    num_threads: int,
    num_ahead: int,
) -> Generator[Split, None, None]:
    import grain  # takes most of a second, and only needed here

    # grain warns of threads that have nothing to do.
    options = grain.ReadOptions(num_threads=min(num_threads, num_ahead), prefetch_buffer_size=num_ahead)
    pieces = grain.MapDataset.range(num_pieces).map(read_piece).to_iter_dataset(options)
    iterator = iter(pieces.batch(at_once, batch_fn=join))
    try:
        yield from iterator
    finally:
        iterator.close()
