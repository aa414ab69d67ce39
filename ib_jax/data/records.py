"""A split of a prepared data set as a source: records are read and decoded when they are asked for."""

import contextlib
import copy
import dataclasses
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ib_jax.data.access import check_rows, one_row
from ib_jax.data.advice import how_to_convert, how_to_replace
from ib_jax.data.crops import Decode
from ib_jax.data.dataset import DatasetCorruptError, DatasetUnavailableError, Split
from ib_jax.data.spec import ImageSpec
from ib_jax.files import one_line, visible_damage


class Records:
    """The examples of one split of a prepared copy, read from its files at each access.

    Checks what it reads against `spec`, except the number of examples, which the caller checks. Several threads may
    read at once. A pickled copy opens the files again.

    Args:
      spec: the data set.
      folder: its prepared copy.
      split_name: one of `spec.split_sizes`.
      decode: how an image is decoded.

    Raises:
      DatasetUnavailableError: if the copy is in a format that needs TensorFlow.
      DatasetCorruptError: if it is damaged or lacks the split; from reading, if a record is damaged.
    """

    def __init__(self, spec: ImageSpec, folder: Path, split_name: str, decode: Decode) -> None:
        self._spec, self._folder, self._split_name, self._decode = spec, folder, split_name, decode
        with damage_named(spec, folder):
            self._source = open_split_files(spec, folder, split_name, encoded=(spec.image_key,))

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, row: int, /) -> Split:
        return one_row(self, row)

    def read_rows(self, rows: np.ndarray, /) -> Split:
        """Reads rows int [n] in any order: inputs uint8 [n, H, W, C], labels int32 [n]."""
        rows = check_rows(rows, len(self))
        with damage_named(self._spec, self._folder):
            records = self._source.__getitems__(rows.tolist())
            inputs = np.empty((len(records), *self._decode.image_shape), np.uint8)
            labels = np.empty(len(records), np.int32)
            for index, (record, row) in enumerate(zip(records, rows.tolist(), strict=True)):
                inputs[index] = self._pixels(record, row)
                labels[index] = record[self._spec.label_key]
        self._spec.check_labels(
            self._split_name, labels, where=str(self._folder), remedy=how_to_replace(self._spec, self._folder)
        )
        return Split(inputs, labels)

    def decoded_by(self, decode: Decode) -> "Records":
        """The same records, decoded in another way; the files are not opened again."""
        other = copy.copy(self)
        other._decode = decode
        return other

    def _pixels(self, record: Any, row: int) -> np.ndarray:
        try:
            return self._decode(record[self._spec.image_key], row)
        except (ImportError, MemoryError):
            raise
        except Exception as error:
            # The file's name in the published archive, which ImageNet's records hold.
            name = f" ({record['file_name'].decode()})" if "file_name" in record else ""
            raise DatasetCorruptError(
                f"{self._spec.name}: image {row}{name} of the {self._split_name} split in {self._folder} could not be "
                f"decoded ({type(error).__name__}: {one_line(error)}). {how_to_replace(self._spec, self._folder)}"
            ) from error


@dataclasses.dataclass(frozen=True)
class Exact:
    """Decodes images that all have one shape, uint8 (H, W, C), and refuses any other."""

    image_shape: tuple[int, int, int]

    def __call__(self, encoded: bytes, row: int, /) -> np.ndarray:
        from PIL import Image

        pixels = np.asarray(Image.open(io.BytesIO(encoded)))
        # PIL gives grey images without a channel axis.
        decoded_shape = self.image_shape[:2] if self.image_shape[2] == 1 else self.image_shape
        if pixels.shape != decoded_shape or pixels.dtype != np.uint8:
            # Assignment would silently broadcast or cast it.
            raise ValueError(f"it is {pixels.dtype} {pixels.shape}, expected uint8 {decoded_shape}")
        return pixels.reshape(self.image_shape)


@contextlib.contextmanager
def damage_named(spec: ImageSpec, folder: Path) -> Iterator[None]:
    """Turns whatever goes wrong on reading a prepared copy into a DatasetCorruptError that names the copy."""
    try:
        yield
    except (DatasetUnavailableError, DatasetCorruptError, ImportError, MemoryError):
        raise
    except Exception as error:
        # Damage shows as many things: RuntimeError from array_record, OSError and SyntaxError from PIL, ParseError
        # from protobuf. They have no common class below this one, and mean the same to the reader.
        files = [path for path in sorted(folder.glob("*")) if path.is_file()]
        seen = [f"{path.name} is {damage}" for path in files if (damage := visible_damage(path))]
        raise DatasetCorruptError(
            f"{spec.name}: the prepared copy in {folder} could not be read "
            f"({'; '.join(seen[:3]) or f'{type(error).__name__}: {one_line(error)}'}). {how_to_replace(spec, folder)}"
        ) from error


def open_split_files(spec: ImageSpec, folder: Path, split_name: str, *, encoded: tuple[str, ...] = ()) -> Any:
    """The records of one split of a prepared copy, as tensorflow-datasets gives them by their row.

    Args:
      spec: the data set.
      folder: its prepared copy.
      split_name: one of `spec.split_sizes`.
      encoded: the features that are left as they are stored, bytes.

    Raises:
      DatasetUnavailableError: if the copy is in a format that needs TensorFlow.
      DatasetCorruptError: if it lacks the split.
    """
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(folder)
    formats = sorted(file_format.value for file_format in builder.info.available_file_formats())
    if "array_record" not in formats:
        raise DatasetUnavailableError(
            f"{spec.name}: the prepared copy in {folder} is in {' and '.join(formats) or 'no known'} format, and only "
            f"array_record can be read without TensorFlow. Pass another data_dir, or {how_to_convert(spec, folder)}"
        )
    if split_name not in builder.info.splits:
        raise DatasetCorruptError(
            f"{spec.name}: the prepared copy in {folder} lacks {[split_name]}. {how_to_replace(spec, folder)}"
        )
    # Images stay encoded here: decoding them ourselves is faster, and spares a warning that OpenCV is not installed.
    decoders = {feature: tfds.decode.SkipDecoding() for feature in encoded}
    return builder.as_data_source(split_name, decoders=decoders, file_format="array_record")
