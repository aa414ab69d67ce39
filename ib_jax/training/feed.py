"""From batches on the host to batches on the devices, ahead of their use."""

import collections
from collections.abc import Iterable, Iterator

import jax
import numpy as np

from ib_jax.training.gradient import Batch
from ib_jax.training.parallel import scatter


def feed(stretches: Iterable[Batch], *, depth: int = 2) -> Iterator[Batch]:
    """Hands stretches of batches to the local devices, `depth` of them ahead, so that no step waits for a copy.

    Args:
      stretches: Batch after Batch of NumPy arrays [T, B, ...]: T batches, of each this process's share B. The first
        device takes the first rows.
      depth: stretches on the devices at a time, >= 1.

    Yields:
      Batch with fields [local devices, T, B / local devices, ...], for `shard_epoch(make_stretch(...))`.

    Raises:
      ValueError: `depth` is less than 1, or B does not divide over the local devices.

    Example:
      >>> import numpy as np
      >>> from ib_jax import training
      >>> batches = (training.Batch(np.ones((3, 8)), np.ones((3, 8))) for _ in range(2))
      >>> [batch.inputs.ndim for batch in training.feed(batches)]
      [3, 3]
    """
    if depth < 1:
        raise ValueError(f"depth must be at least 1, got {depth}")
    num_devices = jax.local_device_count()

    def split(leaf: np.ndarray) -> np.ndarray:
        num_steps, num_rows = leaf.shape[:2]
        if num_rows % num_devices:
            raise ValueError(f"a batch's share must divide over {num_devices} local devices, got {num_rows} rows")
        return leaf.reshape(num_steps, num_devices, num_rows // num_devices, *leaf.shape[2:]).swapaxes(0, 1)

    ahead: collections.deque[Batch] = collections.deque()
    for stretch in stretches:
        ahead.append(scatter(jax.tree.map(split, stretch)))  # returns before the copy is done
        if len(ahead) > depth:
            yield ahead.popleft()
    yield from ahead
