"""MNIST and Fashion-MNIST, which share the IDX file format.

MNIST: LeCun, Cortes and Burges (1998). Fashion-MNIST: Xiao, Rasul and Vollgraf (2017), arXiv:1708.07747. Both have
60,000 training and 10,000 test images of 28 x 28 grey values in 10 classes.
"""

import gzip
import math
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ib_jax.data.dataset import DatasetCorruptError, Split
from ib_jax.data.spec import ImageSpec, RawData, official_files

NUM_CLASSES = 10
_UINT8_CODE = 0x08
_PREFIXES = {"train": "train", "test": "t10k"}


def parse_idx(data: bytes, num_dims: int, *, where: str = "IDX data") -> np.ndarray:
    """Reads an array of unsigned bytes in IDX format.

    The format: two zero bytes, a type code (8 for unsigned bytes), the number of dimensions, each dimension as a
    big-endian 32-bit integer, then the values, the last dimension running fastest.

    Args:
      data: the uncompressed file.
      num_dims: the number of dimensions expected; 3 for images, 1 for labels.
      where: a name for the data, for the messages.

    Returns:
      uint8 array with `num_dims` dimensions, read-only.

    Raises:
      DatasetCorruptError: if the magic number is another one, or the length is not exactly what the dimensions need.

    Example:
      >>> parse_idx(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1]), 1).tolist()
      [7, 2, 1]
    """
    expected_magic = bytes([0, 0, _UINT8_CODE, num_dims])
    if data[:4] != expected_magic:
        raise DatasetCorruptError(
            f"{where}: the magic number is 0x{data[:4].hex()}, expected 0x{expected_magic.hex()} "
            f"({num_dims}-dimensional unsigned bytes in IDX format)"
        )
    header = 4 + 4 * num_dims
    if len(data) < header:
        raise DatasetCorruptError(f"{where}: ends within its header, after {len(data)} of {header} bytes")
    shape = tuple(int(size) for size in np.frombuffer(data, ">u4", num_dims, offset=4))
    # math.prod works on Python integers, which cannot overflow on absurd dimensions.
    expected_length = header + math.prod(shape)
    if len(data) != expected_length:
        raise DatasetCorruptError(
            f"{where}: has {len(data)} bytes, expected exactly {expected_length} for shape {shape}"
        )
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


def read_idx(path: Path, num_dims: int) -> np.ndarray:
    """Reads a gzip-compressed IDX file; see `parse_idx`.

    Args:
      path: the file.
      num_dims: the number of dimensions expected.

    Returns:
      uint8 array with `num_dims` dimensions, read-only.

    Raises:
      DatasetCorruptError: if the file is not whole, valid gzip, or not the IDX data expected.
    """
    try:
        with gzip.open(path, "rb") as file:
            data = file.read()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DatasetCorruptError(f"{path}: expected a whole gzip file, found a broken one ({error})") from error
    return parse_idx(data, num_dims, where=str(path))


def read_raw(paths: Mapping[str, Path]) -> RawData:
    """Reads the four IDX files of MNIST or Fashion-MNIST.

    Args:
      paths: the files by their official names.

    Returns:
      The splits, inputs uint8 [N, 28, 28, 1] and labels int32 [N].

    Raises:
      DatasetCorruptError: if a file is malformed.
    """
    splits = {}
    for split, prefix in _PREFIXES.items():
        images = read_idx(paths[f"{prefix}-images-idx3-ubyte.gz"], 3)
        labels = read_idx(paths[f"{prefix}-labels-idx1-ubyte.gz"], 1)
        splits[split] = Split(images[..., np.newaxis], labels.astype(np.int32))
    return RawData(splits)


def mnist_spec() -> ImageSpec:
    """MNIST as published; version, URLs and checksums come from tensorflow-datasets."""
    import tensorflow_datasets as tfds

    return _spec(tfds.image_classification.MNIST)


def fashion_mnist_spec() -> ImageSpec:
    """Fashion-MNIST as published; version, URLs and checksums come from tensorflow-datasets."""
    import tensorflow_datasets as tfds

    return _spec(tfds.image_classification.FashionMNIST)


def _spec(builder: type) -> ImageSpec:
    return ImageSpec(
        builder=builder,
        files=official_files(builder),
        split_sizes={"train": 60_000, "test": 10_000},
        image_shape=(28, 28, 1),
        num_classes=NUM_CLASSES,
        read_raw=read_raw,
    )
