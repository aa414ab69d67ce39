"""Threads that read ahead of the caller (grain), for every kind of batches."""

from collections.abc import Callable, Generator

from ib_jax.data.dataset import Split


def steps_ahead(num_threads: int, num_ahead: int | None, steps_per_call: int | None = None) -> int:
    """How many steps to read ahead: what was asked for, else `steps_per_call` or, if more, two for each thread.

    Raises:
      ValueError: a number is less than 1.

    Example:
      >>> steps_ahead(3, None), steps_ahead(1, None, 100), steps_ahead(3, 1)
      (6, 100, 1)
    """
    if num_threads < 1:
        raise ValueError(f"num_threads must be at least 1, got {num_threads}")
    if num_ahead is None:
        return max(2 * num_threads, steps_per_call or 1)
    if num_ahead < 1:
        raise ValueError(f"num_ahead must be at least 1, got {num_ahead}")
    return num_ahead


def read_ahead(
    read_step: Callable[[int], Split],
    first_step: int,
    num_steps: int,
    steps_per_call: int | None,
    num_threads: int,
    num_ahead: int,
) -> Generator[Split, None, None]:
    """Reads steps first_step..num_steps-1 in their order, ahead of the caller, in threads; see `stream`.

    Args:
      read_step: from a step's number to its examples; called by several threads at once.
      first_step: the first step to read.
      num_steps: one more than the last.
      steps_per_call: steps to be stacked, or None for one at a time.
      num_threads: reading threads.
      num_ahead: steps that are read ahead, from `steps_ahead`.

    Returns:
      An iterator, whose threads end when it is exhausted, closed or dropped, and when a read fails.
    """
    import grain  # takes most of a second, and only needed here

    # An element is a whole step: threads then share steps rather than examples, and pay for handing over once a batch.
    steps = grain.MapDataset.range(first_step, num_steps).map(read_step)
    # grain warns of threads that have nothing to do.
    options = grain.ReadOptions(num_threads=min(num_threads, num_ahead), prefetch_buffer_size=num_ahead)
    batches = steps.to_iter_dataset(options)
    if steps_per_call is not None:
        batches = batches.batch(steps_per_call)
    iterator = iter(batches)
    try:
        yield from iterator
    finally:
        iterator.close()
