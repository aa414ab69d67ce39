"""The published corrupted test images: CIFAR-10-C, and ImageNet-C as tensorflow-datasets makes it.

Hendrycks and Dietterich 2019, arXiv:1903.12261. Fifteen corruptions form the benchmark, and four more are for model
selection; each has five severities. CIFAR-10-C holds the authors' own images, and is prepared here from their archive.
The `imagenet2012_corrupted` of tensorflow-datasets is computed anew from the validation images (crop of 224 pixels,
stored as JPEG): numbers measured on it are not quite those of the published ImageNet-C.
"""

import functools
import io
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ib_jax.data import cifar10, imagenet
from ib_jax.data.access import BatchSource
from ib_jax.data.dataset import DatasetCorruptError, Split
from ib_jax.data.records import Exact
from ib_jax.data.source import open_records, resolve_data_dir
from ib_jax.data.spec import ImageSpec, RawData, official_files

CORRUPTIONS = (
    *("gaussian_noise", "shot_noise", "impulse_noise"),
    *("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    *("snow", "frost", "fog", "brightness"),
    *("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
)
"""The fifteen of the benchmark, over which mCE is a mean."""

EXTRA_CORRUPTIONS = ("speckle_noise", "gaussian_blur", "spatter", "saturate")
"""Four that were kept apart for choosing hyperparameters."""

NUM_SEVERITIES = 5
"""Each corruption comes at severities 1 to 5."""

_ARCHIVE, _FOLDER = "CIFAR-10-C.tar", "CIFAR-10-C"
_NUM_TEST = 10_000
# tensorflow-datasets has other names for these two of CIFAR-10-C, and the same names for all of ImageNet-C.
_CIFAR10_NAMES = {"glass_blur": "frosted_glass_blur", "elastic_transform": "elastic"}


def open_corrupted(
    name: str, corruption: str, severity: int, *, data_dir: str | os.PathLike[str] | None = None
) -> BatchSource:
    """Opens the test images of a data set under one corruption.

    CIFAR-10-C is prepared at first use, one corruption and severity at a time (24 MB), from its archive (2.9 GB,
    https://zenodo.org/records/2535967) in `data_dir`/downloads/manual/cifar10_corrupted or else from the network.
    ImageNet's has to be prepared with tensorflow-datasets and TensorFlow; the message says how.

    Args:
      name: "cifar10" or "imagenet2012".
      corruption: one of `CORRUPTIONS` or `EXTRA_CORRUPTIONS`.
      severity: 1 to 5.
      data_dir: the folder in which tensorflow-datasets keeps its data.

    Returns:
      The images by their row: inputs uint8 [H, W, 3], 32 x 32 of 10,000 or 224 x 224 of 50,000; label int32 [].

    Raises:
      ValueError: if there is no such data set, corruption or severity.
      DatasetUnavailableError: if it is not there and cannot be downloaded; the message says what to do.
      DatasetCorruptError: if a file is damaged or not the official one.

    Source: Hendrycks and Dietterich 2019, arXiv:1903.12261.

    Example:
      >>> open_corrupted("cifar10", "drizzle", 3)
      Traceback (most recent call last):
      ValueError: corruption is 'drizzle'; expected one of gaussian_noise, ...
    """
    spec = corrupted_spec(name, corruption, severity)
    (split,) = spec.split_sizes
    return open_records(spec, resolve_data_dir(data_dir), split, Exact(spec.one_shape()))


def corrupted_spec(name: str, corruption: str, severity: int) -> ImageSpec:
    """What the corrupted data set must look like; arguments and errors are those of `open_corrupted`."""
    specs = {"cifar10": _cifar10_spec, "imagenet2012": _imagenet_spec}
    if name not in specs:
        raise ValueError(f"name is {name!r}; expected one of {', '.join(specs)}")
    known = (*CORRUPTIONS, *EXTRA_CORRUPTIONS)
    if corruption not in known:
        raise ValueError(f"corruption is {corruption!r}; expected one of {', '.join(known)}")
    if severity not in range(1, NUM_SEVERITIES + 1):
        raise ValueError(f"severity is {severity}; expected 1 to {NUM_SEVERITIES}")
    return specs[name](corruption, severity)


def read_raw(paths: Mapping[str, Path], *, corruption: str, severity: int) -> RawData:
    """Reads one corruption at one severity from the archive of CIFAR-10-C.

    For each corruption it holds an array uint8 [50000, 32, 32, 3]: the 10,000 test images five times, from the lowest
    severity to the highest. The labels have the same order.

    Args:
      paths: the archive by its official name.
      corruption: one of `CORRUPTIONS` or `EXTRA_CORRUPTIONS`.
      severity: 1 to 5.

    Returns:
      The split "test", inputs uint8 [N, 32, 32, 3] and labels int32 [N].

    Raises:
      DatasetCorruptError: if the archive is truncated, lacks an array, or holds a malformed one.
    """
    archive = paths[_ARCHIVE]
    try:
        with tarfile.open(archive, "r:") as tar:
            inputs, labels = (_one_severity(tar, f"{_FOLDER}/{file}.npy", severity) for file in (corruption, "labels"))
    except (tarfile.TarError, OSError, KeyError, ValueError, EOFError) as error:
        raise DatasetCorruptError(
            f"{archive}: expected a whole archive of CIFAR-10-C with {corruption}.npy and labels.npy, found a broken "
            f"one ({type(error).__name__}: {error})"
        ) from error
    return RawData({"test": Split(inputs, labels.astype(np.int32))})


def _one_severity(tar: tarfile.TarFile, member: str, severity: int) -> np.ndarray:
    file = tar.extractfile(member)
    if file is None:
        raise ValueError(f"{member} is not a file")
    # Through memory: NumPy needs what the files inside an archive do not offer.
    array = np.load(io.BytesIO(file.read()), allow_pickle=False)
    num_images, rest = divmod(len(array), NUM_SEVERITIES)
    if rest:
        raise ValueError(f"{member} has {len(array)} rows, expected {NUM_SEVERITIES} times as many as test images")
    return array[(severity - 1) * num_images : severity * num_images]


def _cifar10_spec(corruption: str, severity: int) -> ImageSpec:
    import tensorflow_datasets as tfds

    builder = tfds.builder_cls("cifar10_corrupted")
    return ImageSpec(
        builder=builder,
        split_sizes={"test": _NUM_TEST},
        image_shape=(32, 32, 3),
        num_classes=cifar10.NUM_CLASSES,
        config=f"{_CIFAR10_NAMES.get(corruption, corruption)}_{severity}",
        files=official_files(builder),
        read_raw=functools.partial(read_raw, corruption=corruption, severity=severity),
        loaded_by=f"open_corrupted('cifar10', '{corruption}', {severity})",
    )


def _imagenet_spec(corruption: str, severity: int) -> ImageSpec:
    import tensorflow_datasets as tfds

    return ImageSpec(
        builder=tfds.builder_cls("imagenet2012_corrupted"),
        split_sizes={"validation": 50_000},
        image_shape=(224, 224, 3),
        num_classes=imagenet.NUM_CLASSES,
        config=f"{corruption}_{severity}",
        manual_files=("ILSVRC2012_img_val.tar",),
        needs="opencv-python scikit-image scipy",
    )
