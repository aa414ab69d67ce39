"""What an image data set must look like: its raw files with checksums, its sizes, its shapes."""

import dataclasses
import posixpath
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ib_jax.data.dataset import DatasetCorruptError, Split


class RawFile(NamedTuple):
    """A file as its publisher offers it.

    Attributes:
      name: file name.
      url: where the publisher offers it.
      num_bytes: its exact length in bytes.
      sha256: its checksum, in hexadecimal.
    """

    name: str
    url: str
    num_bytes: int
    sha256: str


class RawData(NamedTuple):
    """What the raw files say.

    Attributes:
      splits: "train" and "test"; inputs uint8 [N, H, W, C], labels int32 [N].
      label_names: the names of the classes where the raw files hold them.
    """

    splits: Mapping[str, Split]
    label_names: tuple[str, ...] | None = None


@dataclasses.dataclass(frozen=True)
class ImageSpec:
    """Everything that the shared mechanism needs to know about one data set.

    Attributes:
      builder: the official tensorflow-datasets builder class, whose name, version and features are kept.
      files: the raw files.
      split_sizes: number of images in each split.
      image_shape: (height, width, channels).
      num_classes: number of classes.
      read_raw: reads the raw files, given as {name: path}; raises DatasetCorruptError for a malformed one.
    """

    builder: Any
    files: tuple[RawFile, ...]
    split_sizes: Mapping[str, int]
    image_shape: tuple[int, int, int]
    num_classes: int
    read_raw: Callable[[Mapping[str, Path]], RawData]

    @property
    def name(self) -> str:
        """The data set's name in tensorflow-datasets, for example "mnist"."""
        return str(self.builder.name)

    @property
    def version(self) -> str:
        """The data set's version in tensorflow-datasets, for example "3.0.1"."""
        return str(self.builder.VERSION)

    def prepared_dir(self, data_dir: Path) -> Path:
        """The folder in which tensorflow-datasets keeps the prepared copy."""
        return data_dir / self.name / self.version

    def check_split(self, split_name: str, split: Split, *, where: str, remedy: str) -> None:
        """Checks number, shapes, dtypes and label range of a split.

        Args:
          split_name: "train" or "test".
          split: what was read.
          where: the file or folder it was read from, for the message.
          remedy: what to do about a mismatch, for the message.

        Raises:
          DatasetCorruptError: at the first mismatch, with what was expected and what was found.
        """
        size = self.split_sizes[split_name]
        expectations = [
            ("image shape", (size, *self.image_shape), split.inputs.shape),
            ("image dtype", np.dtype(np.uint8), split.inputs.dtype),
            ("label shape", (size,), split.labels.shape),
            ("label dtype", np.dtype(np.int32), split.labels.dtype),
        ]
        for what, expected, found in expectations:
            if expected != found:
                raise DatasetCorruptError(
                    f"{self.name}: the {split_name} split in {where} has {what} {found}, expected {expected}. {remedy}"
                )
        self.check_labels(split_name, split.labels, where=where, remedy=remedy)

    def check_labels(self, split_name: str, labels: np.ndarray, *, where: str, remedy: str) -> None:
        """Checks the range of labels, int [n]; the other arguments are those of `check_split`.

        Raises:
          DatasetCorruptError: if a label is not a class.
        """
        if not labels.size:
            return
        lowest, highest = int(labels.min()), int(labels.max())
        if lowest < 0 or highest >= self.num_classes:
            raise DatasetCorruptError(
                f"{self.name}: the {split_name} split in {where} has labels in {lowest}..{highest}, expected "
                f"0..{self.num_classes - 1}. {remedy}"
            )


def official_files(builder: Any) -> tuple[RawFile, ...]:
    """The raw files of an official builder, from the checksum table that tensorflow-datasets ships."""
    return tuple(
        RawFile(info.filename or posixpath.basename(url), url, int(info.size), info.checksum)
        for url, info in builder.url_infos.items()
    )
