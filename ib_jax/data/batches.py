"""A split in batches for evaluation: each example once, in order."""

from collections.abc import Generator

import numpy as np

from ib_jax.data.access import Source, read_rows
from ib_jax.data.ahead import read_ahead
from ib_jax.data.dataset import Split


def batches(
    source: Source, batch_size: int, *, num_threads: int = 1, num_ahead: int | None = None
) -> Generator[Split, None, None]:
    """Reads every example once, in row order, ahead of the caller. The last batch may be smaller.

    Batch k starts at row k * batch_size. The last batch can be masked or padded, but is never dropped. Reading begins
    with the first `next`; the threads end when the iterator is exhausted, closed with `.close()` or dropped, and when a
    read fails.

    Args:
      source: the N examples, from `open_split` for instance.
      batch_size: B >= 1.
      num_threads: reading threads, which share each batch; large images gain from as many as `usable_cores()`.
      num_ahead: batches that are read ahead, and so held in memory; by default what keeps all threads busy.

    Returns:
      An iterator of ceil(N / B) Splits of NumPy arrays: inputs [B, H, W, C] and labels int32 [B], of the last
      N - B * (ceil(N / B) - 1) examples.

    Raises:
      ValueError: a number is less than 1.
      DatasetCorruptError: from the iterator, where an example is damaged.

    Example:
      >>> from ib_jax import data
      >>> [len(batch.labels) for batch in data.batches(data.open_split("digits", "test"), 150)]
      [150, 150, 60]
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    num_examples = len(source)

    def read(batch: int, places: slice) -> Split:
        start = batch * batch_size
        return read_rows(source, np.arange(start, min(start + batch_size, num_examples))[places])

    size = max(1, min(batch_size, num_examples))
    return read_ahead(read, range(-(-num_examples // batch_size)), size, num_threads=num_threads, num_ahead=num_ahead)
