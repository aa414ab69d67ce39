"""Reads a prepared data set into arrays; looks for it first, and prepares it if it is not there."""

import io
import os
from pathlib import Path
from typing import Any

import numpy as np

from ib_jax.data.dataset import DatasetCorruptError, DatasetUnavailableError, Split
from ib_jax.data.prepare import is_prepared, prepare
from ib_jax.data.spec import ImageSpec

_CHUNK = 4096  # records read at a time: enough to make the batched read pay, few enough to stay small


def resolve_data_dir(data_dir: str | os.PathLike[str] | None) -> Path:
    """The folder in which tensorflow-datasets keeps its data.

    Args:
      data_dir: the folder, or None for what tensorflow-datasets itself would take: $TFDS_DATA_DIR, or else
        tensorflow_datasets in the home folder.

    Returns:
      The folder, with `~` resolved; it need not exist.
    """
    chosen = data_dir if data_dir is not None else os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")
    return Path(chosen).expanduser().absolute()


def load_splits(spec: ImageSpec, data_dir: Path) -> dict[str, Split]:
    """Loads every split of a data set, preparing it first if need be.

    Args:
      spec: the data set.
      data_dir: the folder in which tensorflow-datasets keeps its data.

    Returns:
      The splits by name; inputs uint8 [N, H, W, C], labels int32 [N], verified against `spec`.

    Raises:
      DatasetUnavailableError: if it is not there and cannot be had, or is in a format that needs TensorFlow.
      DatasetCorruptError: if a file is damaged, or does not hold what it should.
    """
    folder = spec.prepared_dir(data_dir)
    if not is_prepared(folder):
        if folder.exists():
            raise DatasetCorruptError(
                f"{spec.name}: {folder} is there, but not a whole prepared copy (expected dataset_info.json and "
                f"features.json). {_delete(folder)}"
            )
        prepare(spec, data_dir)
    return _read_prepared(spec, folder)


def _delete(folder: Path) -> str:
    return f"Delete {folder} and run again; it will be prepared afresh."


def _read_prepared(spec: ImageSpec, folder: Path) -> dict[str, Split]:
    try:
        splits = _read_splits(spec, folder)
    except (DatasetUnavailableError, DatasetCorruptError, ImportError, MemoryError):
        raise
    except Exception as error:
        # Damage shows as many things: RuntimeError from array_record, OSError and SyntaxError from PIL, ParseError
        # from protobuf. They have no common class below this one, and mean the same to the reader.
        raise DatasetCorruptError(
            f"{spec.name}: the prepared copy in {folder} could not be read ({type(error).__name__}: {error}). "
            f"{_delete(folder)}"
        ) from error
    for name, split in splits.items():
        spec.check_split(name, split, where=str(folder), remedy=_delete(folder))
    return splits


def _read_splits(spec: ImageSpec, folder: Path) -> dict[str, Split]:
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(folder)
    formats = sorted(file_format.value for file_format in builder.info.available_file_formats())
    if "array_record" not in formats:
        raise DatasetUnavailableError(
            f"{spec.name}: the prepared copy in {folder} is in {' and '.join(formats) or 'no known'} format, and only "
            f"array_record can be read without TensorFlow. Pass another data_dir, or move that folder away and run "
            f"again; it will be prepared afresh."
        )
    absent = sorted(spec.split_sizes.keys() - builder.info.splits.keys())
    if absent:
        raise DatasetCorruptError(f"{spec.name}: the prepared copy in {folder} lacks {absent}. {_delete(folder)}")
    # The images stay encoded here: decoding them below is faster, and spares a warning that OpenCV is not installed.
    sources = {
        name: builder.as_data_source(name, decoders={"image": tfds.decode.SkipDecoding()}, file_format="array_record")
        for name in spec.split_sizes
    }
    return {name: _read_split(source, spec.image_shape) for name, source in sources.items()}


def _read_split(source: Any, image_shape: tuple[int, int, int]) -> Split:
    from PIL import Image

    inputs = np.empty((len(source), *image_shape), np.uint8)
    labels = np.empty(len(source), np.int32)
    # PIL gives grey images without a channel axis.
    decoded_shape = image_shape[:2] if image_shape[2] == 1 else image_shape
    for start in range(0, len(source), _CHUNK):
        chunk = range(start, min(start + _CHUNK, len(source)))
        for index, record in zip(chunk, source.__getitems__(chunk), strict=True):
            pixels = np.asarray(Image.open(io.BytesIO(record["image"])))
            if pixels.shape != decoded_shape or pixels.dtype != np.uint8:
                # Assignment would broadcast or cast it in silence.
                raise ValueError(f"image {index} is {pixels.dtype} {pixels.shape}, expected uint8 {decoded_shape}")
            inputs[index] = pixels.reshape(image_shape)
            labels[index] = record["label"]
    return Split(inputs, labels)
