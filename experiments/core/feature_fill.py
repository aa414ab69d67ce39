"""Computes what is missing of a feature cache: shard by shard, each device the next one, with the time left."""

import collections
import concurrent.futures
import hashlib
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from experiments.core.feature_cache import FeatureCache
from ib_jax import data
from ib_jax.types import Array, Params

Compute = Callable[[Params, range, jax.Device], tuple[np.ndarray, np.ndarray]]
"""(variables on the device, rows of the source, device) -> features float32 [n, F] and labels int32 [n]."""

_SAMPLED = 16  # records whose digest stands for the data


class ImageSource(Protocol):
    """Images by their row: `read_rows` gives inputs uint8 [n, S, S, 3] and labels int32 [n], as `data.ArraySource`."""

    def __len__(self) -> int: ...

    def read_rows(self, rows: np.ndarray, /) -> data.Split: ...


class FeatureProgress(NamedTuple):
    """What is known after each shard: examples done (earlier runs too), in all, a second in this run, seconds left."""

    num_done: int
    num_examples: int
    examples_per_second: float
    seconds_left: float


def data_statement(source: ImageSource, *, name: str, split: str, num_images: int) -> dict[str, Any]:
    """What the data of a cache are: name, split, number, and a digest of records spread over them.

    Args:
      source: the images.
      name: of the data set.
      split: such as "train".
      num_images: N, the first of which are meant.

    Returns:
      The statement; JSON.
    """
    rows = np.unique(np.linspace(0, num_images - 1, min(_SAMPLED, num_images)).astype(int))
    sha = hashlib.sha256()
    for array in source.read_rows(rows):
        sha.update(f"{array.dtype}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return {"dataset": name, "split": split, "num_images": num_images, "digest": sha.hexdigest()}


def digest(variables: Params) -> str:
    """A fingerprint of a network's weights: SHA-256 of its floating-point variables, in their order."""
    sha = hashlib.sha256()
    for leaf in jax.tree.leaves(variables):
        array = np.ascontiguousarray(leaf)
        if np.issubdtype(array.dtype, np.floating):  # others are the states of random generators
            sha.update(f"{array.dtype}{array.shape}".encode())
            sha.update(array.tobytes())
    return sha.hexdigest()


def of_images(features: Callable[[Params, Array], Array], source: ImageSource, *, batch_size: int = 128) -> Compute:
    """What computes the features of images.

    Batches are stepped from the host, since the CPU is many times slower at convolutions inside a compiled loop. All
    are of one size, so that one program does. While a device computes a batch the next one is read.

    Args:
      features: (variables, images float [B, S, S, 3] in [0, 1]) -> [B, F].
      source: the images.
      batch_size: images of one call.

    Returns:
      Compute.

    Raises:
      ValueError: `batch_size` is less than 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    jitted = jax.jit(lambda variables, images: features(variables, data.to_unit_interval(images)))

    def compute(variables: Params, rows: range, device: jax.Device) -> tuple[np.ndarray, np.ndarray]:
        found: list[Array] = []
        labels = []
        for first in range(rows.start, rows.stop, batch_size):
            batch = source.read_rows(np.arange(first, min(first + batch_size, rows.stop)))
            filler = np.repeat(batch.inputs[:1], batch_size - len(batch.labels), axis=0)
            images = jax.device_put(np.concatenate([batch.inputs, filler]), device)
            found.append(jitted(variables, images)[: len(batch.labels)])
            labels.append(batch.labels)
            if len(found) > 1:
                found[-2].block_until_ready()  # no more than two batches wait in the device's memory
        return np.asarray(jnp.concatenate(found), np.float32), np.concatenate(labels)

    return compute


def printer(console: Console, title: str, unit: str) -> Callable[[FeatureProgress], None]:
    """A line on the terminal for each shard, to be handed to `fill` as its report."""

    def report(progress: FeatureProgress) -> None:
        console.print(
            f"{title}: {progress.num_done:,} of {progress.num_examples:,} {unit}  "
            f"{progress.examples_per_second:,.0f} {unit}/s  {progress.seconds_left:,.0f} s left",
            highlight=False,
        )

    return report


def fill(
    cache: FeatureCache,
    compute: Compute,
    variables: Params,
    *,
    share: tuple[int, int] = (0, 1),
    devices: Sequence[jax.Device] | None = None,
    report: Callable[[FeatureProgress], None] = lambda progress: None,
) -> None:
    """Computes the shards that are missing, each device the next one.

    Args:
      cache: to be filled.
      compute: what computes the features of a range of rows.
      variables: handed to `compute`, placed on its device.
      share: (i, n): of every n shards the one numbered i. Programs on n machines that see the folder fill it together.
      devices: all local ones by default.
      report: called after each shard.

    Raises:
      ValueError: `share` is none.
      CacheCorruptError, FloatingPointError: as `FeatureCache.missing` and `write`.
    """
    part, parts = share
    if not 0 <= part < parts:
        raise ValueError(f"share must be (i, n) with 0 <= i < n, got {share}")
    waiting = [index for index in cache.missing() if index % parts == part]
    own = [index for index in range(cache.num_shards) if index % parts == part]
    sizes = {index: len(cache.rows(index)) for index in own}
    clock, num_before = time.monotonic(), sum(sizes[index] for index in own if index not in waiting)
    local = list(jax.local_devices() if devices is None else devices)
    queue, finished = collections.deque(waiting), []

    def work(device: jax.Device) -> None:
        placed = jax.device_put(variables, device)
        while True:
            try:
                index = queue.popleft()
            except IndexError:
                return
            try:
                cache.write(index, *compute(placed, cache.rows(index), device))
            except BaseException:
                queue.clear()  # the other devices end after their shard
                raise
            finished.append(sizes[index])
            done, total = num_before + sum(finished), sum(sizes.values())
            rate = sum(finished) / max(time.monotonic() - clock, 1e-9)
            report(FeatureProgress(done, total, rate, (total - done) / max(rate, 1e-9)))

    with concurrent.futures.ThreadPoolExecutor(len(local)) as pool:
        for worker in [pool.submit(work, device) for device in local]:
            worker.result()
