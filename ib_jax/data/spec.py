"""What a data set of images (or texts) must look like: its raw files with checksums, its sizes, its shapes."""

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
    """The content of the raw files.

    Attributes:
      splits: "train" and "test"; inputs uint8 [N, H, W, C], labels int32 [N].
      label_names: the names of the classes where the raw files hold them.
    """

    splits: Mapping[str, Split]
    label_names: tuple[str, ...] | None = None


@dataclasses.dataclass(frozen=True)
class ImageSpec:
    """Everything that the shared mechanism needs to know about one data set.

    Texts have no shape, and use it with `image_shape=None`.

    Attributes:
      builder: the official tensorflow-datasets builder class, whose name, version and features are kept.
      split_sizes: number of images in each split.
      image_shape: (height, width, channels), or None where each image has its own.
      num_classes: number of classes.
      config: name of the builder's configuration, where it has several.
      files: the raw files from which the data set is prepared here; none where the user does that.
      read_raw: reads the raw files, given as {name: path}; raises DatasetCorruptError for a malformed one.
      manual_files: archives that the user has to fetch by hand before tensorflow-datasets can prepare the data set.
      needs: Python packages that preparing it takes besides TensorFlow, where the user does that.
      loaded_by: the call of `ib_jax.data` that loads it, for messages; by default that of `load`.
      image_key: the feature that is the image.
      label_key: the feature that is the label.
      class_names: in the order of the labels, where they are known.
      test_split: the split of `split_sizes` that is tested on, if it is there.
    """

    builder: Any
    split_sizes: Mapping[str, int]
    image_shape: tuple[int, int, int] | None
    num_classes: int
    config: str | None = None
    files: tuple[RawFile, ...] = ()
    read_raw: Callable[[Mapping[str, Path]], RawData] | None = None
    manual_files: tuple[str, ...] = ()
    needs: str = ""
    loaded_by: str | None = None
    image_key: str = "image"
    label_key: str = "label"
    class_names: tuple[str, ...] = ()
    test_split: str = "test"

    @property
    def name(self) -> str:
        """The data set's name in tensorflow-datasets, for example "mnist" or "cifar10_corrupted/fog_3"."""
        return str(self.builder.name) if self.config is None else f"{self.builder.name}/{self.config}"

    @property
    def call(self) -> str:
        """The call of `ib_jax.data` that loads the data set, and prepares it if need be."""
        return self.loaded_by or f"load('{self.name}')"

    @property
    def version(self) -> str:
        """The data set's version in tensorflow-datasets, for example "3.0.1"; a configuration may have its own."""
        config = self.builder.builder_configs.get(self.config)
        return str((config and config.version) or self.builder.VERSION)

    def prepared_dir(self, data_dir: Path) -> Path:
        """The folder in which tensorflow-datasets keeps the prepared copy."""
        return data_dir / self.name / self.version

    def one_shape(self) -> tuple[int, int, int]:
        """The shape that all images have, (height, width, channels).

        Raises:
          ValueError: if each has its own.
        """
        if self.image_shape is None:
            raise ValueError(f"{self.name} has images of many sizes, which make no arrays; open it with open_split")
        return self.image_shape

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
        size, image_shape = self.split_sizes[split_name], self.one_shape()
        expectations = [
            ("image shape", (size, *image_shape), split.inputs.shape),
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
          ValueError: if the labels are secret.
          DatasetCorruptError: if a label is not a class.
        """
        if not labels.size:
            return
        lowest, highest = int(labels.min()), int(labels.max())
        if highest == -1 and split_name != "train":  # as tensorflow-datasets writes a label that is kept secret
            raise ValueError(
                f"{self.name} keeps the labels of its {split_name} split back (those in {where} are -1); give images "
                "that have labels as FILE.npz, with x_train and y_train alone some of them are held out for testing"
            )
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
