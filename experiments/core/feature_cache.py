"""Features of a frozen network, computed once: shards on disk, under a key of everything that they depend on.

A shard is a `.npy` file of records (features float32 [F], label int32), written whole or not at all. The folder's name
holds a hash of the statement in its `features.json`: network, weights, preprocessing, images. Another network or data
set has another folder, so what lies in one always belongs together; a run that was killed goes on with the first shard
that is missing. A shard that is damaged is refused by its name, before any is computed, and never made again unasked:
delete it for that.
"""

import concurrent.futures
import dataclasses
import hashlib
import json
import pathlib
import queue
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from experiments.core import progress
from ib_jax import data
from ib_jax.files import DamagedFileError, reading, write_whole
from ib_jax.paths import local_path, make_folder
from ib_jax.types import Array, Params

Compute = Callable[[Params, range, jax.Device], tuple[np.ndarray, np.ndarray]]
"""(variables on the device, rows of the source, device) -> features float32 [n, F] and labels int32 [n]."""

_REMEDY = "delete it to have it computed again"
_SAMPLED = 16  # records whose digest stands for the data


class CacheCorruptError(DamagedFileError):
    """A file of the cache is not what it should be; the message names it."""


class Source(NamedTuple):
    """Examples whose features are wanted: what they are (JSON), how many, and what computes their features."""

    statement: Mapping[str, Any]
    num_examples: int
    compute: Compute


@dataclasses.dataclass(frozen=True)
class FeatureCache:
    """The features of the first N examples of a source in a folder of their own.

    Attributes:
      root: folder of all caches.
      statement: what the features depend on, JSON; the folder is named after its digest.
      num_images: N.
      num_features: F.
      shard_size: examples of a shard; the last may have fewer.
    """

    root: pathlib.Path
    statement: Mapping[str, Any]
    num_images: int
    num_features: int
    shard_size: int

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
          CacheCorruptError: the folder's statement is another one, or a shard has not the length that it should.
        """
        path = self.folder / "features.json"
        if path.exists():
            with reading(path, "delete its folder", CacheCorruptError):
                there = json.loads(path.read_bytes())
            if there != self._whole_statement:
                raise CacheCorruptError(f"{path} does not say what its folder's name stands for; delete the folder")
        missing = [index for index in range(self.num_shards) if not self._path(index).exists()]
        for index in set(range(self.num_shards)) - set(missing):
            self._open(index)
        return missing

    def write(self, index: int, features: np.ndarray, labels: np.ndarray) -> None:
        """Writes a shard whole or not at all.

        Raises:
          FloatingPointError: a feature is not finite; nothing is written.
        """
        if not np.isfinite(features).all():
            raise FloatingPointError(f"features of shard {index} are not finite; the network or its weights are broken")
        shard = np.empty(len(labels), self._dtype)
        shard["features"], shard["label"] = features, labels
        make_folder(self.folder, "cache_dir")
        statement = self.folder / "features.json"
        if not statement.exists():
            write_whole(statement, lambda file: file.write(json.dumps(self._whole_statement, indent=1).encode()))
        write_whole(self._path(index), lambda file: np.save(file, shard))

    def shards(self) -> Iterator[np.ndarray]:
        """The shards in order, mapped into memory: records with fields `features` [n, F] and `label` [n].

        Raises:
          FileNotFoundError: one has not been computed.
          CacheCorruptError: one is damaged.
        """
        yield from map(self._open, range(self.num_shards))

    def read(self) -> data.Split:
        """All features, float32 [N, F], and labels, int32 [N], in memory; errors as of `shards`."""
        features = np.empty((self.num_images, self.num_features), np.float32)
        labels = np.empty(self.num_images, np.int32)
        for index, shard in enumerate(self.shards()):
            rows = slice(self.rows(index).start, self.rows(index).stop)
            features[rows], labels[rows] = shard["features"], shard["label"]
        return data.Split(features, labels)

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of each feature, float32 [F], in two passes over the shards."""
        mean = sum(shard["features"].sum(0, dtype=np.float64) for shard in self.shards()) / self.num_images
        squares = sum(np.square(shard["features"] - mean).sum(0) for shard in self.shards())
        return mean.astype(np.float32), np.sqrt(squares / self.num_images).astype(np.float32)

    def rows(self, index: int) -> range:
        """The rows of the source that make a shard."""
        return range(index * self.shard_size, min((index + 1) * self.shard_size, self.num_images))

    def _open(self, index: int) -> np.ndarray:
        path, count = self._path(index), len(self.rows(index))
        with reading(path, _REMEDY, CacheCorruptError):
            shard = np.load(path, mmap_mode="r")
        if shard.dtype != self._dtype or shard.shape != (count,):
            holds = f"{shard.shape} of {shard.dtype}, expected ({count},) of {self._dtype}"
            raise CacheCorruptError(f"{path} holds {holds}; {_REMEDY}")
        return shard

    def _path(self, index: int) -> pathlib.Path:
        return self.folder / f"shard_{index:06d}.npy"

    @property
    def _dtype(self) -> np.dtype:
        return np.dtype([("features", "<f4", (self.num_features,)), ("label", "<i4")])


def fill_caches(
    config: Any,
    network: Mapping[str, Any],
    variables: Params,
    num_features: int,
    sources: Mapping[str, Source],
    console: Console,
    *,
    unit: str,
    share: tuple[int, int] = (0, 1),
) -> dict[str, FeatureCache]:
    """The caches of a network's features, one for each split of the data, with what was missing of them computed.

    Args:
      config: where caches lie (`cache_dir`, or features/ in the `workdir`), and their `shard_size`.
      network: what it is, JSON.
      variables: of the network.
      num_features: F.
      sources: by split.
      console: where to show progress.
      unit: of the examples.
      share: (i, n): of every n shards the one numbered i. Programs on n machines that see the folder fill it together.
    """
    caches: dict[str, FeatureCache] = {}
    root = local_path(config.cache_dir or pathlib.Path(config.workdir) / "features", "cache_dir")
    for split, source in sources.items():
        statement = {**network, "data": source.statement}
        caches[split] = cache = FeatureCache(root, statement, source.num_examples, num_features, config.shard_size)
        own = range(share[0], cache.num_shards, share[1])
        total, missing = sum(len(cache.rows(index)) for index in own), sorted(set(own) & set(cache.missing()))
        left, start, done = sum(len(cache.rows(index)) for index in missing), time.monotonic(), 0
        if missing:
            with progress.WorkLine(console, left) as line:
                for count in computed(cache, missing, source.compute, variables):
                    done += count
                    rate = done / max(time.monotonic() - start, 1e-9)
                    what = f"{total - left + done:,} of {total:,} {unit}, {rate:,.0f} {unit}/s"
                    line(f"features of {split}", what, count)
    return caches


def computed(cache: FeatureCache, shards: Sequence[int], compute: Compute, variables: Params) -> Iterator[int]:
    """Computes shards, each device the next one, and gives the number of examples of each that is done.

    Raises:
      FloatingPointError: as `FeatureCache.write`; as with any error the other devices end after their shard.
    """
    devices: queue.SimpleQueue[tuple[jax.Device, Params]] = queue.SimpleQueue()
    for device in jax.local_devices():
        devices.put((device, jax.device_put(variables, device)))

    def work(index: int) -> int:
        device, placed = devices.get()
        try:
            cache.write(index, *compute(placed, cache.rows(index), device))
        finally:
            devices.put((device, placed))
        return len(cache.rows(index))

    pool = concurrent.futures.ThreadPoolExecutor(jax.local_device_count())
    try:
        yield from pool.map(work, shards)
    finally:
        pool.shutdown(cancel_futures=True)


def of_images(features: Callable[[Params, Array], Array], source: data.BatchSource, *, batch_size: int) -> Compute:
    """What computes the features of images by (variables, images float [B, S, S, 3] in [0, 1]) -> [B, F].

    Batches are stepped from the host, since the CPU is many times slower at convolutions inside a compiled loop. All
    are of one size, so that one program does. While a device computes a batch the next one is read.
    """
    jitted = jax.jit(lambda variables, images: features(variables, data.to_unit_interval(images)))

    def compute(variables: Params, rows: range, device: jax.Device) -> tuple[np.ndarray, np.ndarray]:
        parts, labels = [], []
        for first in range(rows.start, rows.stop, batch_size):
            batch = source.read_rows(np.arange(first, min(first + batch_size, rows.stop)))
            filler = np.repeat(batch.inputs[:1], batch_size - len(batch.labels), axis=0)
            images = jax.device_put(np.concatenate([batch.inputs, filler]), device)
            parts.append(jitted(variables, images)[: len(batch.labels)])
            labels.append(batch.labels)
            if len(parts) > 1:
                parts[-2].block_until_ready()  # no more than two batches wait in the device's memory
        return np.asarray(jnp.concatenate(parts), np.float32), np.concatenate(labels)

    return compute


def data_statement(source: data.BatchSource, *, name: str, split: str, num_images: int) -> dict[str, Any]:
    """What the images of a cache are, as JSON: name, split, number, and a digest of some spread over them."""
    rows = np.unique(np.linspace(0, num_images - 1, min(_SAMPLED, num_images)).astype(int))
    return {"dataset": name, "split": split, "num_images": num_images, "digest": _digest(source.read_rows(rows))}


def digest(variables: Params) -> str:
    """A fingerprint of a network's weights: SHA-256 of its floating-point variables, in their order."""
    leaves = map(np.ascontiguousarray, jax.tree.leaves(variables))
    return _digest(leaf for leaf in leaves if np.issubdtype(leaf.dtype, np.floating))  # others: random generators


def _digest(arrays: Iterable[np.ndarray]) -> str:
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(f"{array.dtype}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()
