"""Features of a frozen network, computed once: shards on disk, under a key of everything that they depend on.

A shard is a `.npy` file of records (features float32 [F], label int32), written whole or not at all. The folder's name
holds a hash of the statement in its `features.json`: network, weights, preprocessing, images. Another network or data
set has another folder, so what lies in one always belongs together; a run that was killed goes on with the first shard
that is missing.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from ib_jax import data


class CacheCorruptError(ValueError):
    """A file of the cache is not what it should be; the message names it."""


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
            rows = slice(self.rows(index).start, self.rows(index).stop)
            whole.inputs[rows], whole.labels[rows] = shard["features"], shard["label"]
        return whole

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of each feature, float32 [F], in two passes over the shards."""
        mean = sum(shard["features"].sum(0, dtype=np.float64) for shard in self.shards()) / self.num_images
        squares = sum(np.square(shard["features"] - mean).sum(0) for shard in self.shards())
        return mean.astype(np.float32), np.sqrt(squares / self.num_images).astype(np.float32)

    def rows(self, index: int) -> range:
        """The rows of the source that make a shard."""
        return range(index * self.shard_size, min((index + 1) * self.shard_size, self.num_images))

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
        if shard.dtype != self._dtype or shard.shape != (len(rows),):
            expected = f"{len(rows)} records of {self._dtype}"
            raise CacheCorruptError(
                f"{path} holds {len(shard)} records of {shard.dtype}, expected {expected}; delete it"
            )
        return shard


def _write_whole(path: pathlib.Path, write: Callable[[Any], object]) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with open(partial, "wb") as file:
        write(file)
    os.replace(partial, path)
