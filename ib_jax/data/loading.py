"""The one door to every data set: in memory, or by random access."""

import os
from collections.abc import Callable

from ib_jax.data import cifar10, digits, imagenet, mnist
from ib_jax.data.access import ArraySource, BatchSource, EpochSource, EpochSubset, Subset
from ib_jax.data.crops import CentreCrop, Decode
from ib_jax.data.dataset import Dataset, Split, hold_out, hold_out_rows
from ib_jax.data.imagenet import IMAGE_SIZE, RandomCrops
from ib_jax.data.records import Exact
from ib_jax.data.source import load_splits, open_records, resolve_data_dir
from ib_jax.data.spec import ImageSpec

_SPECS: dict[str, Callable[[], ImageSpec]] = {
    "mnist": mnist.mnist_spec,
    "fashion_mnist": mnist.fashion_mnist_spec,
    "cifar10": cifar10.cifar10_spec,
}

_STREAMED: dict[str, Callable[[], ImageSpec]] = {
    "imagenet2012": imagenet.imagenet_spec,
    "imagenet_a": imagenet.imagenet_a_spec,
}

DATASETS: tuple[str, ...] = ("digits", *_SPECS)
"""The names that `load` knows."""

STREAMED: tuple[str, ...] = tuple(_STREAMED)
"""The names of data sets that do not fit into memory: `open_train` and `open_split` know them, too."""


def load(
    name: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    num_validation: int = 0,
    num_train: int | None = None,
    seed: int = 0,
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
      num_train: keep only the first of the training images that are left then; None or 0 keeps all.
      seed: seed of that draw, for `np.random.default_rng`.

    Returns:
      The data set; inputs uint8 [N, H, W, C], for `digits` float32 [N, 8, 8, 1] in [0, 1]; labels int32 [N].

    Raises:
      ValueError: if there is no such data set, `num_validation` is negative or leaves no training image, or `num_train`
        is negative or more than there are.
      DatasetUnavailableError: if the data set is not there and cannot be downloaded; the message says what to do.
      DatasetCorruptError: if a file is damaged or not the official one.

    Example:
      >>> digits = load("digits", num_validation=237)
      >>> [len(split.labels) for split in (digits.train, digits.validation, digits.test)]
      [1200, 237, 360]
    """
    if name in STREAMED:
        raise ValueError(f"name is {name!r}, which does not fit into memory; take open_train or open_split")
    _check(name, DATASETS, num_validation)
    if num_train is not None and num_train < 0:
        raise ValueError(f"num_train is {num_train}; expected 0 or more, 0 for all training images")
    if name == "digits":
        train, test = digits.load_splits()
        num_classes = digits.NUM_CLASSES
    else:
        spec = _SPECS[name]()
        splits = load_splits(spec, resolve_data_dir(data_dir))
        train, test = splits["train"], splits["test"]
        num_classes = spec.num_classes
    train, validation = hold_out(train, num_validation, seed)
    if num_train:
        if num_train > len(train.labels):
            raise ValueError(f"num_train is {num_train}; {name} has {len(train.labels)} training images to be kept")
        train = Split(*(field[:num_train] for field in train))
    return Dataset(name, train, validation, test, num_classes)


def open_split(
    name: str,
    split: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    image_size: int | None = None,
    num_validation: int = 0,
    seed: int = 0,
) -> BatchSource:
    """Opens a split for evaluation without loading it; each image is read and decoded when it is asked for.

    It reads the same at every call, without augmentation. For `batches`, where the images do not fit into memory. What
    `load` returns as train, validation and test, for the same arguments, is here "train", "held_out" and "test", row by
    row: ImageNet itself has images that it calls "validation".

    Args:
      name: one of `DATASETS` or `STREAMED`.
      split: "train", what is left of the training images; "held_out", those taken out; or a split for testing, which is
        "test", and of imagenet2012 "validation".
      data_dir: the folder in which tensorflow-datasets keeps its data.
      image_size: S, side of the images of `STREAMED` data sets in pixels, by default 224: `data.crops.CentreCrop`. The
        others have a size of their own.
      num_validation: how many training images are held out.
      seed: seed of that draw.

    Returns:
      The images by their row: inputs uint8 [H, W, C], for `digits` float32 [8, 8, 1] in [0, 1]; label int32 []. It can
      be pickled, and read by several threads at once.

    Raises:
      ValueError: if there is no such data set or split, `image_size` is less than 1 or given for a data set that has
        its own, or `num_validation` is negative or leaves no training image.
      DatasetUnavailableError: if the data set is not there and cannot be downloaded; the message says what to do.
      DatasetCorruptError: if the prepared copy is damaged or not what it should be. The number of images is checked
        here, each image and label as it is read.

    Example:
      >>> source = open_split("digits", "held_out", num_validation=237)
      >>> len(source), source[5].inputs.shape, int(source[5].labels)
      (237, (8, 8, 1), 2)
    """
    _check(name, (*DATASETS, *STREAMED), num_validation)
    official = "train" if split == "held_out" else split
    whole: BatchSource
    if name == "digits":
        _check_split(name, split, ("train", "test"))
        _fixed_size(name, (8, 8, 1), image_size)
        whole = ArraySource(digits.load_splits()[("train", "test").index(official)])
    else:
        spec = _spec(name)
        _check_split(name, split, tuple(spec.split_sizes))
        whole = open_records(spec, resolve_data_dir(data_dir), official, _decode(spec, image_size))
    if official != "train":
        return whole
    kept, held_out = hold_out_rows(len(whole), num_validation, seed)
    if split == "held_out":
        return Subset(whole, held_out)
    return Subset(whole, kept) if num_validation else whole


def open_train(
    name: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    image_size: int | None = None,
    num_validation: int = 0,
    seed: int = 0,
    crop_seed: int = 0,
) -> BatchSource | EpochSource:
    """Opens the training images of a data set for `stream`; each is read and decoded when it is asked for.

    Of the `DATASETS`, that is `open_split` of "train", and row i is row i of the training split that `load` returns for
    the same arguments. The `STREAMED` ones are cropped at random, otherwise in each epoch: `data.crops.RandomCrop`.

    Args:
      name: one of `DATASETS`, or "imagenet2012".
      data_dir: the folder in which tensorflow-datasets keeps its data.
      image_size: S, side of the crops in pixels, by default 224; for images of one size there is no choice.
      num_validation: how many training images to leave out, as held out for validation.
      seed: seed of that draw.
      crop_seed: seed of the crops. Each depends on it, the epoch and the image alone, so that a resumed run and any
        number of processes and threads see the same.

    Returns:
      The training images left: a source as of `open_split`, or of random crops an `EpochSource`, whose `at_epoch` gives
      that of an epoch. Both can be pickled, and read by several threads at once.

    Raises:
      ValueError: if there is no such data set or it has no training images, `image_size` is less than 1 or given for a
        data set that has its own, `crop_seed` is negative, or `num_validation` is or leaves no training image.
      DatasetUnavailableError: if the data set is not there and cannot be downloaded; the message says what to do.
      DatasetCorruptError: if the prepared copy is damaged or not what it should be. The number of images is checked
        here, each image and label as it is read.

    Example:
      >>> source = open_train("digits", num_validation=237)
      >>> len(source), source[5].inputs.shape, int(source[5].labels)
      (1200, (8, 8, 1), 4)
    """
    if name not in STREAMED:
        return open_split(
            name, "train", data_dir=data_dir, image_size=image_size, num_validation=num_validation, seed=seed
        )
    _check(name, STREAMED, num_validation)
    spec = _spec(name)
    _check_split(name, "train", tuple(spec.split_sizes))
    records = open_records(spec, resolve_data_dir(data_dir), "train", _decode(spec, image_size))
    crops = RandomCrops(records, IMAGE_SIZE if image_size is None else image_size, crop_seed)
    kept, _ = hold_out_rows(len(records), num_validation, seed)
    return EpochSubset(crops, kept) if num_validation else crops


def _spec(name: str) -> ImageSpec:
    return (_SPECS | _STREAMED)[name]()


def _decode(spec: ImageSpec, image_size: int | None) -> Decode:
    if spec.image_shape is None:
        return CentreCrop(IMAGE_SIZE if image_size is None else image_size)
    _fixed_size(spec.name, spec.image_shape, image_size)
    return Exact(spec.image_shape)


def _fixed_size(name: str, image_shape: tuple[int, int, int], image_size: int | None) -> None:
    if image_size is not None:
        height, width, _ = image_shape
        raise ValueError(f"image_size is {image_size}; {name} has images of {height} x {width} pixels, so leave it out")


def _check_split(name: str, split: str, official: tuple[str, ...]) -> None:
    expected = [*official, "held_out"] if "train" in official else [*official]
    if split not in expected:
        raise ValueError(f"split is {split!r}; {name} has {', '.join(expected)}")


def _check(name: str, known: tuple[str, ...], num_validation: int) -> None:
    if name not in known:
        raise ValueError(f"name is {name!r}; expected one of {', '.join(known)}")
    if num_validation < 0:
        # Before minutes of downloading; the upper limit is known only afterwards.
        raise ValueError(f"num_validation is {num_validation}; expected 0 or more, below the number of training images")
