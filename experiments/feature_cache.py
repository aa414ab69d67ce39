"""Features of a frozen network, computed once: shards on disk, under a key of everything that they depend on.

A shard is a `.npy` file of records (features float32 [F], label int32), written whole or not at all. The folder's name
holds a hash of the statement in its `features.json`: network, weights, preprocessing, images. Another network or data
set has another folder, so what lies in one always belongs together; a run that was killed goes on with the first shard
that is missing.
"""

import collections
import concurrent.futures
import dataclasses
import hashlib
import json
import os
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from ib_jax import data
from ib_jax.types import Array, Params

_SAMPLED = 16  # records whose digest stands for the data


class ImageSource(Protocol):
    """Images by their row: `read_rows` gives inputs uint8 [n, S, S, 3] and labels int32 [n], as `data.ArraySource`."""

    def __len__(self) -> int: ...

    def read_rows(self, rows: np.ndarray, /) -> data.Split: ...


class CacheCorruptError(ValueError):
    """A file of the cache is not what it should be; the message names it."""


class FeatureProgress(NamedTuple):
    """What is known after each shard: images done (in earlier runs too), in all, per second in this run, time left."""

    num_done: int
    num_images: int
    images_per_second: float
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


@dataclasses.dataclass(frozen=True)
class FeatureCache:
    """The features of the first N images of a source in a folder of their own.

    Attributes:
      root: folder of all caches.
      statement: what the features depend on, JSON; the folder is named after its digest.
      num_images: N.
      num_features: F.
      shard_size: images of a shard; the last may have fewer.
    """

    root: pathlib.Path
    statement: Mapping[str, Any]
    num_images: int
    num_features: int
    shard_size: int = 4096

    def __post_init__(self) -> None:
        for name in ("num_images", "num_features", "shard_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")

    @property
    def _whole_statement(self) -> dict[str, Any]:
        sizes = {"num_images": self.num_images, "num_features": self.num_features, "shard_size": self.shard_size}
        return json.loads(json.dumps({**self.statement, "cache": sizes}))

    @property
    def folder(self) -> pathlib.Path:
        """Where the shards lie."""
        text = json.dumps(self._whole_statement, sort_keys=True)
        return self.root / f"features-{hashlib.sha256(text.encode()).hexdigest()[:20]}"

    @property
    def num_shards(self) -> int:
        """Of the whole cache."""
        return -(-self.num_images // self.shard_size)

    def missing(self) -> list[int]:
        """The shards that are not there yet.

        Raises:
          CacheCorruptError: the folder's statement is another one.
        """
        path = self.folder / "features.json"
        if path.exists() and json.loads(path.read_text()) != self._whole_statement:
            raise CacheCorruptError(f"{path} does not say what its folder's name stands for; delete the folder")
        return [index for index in range(self.num_shards) if not self._path(index).exists()]

    def write(self, index: int, features: np.ndarray, labels: np.ndarray) -> None:
        """Writes a shard whole or not at all.

        Raises:
          FloatingPointError: a feature is not finite; nothing is written.
        """
        if not np.isfinite(features).all():
            raise FloatingPointError(f"features of shard {index} are not finite; the network or its weights are broken")
        shard = np.empty(len(labels), self._dtype)
        shard["features"], shard["label"] = features, labels
        self.folder.mkdir(parents=True, exist_ok=True)
        statement = self.folder / "features.json"
        if not statement.exists():
            _write_whole(statement, lambda file: file.write(json.dumps(self._whole_statement, indent=1).encode()))
        _write_whole(self._path(index), lambda file: np.save(file, shard))

    def shards(self) -> Iterator[np.ndarray]:
        """The shards in order, mapped into memory: records with fields `features` [n, F] and `label` [n].

        Raises:
          FileNotFoundError: one has not been computed.
          CacheCorruptError: one is damaged.
        """
        for index in range(self.num_shards):
            yield self._open(index)

    def read(self) -> data.Split:
        """All features, float32 [N, F], and labels, int32 [N], in memory; errors as of `shards`."""
        whole = data.Split(
            np.empty((self.num_images, self.num_features), np.float32), np.empty(self.num_images, np.int32)
        )
        for index, shard in enumerate(self.shards()):
            rows = self.rows(index)
            whole.inputs[rows], whole.labels[rows] = shard["features"], shard["label"]
        return whole

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of each feature, float32 [F], in two passes over the shards."""
        mean = sum(shard["features"].sum(0, dtype=np.float64) for shard in self.shards()) / self.num_images
        squares = sum(np.square(shard["features"] - mean).sum(0) for shard in self.shards())
        return mean.astype(np.float32), np.sqrt(squares / self.num_images).astype(np.float32)

    def rows(self, index: int) -> slice:
        """The rows of the source that make a shard."""
        return slice(index * self.shard_size, min((index + 1) * self.shard_size, self.num_images))

    def _path(self, index: int) -> pathlib.Path:
        return self.folder / f"shard_{index:06d}.npy"

    @property
    def _dtype(self) -> np.dtype:
        return np.dtype([("features", "<f4", (self.num_features,)), ("label", "<i4")])

    def _open(self, index: int) -> np.ndarray:
        path, rows = self._path(index), self.rows(index)
        try:
            shard = np.load(path, mmap_mode="r")
        except (ValueError, EOFError) as error:
            raise CacheCorruptError(f"{path} is damaged ({error}); delete it, and the next run computes it") from error
        if shard.dtype != self._dtype or shard.shape != (rows.stop - rows.start,):
            expected = f"{rows.stop - rows.start} records of {self._dtype}"
            raise CacheCorruptError(
                f"{path} holds {len(shard)} records of {shard.dtype}, expected {expected}; delete it"
            )
        return shard


def fill(
    cache: FeatureCache,
    features: Callable[[Params, Array], Array],
    variables: Params,
    source: ImageSource,
    *,
    batch_size: int = 128,
    share: tuple[int, int] = (0, 1),
    devices: Sequence[jax.Device] | None = None,
    report: Callable[[FeatureProgress], None] = lambda progress: None,
) -> None:
    """Computes the shards that are missing, each device the next one.

    Batches are stepped from the host, since the CPU is many times slower at convolutions inside a compiled loop. All
    are of one size, so that one program does. While a device computes a batch the next one is read.

    Args:
      cache: to be filled.
      features: (variables, images float [B, S, S, 3] in [0, 1]) -> [B, F].
      variables: handed to `features`.
      source: the images.
      batch_size: images of one call.
      share: (i, n): of every n shards the one numbered i. Programs on n machines that see the folder fill it together.
      devices: all local ones by default.
      report: called after each shard.

    Raises:
      ValueError: `batch_size` is less than 1 or `share` is none.
      CacheCorruptError, FloatingPointError: as `FeatureCache.missing` and `write`.
    """
    part, parts = share
    if batch_size < 1 or not 0 <= part < parts:
        raise ValueError(
            f"batch_size must be at least 1 and share (i, n) with 0 <= i < n, got {batch_size} and {share}"
        )
    waiting = [index for index in cache.missing() if index % parts == part]
    own = [index for index in range(cache.num_shards) if index % parts == part]
    sizes = {index: cache.rows(index).stop - cache.rows(index).start for index in own}
    clock, num_before = time.monotonic(), sum(sizes[index] for index in own if index not in waiting)
    compute = jax.jit(lambda variables, images: features(variables, data.to_unit_interval(images)))
    local = list(jax.local_devices() if devices is None else devices)
    queue, finished = collections.deque(waiting), []

    def shard(index: int, placed: Params, device: jax.Device) -> None:
        found: list[Array] = []
        labels, rows = [], cache.rows(index)
        for first in range(rows.start, rows.stop, batch_size):
            batch = source.read_rows(np.arange(first, min(first + batch_size, rows.stop)))
            filler = np.repeat(batch.inputs[:1], batch_size - len(batch.labels), axis=0)
            images = jax.device_put(np.concatenate([batch.inputs, filler]), device)
            found.append(compute(placed, images)[: len(batch.labels)])
            labels.append(batch.labels)
            if len(found) > 1:
                found[-2].block_until_ready()  # no more than two batches wait in the device's memory
        cache.write(index, np.asarray(jnp.concatenate(found), np.float32), np.concatenate(labels))

    def work(device: jax.Device) -> None:
        placed = jax.device_put(variables, device)
        while True:
            try:
                index = queue.popleft()
            except IndexError:
                return
            try:
                shard(index, placed, device)
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


def _write_whole(path: pathlib.Path, write: Callable[[Any], object]) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with open(partial, "wb") as file:
        write(file)
    os.replace(partial, path)
