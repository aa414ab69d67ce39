"""Reads a prepared data set into arrays, or opens it; looks for it first, and prepares it if it is not there."""

import os
from pathlib import Path

import numpy as np

from ib_jax.data.advice import how_to_build, how_to_replace
from ib_jax.data.crops import Decode
from ib_jax.data.dataset import DatasetCorruptError, DatasetUnavailableError, Split
from ib_jax.data.prepare import is_prepared, prepare
from ib_jax.data.records import Exact, Records
from ib_jax.data.spec import ImageSpec
from ib_jax.paths import local_path

_CHUNK = 4096  # records read at a time: enough to make the batched read pay, few enough to stay small


def resolve_data_dir(data_dir: str | os.PathLike[str] | None) -> Path:
    """The folder in which tensorflow-datasets keeps its data.

    Args:
      data_dir: the folder, or None for what tensorflow-datasets itself would take: $TFDS_DATA_DIR, or else
        tensorflow_datasets in the home folder.

    Returns:
      The folder, absolute, with `~` resolved; it need not exist.

    Raises:
      ValueError: it is the address of a bucket or a server.
      NotADirectoryError: it is a file, or lies below one.
      DatasetUnavailableError: it is not given, and there is no home folder.

    Example:
      >>> resolve_data_dir("gs://tfds-data/datasets")
      Traceback (most recent call last):
      ValueError: data_dir must be a folder or file of this machine, got 'gs://tfds-data/datasets'; mount the bucket ...
    """
    name = "data_dir" if data_dir is not None else "TFDS_DATA_DIR"
    chosen = os.environ.get(name) if data_dir is None else data_dir
    if data_dir is None and not chosen:
        try:
            chosen, name = local_path("~/tensorflow_datasets", name), "data_dir"
        except ValueError:
            raise DatasetUnavailableError(
                "data sets are looked for in the home folder by default, and this user has none, nor is HOME set; pass "
                "data_dir= or set the environment variable TFDS_DATA_DIR"
            ) from None
    folder = local_path(chosen or "", name).absolute()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir():
        raise NotADirectoryError(f"{name} is {str(folder)!r}, and {there} is a file; give a folder")
    return folder


def load_splits(spec: ImageSpec, data_dir: Path) -> dict[str, Split]:
    """Loads every split of a data set, preparing it first if need be.

    Args:
      spec: the data set.
      data_dir: the folder in which tensorflow-datasets keeps its data.

    Returns:
      The splits by name; inputs uint8 [N, H, W, C], labels int32 [N], verified against `spec`.

    Raises:
      ValueError: if its images have no common shape.
      DatasetUnavailableError: if it is not there and cannot be had, or is in a format that needs TensorFlow.
      DatasetCorruptError: if a file is damaged, or does not hold what it should.
    """
    image_shape = spec.one_shape()
    folder = prepared_folder(spec, data_dir)
    # All are opened first: a missing one shows before the others have been read.
    opened = {name: Records(spec, folder, name, Exact(image_shape)) for name in spec.split_sizes}
    splits = {name: _read_all(records, image_shape) for name, records in opened.items()}
    for name, split in splits.items():
        spec.check_split(name, split, where=str(folder), remedy=how_to_replace(spec, folder))
    return splits


def open_records(spec: ImageSpec, data_dir: Path, split_name: str, decode: Decode) -> Records:
    """Opens one split of a data set without reading it, preparing the data set first if need be and if it can be here.

    Args:
      spec: the data set.
      data_dir: the folder in which tensorflow-datasets keeps its data.
      split_name: one of `spec.split_sizes`.
      decode: how an image is decoded.

    Returns:
      The examples by their row, the same rows as those of `load_splits`.

    Raises:
      DatasetUnavailableError: if it is not there and cannot be had, or is in a format that needs TensorFlow.
      DatasetCorruptError: if a file is damaged, or does not hold what it should; damage inside the files shows when
        the examples are read.
    """
    folder = prepared_folder(spec, data_dir)
    records = Records(spec, folder, split_name, decode)
    expected = spec.split_sizes[split_name]
    if len(records) != expected:
        raise DatasetCorruptError(
            f"{spec.name}: the {split_name} split in {folder} has {len(records)} images, expected {expected}. "
            f"{how_to_replace(spec, folder)}"
        )
    return records


def prepared_folder(spec: ImageSpec, data_dir: Path) -> Path:
    """The folder of a prepared copy, which is made first if need be and if it can be here.

    Raises:
      DatasetUnavailableError: if there is none and it cannot be had; the message says what to do.
      DatasetCorruptError: if the folder is there, but is no whole prepared copy.
    """
    folder = spec.prepared_dir(data_dir)
    if not is_prepared(folder):
        if folder.exists():
            raise DatasetCorruptError(
                f"{spec.name}: {folder} is there, but not a whole prepared copy (expected dataset_info.json and "
                f"features.json). {how_to_replace(spec, folder)}"
            )
        if spec.read_raw is None:
            # tensorflow-datasets would try to download for minutes before it says that it cannot.
            raise DatasetUnavailableError(how_to_build(spec, data_dir))
        prepare(spec, data_dir)
    return folder


def _read_all(records: Records, image_shape: tuple[int, int, int]) -> Split:
    split = Split(np.empty((len(records), *image_shape), np.uint8), np.empty(len(records), np.int32))
    for start in range(0, len(records), _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, len(records)))
        for whole, part in zip(split, records.read_rows(rows), strict=True):
            whole[rows[0] : rows[-1] + 1] = part
    return split
