"""CIFAR-10 (Krizhevsky, 2009): 50,000 training and 10,000 test images of 32 x 32 colour pixels in 10 classes."""

import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ib_jax.data.dataset import DatasetCorruptError, Split
from ib_jax.data.spec import ImageSpec, RawData, official_files

NUM_CLASSES = 10
_ARCHIVE = "cifar-10-binary.tar.gz"
_FOLDER = "cifar-10-batches-bin"
_LABEL_NAMES = "batches.meta.txt"
_SIDE = 32
_RECORD_BYTES = 1 + 3 * _SIDE * _SIDE
_BATCHES = {
    "train": tuple(f"data_batch_{index}.bin" for index in range(1, 6)),
    "test": ("test_batch.bin",),
}


def parse_batch(data: bytes, *, where: str = "CIFAR-10 batch") -> Split:
    """Reads a batch in CIFAR-10's binary format.

    Each record has 3,073 bytes: the label, then the red, the green and the blue plane, each 32 x 32, row by row.

    Args:
      data: the file, uncompressed.
      where: a name for the data, for the message.

    Returns:
      inputs uint8 [N, 32, 32, 3] and labels int32 [N].

    Raises:
      DatasetCorruptError: if the length is not a whole, positive number of records.

    Example:
      >>> record = bytes([7]) + bytes([1]) * 1024 + bytes([2]) * 1024 + bytes([3]) * 1024
      >>> batch = parse_batch(record)
      >>> batch.labels.tolist(), batch.inputs[0, 0, 0].tolist()
      ([7], [1, 2, 3])
    """
    if not data or len(data) % _RECORD_BYTES:
        raise DatasetCorruptError(f"{where}: has {len(data)} bytes, expected a positive multiple of {_RECORD_BYTES}")
    records = np.frombuffer(data, np.uint8).reshape(-1, _RECORD_BYTES)
    planes = records[:, 1:].reshape(-1, 3, _SIDE, _SIDE)
    return Split(np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), records[:, 0].astype(np.int32))


def read_raw(paths: Mapping[str, Path]) -> RawData:
    """Reads the official archive.

    Args:
      paths: the archive by its official name.

    Returns:
      The splits, inputs uint8 [N, 32, 32, 3] and labels int32 [N], and the names of the classes.

    Raises:
      DatasetCorruptError: if the archive is truncated, lacks a file, or holds a malformed one.
    """
    archive = paths[_ARCHIVE]
    wanted = [*(name for names in _BATCHES.values() for name in names), _LABEL_NAMES]
    contents = _read_members(archive, {f"{_FOLDER}/{name}" for name in wanted})
    splits = {}
    for split, names in _BATCHES.items():
        batches = [parse_batch(contents[f"{_FOLDER}/{name}"], where=f"{archive}: {name}") for name in names]
        splits[split] = Split(*(np.concatenate(fields) for fields in zip(*batches, strict=True)))
    label_names = tuple(contents[f"{_FOLDER}/{_LABEL_NAMES}"].decode("utf-8", "replace").split())
    if len(label_names) != NUM_CLASSES:
        raise DatasetCorruptError(f"{archive}: {_LABEL_NAMES} names {len(label_names)} classes, expected {NUM_CLASSES}")
    return RawData(splits, label_names)


def _read_members(path: Path, wanted: set[str]) -> dict[str, bytes]:
    contents: dict[str, bytes] = {}
    try:
        # As a stream ("r|gz"), because seeking in a compressed archive decompresses it again.
        with tarfile.open(path, "r|gz") as archive:
            for member in archive:
                file = archive.extractfile(member) if member.name in wanted else None
                if file is None:
                    continue
                contents[member.name] = file.read()
                if len(contents[member.name]) != member.size:
                    raise EOFError(f"{member.name} ends after {len(contents[member.name])} of {member.size} bytes")
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise DatasetCorruptError(f"{path}: expected a whole .tar.gz archive, found a broken one ({error})") from error
    # A truncated archive can also just end early, without any error.
    missing = sorted(wanted - contents.keys())
    if missing:
        raise DatasetCorruptError(f"{path}: the archive lacks {', '.join(missing)}; expected a whole CIFAR-10 archive")
    return contents


def cifar10_spec() -> ImageSpec:
    """CIFAR-10 as published; version, URL and checksum come from tensorflow-datasets."""
    import tensorflow_datasets as tfds

    builder = tfds.image_classification.Cifar10
    return ImageSpec(
        builder=builder,
        files=official_files(builder),
        split_sizes={"train": 50_000, "test": 10_000},
        image_shape=(_SIDE, _SIDE, 3),
        num_classes=NUM_CLASSES,
        read_raw=read_raw,
    )
