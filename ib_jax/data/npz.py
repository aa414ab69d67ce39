"""Images and labels in a `.npz` file, as Keras and many others leave them."""

import os
from collections.abc import Mapping

import numpy as np

from ib_jax.data.dataset import DatasetCorruptError, Split
from ib_jax.data.own import HELD_OUT, OwnData
from ib_jax.files import read_arrays
from ib_jax.paths import local_file

_TRAIN = (("x_train", "y_train"), ("x", "y"), ("images", "labels"))
_TEST = ("x_test", "y_test")
_CHANNELS = (1, 2, 3, 4)


def read_npz(path: str | os.PathLike[str]) -> OwnData:
    """Reads the images and labels of a `.npz` file.

    It holds `x_train` and `y_train`, or `x` and `y`, or `images` and `labels`; `x_test` and `y_test` if there is a test
    split; and `class_names`, if the classes have names.

    Images are [N, H, W, C], [N, H, W], which get one channel, or feature vectors [N, D]; uint8 in 0..255, or floating
    point in [0, 1], which becomes float32 and is not scaled. Labels are [N] or [N, 1]: integers 0..C-1, each
    present, or names, numbered in the order of `class_names` or else alphabetically.

    Args:
      path: of the file. It is read without pickles.

    Returns:
      What it holds.

    Raises:
      FileNotFoundError: there is none.
      DatasetCorruptError: it is damaged, or holds objects.
      ValueError: an array is missing, or has a wrong shape, type or value.

    Example:
      >>> import tempfile
      >>> path = os.path.join(tempfile.mkdtemp(), "pets.npz")
      >>> np.savez(path, x=np.zeros((4, 8, 8), np.uint8), y=["dog", "cat", "cat", "dog"])
      >>> pets = read_npz(path)
      >>> pets.train.inputs.shape, pets.train.labels.tolist(), pets.class_names
      ((4, 8, 8, 1), [1, 0, 0, 1], ('cat', 'dog'))
    """
    file = local_file(path, "name")
    arrays = read_arrays(file, "save it anew with np.savez, names as np.array([...], str)", DatasetCorruptError)
    # The arrays of `keys`; messages call each by its name in the file.
    keys = next((pair for pair in _TRAIN if set(pair) & set(arrays)), None)
    if keys is None or not set(keys) <= set(arrays) or len(set(_TEST) & set(arrays)) == 1:
        expected = "x_train, y_train, x_test and y_test; or x and y, of which a fifth is held out for testing"
        raise ValueError(f"{file} has the arrays {', '.join(arrays) or 'none'}; expected {expected}")
    pairs = [keys] + [_TEST] * (_TEST[0] in arrays)
    try:
        names = _names(arrays, keys[1])
        splits = [Split(_images(arrays, x), _labels(arrays, y, names)) for x, y in pairs]
        for (x, y), split in zip(pairs, splits, strict=True):
            _check(len(split.inputs) == len(split.labels) > 0, f"{x} and {y} have {len(split.inputs)} and "
                   f"{len(split.labels)} rows", "one label for each image, and one image at least")  # fmt: skip
            same = (split.inputs.shape[1:], split.inputs.dtype) == (splits[0].inputs.shape[1:], splits[0].inputs.dtype)
            _check(same, f"{x} is {_told(split.inputs)} and {keys[0]} {_told(splits[0].inputs)}", "images of one kind")
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None
    written = tuple(map(str, names)) if names.dtype.kind == "U" else ()
    test = splits[1] if len(splits) > 1 else None
    return OwnData(splits[0], test, names.size, written, HELD_OUT if test is None else "test")


def _images(arrays: Mapping[str, np.ndarray], key: str) -> np.ndarray:
    images = arrays[key]
    _check(images.ndim in (2, 3, 4), f"{key} is {_told(images)}", "[N, H, W, C], [N, H, W] or [N, D]")
    if images.ndim == 4 and images.shape[1] in _CHANNELS and images.shape[3] not in _CHANNELS:
        _check(False, f"{key} is {_told(images)}", f"channels last; np.moveaxis({key}, 1, -1) puts them there")
    kinds = "uint8 in 0..255, or floating point in [0, 1]"
    _check(images.dtype == np.uint8 or images.dtype.kind == "f", f"{key} is {_told(images)}", kinds)
    if images.dtype.kind == "f":
        low, high = images.min(initial=0.0), images.max(initial=0.0)  # NaN, if there is one
        _check(0.0 <= low <= high <= 1.0, f"{key} is {_told(images)} with values in {low:g}..{high:g}", kinds)
        images = images.astype(np.float32)
    return images[..., np.newaxis] if images.ndim == 3 else images


def _names(arrays: Mapping[str, np.ndarray], key: str) -> np.ndarray:
    """The classes as labels have them, numbers or names, in the order of their numbers."""
    used = np.unique(_flat(arrays, key))
    if "class_names" in arrays:
        names = arrays["class_names"].astype(str)
        _check(names.ndim == 1 and len(set(names.tolist())) == names.size, "class_names has a name twice", "[C] names")
    elif used.dtype.kind == "U":
        names = used
    else:
        names = np.arange(used.max(initial=-1) + 1)
        missing = sorted(set(names.tolist()) - set(used.tolist()))
        _check(not missing, f"{key} has no label {missing[:1]} below {names.size - 1}", "0..C-1, or class_names of all")
    _check(names.size > 1, f"{key} has {names.size} classes", "two at least")
    return names


def _labels(arrays: Mapping[str, np.ndarray], key: str, names: np.ndarray) -> np.ndarray:
    labels = _flat(arrays, key)
    if labels.dtype.kind == "U":
        order = np.argsort(names)
        places = np.minimum(np.searchsorted(names, labels, sorter=order), names.size - 1)
        numbers = order[places]
        unknown = labels[names[numbers] != labels]
    else:
        numbers, unknown = labels, labels[(labels < 0) | (labels >= names.size)]
    if unknown.size:
        known = ", ".join(map(str, names)) if names.dtype.kind == "U" else f"0..{names.size - 1}"
        _check(False, f"{key} has the label {unknown[0]}", known)
    return numbers.astype(np.int32)


def _flat(arrays: Mapping[str, np.ndarray], key: str) -> np.ndarray:
    labels = arrays[key]
    if labels.ndim == 2 and labels.shape[1] == 1:  # as Keras has those of CIFAR-10
        labels = labels[:, 0]
    expected = "[N] whole numbers 0..C-1 or names; y.argmax(1) makes numbers of one-hot labels"
    _check(labels.ndim == 1 and labels.dtype.kind in "iuUS", f"{key} is {_told(arrays[key])}", expected)
    return labels.astype(str) if labels.dtype.kind == "S" else labels


def _told(array: np.ndarray) -> str:
    return f"{array.dtype} {list(array.shape)}"


def _check(holds: bool, found: str, expected: str) -> None:
    if not holds:
        raise ValueError(f"{found}; expected {expected}")
