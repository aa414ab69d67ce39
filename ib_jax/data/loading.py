"""The one door to every data set: in memory, or by random access."""

import os
from collections.abc import Callable

from ib_jax.data import cifar10, digits, mnist
from ib_jax.data.access import ArraySource, BatchSource, Subset
from ib_jax.data.dataset import Dataset, hold_out, hold_out_rows
from ib_jax.data.source import load_splits, open_split, resolve_data_dir
from ib_jax.data.spec import ImageSpec

_SPECS: dict[str, Callable[[], ImageSpec]] = {
    "mnist": mnist.mnist_spec,
    "fashion_mnist": mnist.fashion_mnist_spec,
    "cifar10": cifar10.cifar10_spec,
}

DATASETS: tuple[str, ...] = ("digits", *_SPECS)
"""The names that `load` knows."""


def load(
    name: str, *, data_dir: str | os.PathLike[str] | None = None, num_validation: int = 0, seed: int = 0
) -> Dataset:
    """Loads a data set into memory, verified.

    `digits` is part of scikit-learn and always there. The others are read from the copy that tensorflow-datasets keeps
    in `data_dir`; where there is none it is prepared, from raw files in `data_dir`/downloads/manual/`name` or else from
    the network. Reading takes seconds, since every image is stored as a PNG.

    Args:
      name: one of `DATASETS`.
      data_dir: the folder in which tensorflow-datasets keeps its data; by default $TFDS_DATA_DIR, or else
        ~/tensorflow_datasets. `digits` does not use it.
      num_validation: how many training images to hold out for validation, drawn with `seed`; 0 for none. Test images
        are never touched.
      seed: seed of that draw, for `np.random.default_rng`.

    Returns:
      The data set; inputs uint8 [N, H, W, C], for `digits` float32 [N, 8, 8, 1] in [0, 1]; labels int32 [N].

    Raises:
      ValueError: if there is no such data set, or `num_validation` is negative or leaves no training image.
      DatasetUnavailableError: if the data set is not there and cannot be downloaded; the message says what to do.
      DatasetCorruptError: if a file is damaged or not the official one.

    Example:
      >>> digits = load("digits", num_validation=237)
      >>> [len(split.labels) for split in (digits.train, digits.validation, digits.test)]
      [1200, 237, 360]
    """
    _check(name, num_validation)
    if name == "digits":
        train, test = digits.load_splits()
        num_classes = digits.NUM_CLASSES
    else:
        spec = _SPECS[name]()
        splits = load_splits(spec, resolve_data_dir(data_dir))
        train, test = splits["train"], splits["test"]
        num_classes = spec.num_classes
    train, validation = hold_out(train, num_validation, seed)
    return Dataset(name, train, validation, test, num_classes)


def open_train(
    name: str, *, data_dir: str | os.PathLike[str] | None = None, num_validation: int = 0, seed: int = 0
) -> BatchSource:
    """Opens the training images of a data set without loading them; each is read and decoded when it is asked for.

    For `stream`, where the images do not fit into memory. Row i is row i of the training split that `load` returns for
    the same arguments, which are `load`'s. `digits` are arrays anyway.

    Args:
      name: one of `DATASETS`.
      data_dir: the folder in which tensorflow-datasets keeps its data.
      num_validation: how many training images to leave out, as held out for validation.
      seed: seed of that draw.

    Returns:
      The training images left, by their row: inputs uint8 [H, W, C], for `digits` float32 [8, 8, 1] in [0, 1]; label
      int32 []. It can be pickled, and read by several threads at once.

    Raises:
      ValueError: if there is no such data set, or `num_validation` is negative or leaves no training image.
      DatasetUnavailableError: if the data set is not there and cannot be downloaded; the message says what to do.
      DatasetCorruptError: if the prepared copy is damaged or not what it should be. The number of images is checked
        here, each image and label as it is read.

    Example:
      >>> source = open_train("digits", num_validation=237)
      >>> len(source), source[5].inputs.shape, int(source[5].labels)
      (1200, (8, 8, 1), 4)
    """
    _check(name, num_validation)
    source: BatchSource
    if name == "digits":
        source = ArraySource(digits.load_splits()[0])
    else:
        source = open_split(_SPECS[name](), resolve_data_dir(data_dir), "train")
    kept, _ = hold_out_rows(len(source), num_validation, seed)
    return Subset(source, kept) if num_validation else source


def _check(name: str, num_validation: int) -> None:
    if name not in DATASETS:
        raise ValueError(f"name is {name!r}; expected one of {', '.join(DATASETS)}")
    if num_validation < 0:
        # Before minutes of downloading; the upper limit is known only afterwards.
        raise ValueError(f"num_validation is {num_validation}; expected 0 or more, below the number of training images")
