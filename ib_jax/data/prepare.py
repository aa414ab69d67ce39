"""Writes the prepared copy of a data set from its raw files, with tensorflow-datasets but without TensorFlow.

The stock builders of MNIST and CIFAR-10 read through `tf.io.gfile` and encode through `tf.image`. Here the raw files
are read with NumPy, and a subclass of the official builder hands over PIL images, which tensorflow-datasets encodes
without help.
"""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ib_jax.data import raw_files
from ib_jax.data.dataset import Split
from ib_jax.data.quiet import no_progress_bars
from ib_jax.data.spec import ImageSpec, RawData
from ib_jax.files import one_line


def is_prepared(folder: Path) -> bool:
    """Whether the folder holds a prepared data set; tensorflow-datasets writes these two files with the data."""
    return all((folder / name).is_file() for name in ("dataset_info.json", "features.json"))


def prepare(spec: ImageSpec, data_dir: Path) -> None:
    """Gets the raw files and writes the prepared copy, in array_record format.

    Everything is verified before anything is written, and the copy is written under another name and moved into place
    once it is whole: what a failure leaves behind can never pass for a prepared copy.

    Args:
      spec: the data set.
      data_dir: the folder in which tensorflow-datasets keeps its data.

    Raises:
      ValueError: if only tensorflow-datasets can prepare it.
      DatasetUnavailableError: if raw files are missing and cannot be downloaded.
      DatasetCorruptError: if a raw file has another checksum, is malformed, or holds something unexpected.
      OSError: if the file system refuses; nothing is left that passes for a prepared copy.
    """
    if spec.read_raw is None:
        raise ValueError(f"{spec.name} cannot be prepared here, but by tensorflow-datasets")
    paths = raw_files.obtain(spec, data_dir)
    raw = spec.read_raw(paths)
    where = ", ".join(str(path) for path in paths.values())
    for name in spec.split_sizes:
        spec.check_split(name, raw.splits[name], where=where, remedy="Replace the raw files and run again.")
    _write(spec, raw, data_dir)


def _write(spec: ImageSpec, raw: RawData, data_dir: Path) -> None:
    import tensorflow_datasets as tfds

    builder = _builder_class(spec.builder)(config=spec.config, data_dir=data_dir, file_format="array_record")
    # On the instance: tensorflow-datasets keeps every builder class for good, and the images would stay with it.
    builder.raw = raw
    try:
        with no_progress_bars():
            builder.download_and_prepare(
                download_dir=data_dir / "downloads",
                download_config=tfds.download.DownloadConfig(try_download_gcs=False),
            )
    except (OSError, RuntimeError) as error:  # the second is array_record's
        # Another process may have put its copy in place meanwhile; it is as good as ours.
        if not is_prepared(spec.prepared_dir(data_dir)):
            kind = type(error) if isinstance(error, OSError) else OSError
            raise kind(
                f"the prepared copy of {spec.name} cannot be written to {spec.prepared_dir(data_dir)} "
                f"({one_line(error)}); give it space and leave to write there, or pass another data_dir"
            ) from error


@functools.cache
def _builder_class(official: Any) -> Any:
    """A builder that differs from the official one only in where its examples come from."""
    from PIL import Image

    class Prepared(official, skip_registration=True):  # type: ignore[call-arg]
        """The official data set, from arrays."""

        name = official.name
        raw: RawData

        def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
            del dl_manager  # the raw files are read already
            if self.raw.label_names is not None:
                self.info.features["label"].names = list(self.raw.label_names)
            return {name: self._generate_examples(name, split) for name, split in self.raw.splits.items()}

        def _generate_examples(self, name: str, split: Split) -> Iterator[tuple[int, dict[str, Any]]]:
            # Keys and ids as in the official builders: the keys decide the order in which the examples are written.
            for index, (image, label) in enumerate(zip(split.inputs, split.labels, strict=True)):
                pixels = image[..., 0] if image.shape[-1] == 1 else image
                example = {"image": Image.fromarray(pixels), "label": int(label)}
                if "id" in self.info.features:
                    example["id"] = f"{name}_{index:05d}"
                yield index, example

        # These two print to standard output.
        def _log_download_bytes(self) -> None:
            pass

        def _log_download_done(self) -> None:
            pass

    return Prepared
