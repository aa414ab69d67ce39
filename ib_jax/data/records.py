"""A split of a prepared data set as a source: records are read and decoded when they are asked for."""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ib_jax.data.access import check_rows, one_row
from ib_jax.data.dataset import DatasetCorruptError, DatasetUnavailableError, Split
from ib_jax.data.spec import ImageSpec


class Records:
    """The examples of one split of a prepared copy, read from its files at each access.

    What has been read is checked against `spec`, but for the number of examples, which the reader of all of them knows
    as well. Several threads may read at once, and a pickled one opens the files anew.

    Args:
      spec: the data set.
      folder: its prepared copy.
      split_name: "train" or "test".

    Raises:
      DatasetUnavailableError: if the copy is in a format that needs TensorFlow.
      DatasetCorruptError: if it is damaged or lacks a split; from reading, if a record is damaged.
    """

    def __init__(self, spec: ImageSpec, folder: Path, split_name: str) -> None:
        self._spec, self._folder, self._split_name = spec, folder, split_name
        with _damage_named(spec, folder):
            self._source = _open(spec, folder, split_name)

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, row: int, /) -> Split:
        return one_row(self, row)

    def read_rows(self, rows: np.ndarray, /) -> Split:
        """Reads rows int [n] in any order: inputs uint8 [n, H, W, C], labels int32 [n]."""
        check_rows(rows, len(self))
        with _damage_named(self._spec, self._folder):
            examples = _decode(self._source.__getitems__(rows.tolist()), rows, self._spec.image_shape)
        self._spec.check_labels(
            self._split_name, examples.labels, where=str(self._folder), remedy=how_to_replace(self._folder)
        )
        return examples


def how_to_replace(folder: Path) -> str:
    """What to do about a damaged prepared copy."""
    return f"Delete {folder} and run again; it will be prepared afresh."


@contextlib.contextmanager
def _damage_named(spec: ImageSpec, folder: Path) -> Iterator[None]:
    try:
        yield
    except (DatasetUnavailableError, DatasetCorruptError, ImportError, MemoryError):
        raise
    except Exception as error:
        # Damage shows as many things: RuntimeError from array_record, OSError and SyntaxError from PIL, ParseError
        # from protobuf. They have no common class below this one, and mean the same to the reader.
        raise DatasetCorruptError(
            f"{spec.name}: the prepared copy in {folder} could not be read ({type(error).__name__}: {error}). "
            f"{how_to_replace(folder)}"
        ) from error


def _open(spec: ImageSpec, folder: Path, split_name: str) -> Any:
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
        raise DatasetCorruptError(
            f"{spec.name}: the prepared copy in {folder} lacks {absent}. {how_to_replace(folder)}"
        )
    # The images stay encoded here: decoding them below is faster, and spares a warning that OpenCV is not installed.
    return builder.as_data_source(
        split_name, decoders={"image": tfds.decode.SkipDecoding()}, file_format="array_record"
    )


def _decode(records: list[Any], rows: np.ndarray, image_shape: tuple[int, int, int]) -> Split:
    from PIL import Image

    inputs = np.empty((len(records), *image_shape), np.uint8)
    labels = np.empty(len(records), np.int32)
    # PIL gives grey images without a channel axis.
    decoded_shape = image_shape[:2] if image_shape[2] == 1 else image_shape
    for index, record in enumerate(records):
        pixels = np.asarray(Image.open(io.BytesIO(record["image"])))
        if pixels.shape != decoded_shape or pixels.dtype != np.uint8:
            # Assignment would broadcast or cast it in silence.
            raise ValueError(f"image {rows[index]} is {pixels.dtype} {pixels.shape}, expected uint8 {decoded_shape}")
        inputs[index] = pixels.reshape(image_shape)
        labels[index] = record["label"]
    return Split(inputs, labels)
