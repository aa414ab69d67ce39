"""Loads every data set: into memory, or for random access."""

import functools
import os
from collections.abc import Callable

from ib_jax.data import cifar10, digits, imagenet, mnist, own
from ib_jax.data.access import ArraySource, BatchSource, EpochSource, EpochSubset, Subset
from ib_jax.data.class_folders import read_class_folders
from ib_jax.data.crops import CentreCrop, Decode
from ib_jax.data.dataset import Dataset, Split, checksum_of, hold_out, hold_out_rows
from ib_jax.data.imagenet import IMAGE_SIZE, RandomCrops
from ib_jax.data.npz import read_npz
from ib_jax.data.own import OwnData
from ib_jax.data.prepared import prepared_spec
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
    name: str | os.PathLike[str],
    *,
    data_dir: str | os.PathLike[str] | None = None,
    num_validation: int = 0,
    num_train: int | None = None,
    seed: int = 0,
) -> Dataset:
    """Loads a data set into memory, verified.

    `digits` is part of scikit-learn and always there. The others are read from the copy that tensorflow-datasets keeps
    in `data_dir`; without one, it is prepared from raw files in `data_dir`/downloads/manual/`name` or else from
    the network. Reading takes seconds, since every image is stored as a PNG.

    Your own data are named by their path: a `.npz` file (`data.npz.read_npz` says with which arrays); a folder
    of class folders, with a slash or as a `Path` (`data.class_folders.read_class_folders`); or `tfds:NAME`,
    `tfds:NAME/CONFIG`, or either with `:VERSION`, any image classification set that tensorflow-datasets has prepared in
    `data_dir`, if its images have one size. Their test images are the split "test", or else "validation"; with
    neither, a fifth is held out, always drawn with seed 0, so that all runs share one test set.

    Args:
      name: one of `DATASETS`, or your own data.
      data_dir: the folder in which tensorflow-datasets keeps its data; by default $TFDS_DATA_DIR, or else
        ~/tensorflow_datasets. `digits` does not use it.
      num_validation: how many training images to hold out for validation, drawn with `seed`; 0 for none. Test images
        are never touched.
      num_train: keep only this many of the remaining training images, from the first; None or 0 keeps all.
      seed: seed of that draw, for `np.random.default_rng`.

    Returns:
      The data set; inputs uint8 [N, H, W, C], for `digits` float32 [N, 8, 8, 1] in [0, 1], of a `.npz` file either, or
      [N, D]; labels int32 [N].

    Raises:
      ValueError: if there is no such data set, your own data are unusable (the message says why), `num_validation`
        is negative or leaves no training image, or `num_train` is negative or more than there are.
      FileNotFoundError, NotADirectoryError: if there is no such file or folder.
      DatasetUnavailableError: if the data set is not there and cannot be downloaded; the message says what to do.
      DatasetCorruptError: if a file is damaged or not the official one.

    Example:
      >>> digits = load("digits", num_validation=237)
      >>> [len(split.labels) for split in (digits.train, digits.validation, digits.test)]
      [1200, 237, 360]
    """
    name = own.name_of(name)
    if name in STREAMED:
        raise ValueError(f"name is {name!r}, which does not fit into memory; take open_train or open_split")
    _check(name, DATASETS, num_validation)
    if num_train is not None and num_train < 0:
        raise ValueError(f"num_train is {num_train}; expected 0 or more, 0 for all training images")
    read = _read(name) or _read_prepared(_spec(name, data_dir), data_dir)
    whole, test = own.with_test(read, name)
    checksum = checksum_of(whole, test, read.class_names)
    train, validation = hold_out(whole, num_validation, seed)
    if num_train:
        if num_train > len(train.labels):
            raise ValueError(f"num_train is {num_train}; {name} has {len(train.labels)} training images to be kept")
        train = Split(*(field[:num_train] for field in train))
    called = own.short_name(name)
    return Dataset(called, train, validation, test, read.num_classes, read.class_names, read.test_split, checksum)


def open_split(
    name: str | os.PathLike[str],
    split: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    image_size: int | None = None,
    num_validation: int = 0,
    seed: int = 0,
) -> BatchSource:
    """Opens a split for evaluation without loading it; each image is read and decoded when it is asked for.

    It reads the same at every call, without augmentation. For `batches`, if the images do not fit into memory. What
    `load` returns as train, validation and test, for the same arguments, is here "train", "held_out" and "test", row by
    row: ImageNet itself has images that it calls "validation".

    Args:
      name: one of `DATASETS` or `STREAMED`, or your own data as for `load`.
      split: "train", what is left of the training images; "held_out", those taken out; or a split for testing, which is
        "test", and of imagenet2012 "validation".
      data_dir: the folder in which tensorflow-datasets keeps its data.
      image_size: S, side of the images of `STREAMED` data sets, and of other sets with images of many sizes, in pixels,
        by default 224: `data.crops.CentreCrop`. The others have a size of their own.
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
    name = own.name_of(name)
    _check(name, (*DATASETS, *STREAMED), num_validation)
    sources = _sources(name, data_dir, image_size)
    _check_split(name, split, tuple(sources))
    whole = sources["train" if split == "held_out" else split]()
    if split not in ("train", "held_out"):
        return whole
    kept, held_out = hold_out_rows(len(whole), num_validation, seed)
    if split == "held_out":
        return Subset(whole, held_out)
    return Subset(whole, kept) if num_validation else whole


def open_train(
    name: str | os.PathLike[str],
    *,
    data_dir: str | os.PathLike[str] | None = None,
    image_size: int | None = None,
    num_validation: int = 0,
    seed: int = 0,
    crop_seed: int = 0,
) -> BatchSource | EpochSource:
    """Opens the training images of a data set for `stream`; each is read and decoded when it is asked for.

    Of the `DATASETS`, that is `open_split` of "train", and row i is row i of the training split that `load` returns for
    the same arguments. The `STREAMED` ones get new random crops in each epoch: `data.crops.RandomCrop`.

    Args:
      name: one of `DATASETS`, "imagenet2012", or your own data as for `load`.
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
    name = own.name_of(name)
    if name not in STREAMED:
        return open_split(
            name, "train", data_dir=data_dir, image_size=image_size, num_validation=num_validation, seed=seed
        )
    _check(name, STREAMED, num_validation)
    spec = _STREAMED[name]()
    _check_split(name, "train", tuple(spec.split_sizes))
    records = open_records(spec, resolve_data_dir(data_dir), "train", _decode(spec, image_size))
    crops = RandomCrops(records, IMAGE_SIZE if image_size is None else image_size, crop_seed)
    kept, _ = hold_out_rows(len(records), num_validation, seed)
    return EpochSubset(crops, kept) if num_validation else crops


def _read(name: str) -> OwnData | None:
    """The arrays of what does not come through tensorflow-datasets."""
    if name == "digits":
        return OwnData(*digits.load_splits(), digits.NUM_CLASSES)
    if not own.is_own(name) or name.startswith(own.TFDS):
        return None
    return (read_npz if name.endswith(own.NPZ) else read_class_folders)(name)


def _spec(name: str, data_dir: str | os.PathLike[str] | None) -> ImageSpec:
    known = _SPECS | _STREAMED
    return known[name]() if name in known else prepared_spec(name, resolve_data_dir(data_dir))


def _read_prepared(spec: ImageSpec, data_dir: str | os.PathLike[str] | None) -> OwnData:
    splits = load_splits(spec, resolve_data_dir(data_dir))
    tested = spec.test_split if spec.test_split in splits else own.HELD_OUT
    return OwnData(splits["train"], splits.get(tested), spec.num_classes, spec.class_names, tested)


def _sources(
    name: str, data_dir: str | os.PathLike[str] | None, image_size: int | None
) -> dict[str, Callable[[], BatchSource]]:
    """By the name of each split what opens it: the official ones, or those of one's own, "train" and "test"."""
    if read := _read(name):
        _fixed_size(name, read.train.inputs.shape[1:], image_size)
        splits = dict(zip(("train", "test"), own.with_test(read, name), strict=True))
        return {split: functools.partial(ArraySource, examples) for split, examples in splits.items()}
    spec = _spec(name, data_dir)
    decode = _decode(spec, image_size)

    def open_official(split: str) -> BatchSource:
        return open_records(spec, resolve_data_dir(data_dir), split, decode)

    if not name.startswith(own.TFDS):
        return {split: functools.partial(open_official, split) for split in spec.split_sizes}
    if len(spec.split_sizes) > 1:
        return {"train": lambda: open_official("train"), "test": lambda: open_official(spec.test_split)}

    def held_out(part: int) -> BatchSource:
        whole = open_official("train")
        return Subset(whole, own.held_out_for_testing(len(whole))[part])

    return {"train": lambda: held_out(0), "test": lambda: held_out(1)}


def _decode(spec: ImageSpec, image_size: int | None) -> Decode:
    if spec.image_shape is None:
        return CentreCrop(IMAGE_SIZE if image_size is None else image_size)
    _fixed_size(spec.name, spec.image_shape, image_size)
    return Exact(spec.image_shape)


def _fixed_size(name: str, image_shape: tuple[int, ...], image_size: int | None) -> None:
    if image_size is not None:
        size = " x ".join(map(str, image_shape[:2]))
        raise ValueError(f"image_size is {image_size}; {name} has images of {size} pixels, so leave it out")


def _check_split(name: str, split: str, official: tuple[str, ...]) -> None:
    expected = [*official, "held_out"] if "train" in official else [*official]
    if split not in expected:
        raise ValueError(f"split is {split!r}; {name} has {', '.join(expected)}")


def _check(name: str, known: tuple[str, ...], num_validation: int) -> None:
    if name not in known and not own.is_own(name):
        raise ValueError(f"name is {name!r}; expected one of {', '.join(known)}; or {own.FORMS}")
    if num_validation < 0:
        # Checked before minutes of downloading; the upper limit is known only afterwards.
        raise ValueError(f"num_validation is {num_validation}; expected 0 or more, below the number of training images")
