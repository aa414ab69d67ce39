"""Data sets in memory, and the errors of loading them."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ib_jax.files import DamagedFileError


class DatasetUnavailableError(RuntimeError):
    """The data set is not on this machine and could not be fetched; the message says where to get it."""


class DatasetCorruptError(DamagedFileError):
    """A file of the data set is wrong; the message names the file, what was expected and what it holds."""


class Split(NamedTuple):
    """Images with their labels.

    Attributes:
      inputs: [N, H, W, C], uint8 in 0..255 or float32 in [0, 1]; `to_unit_interval` turns the first into the second.
        Your own feature vectors are [N, D].
      labels: int32 [N], in 0..num_classes-1.
    """

    inputs: np.ndarray
    labels: np.ndarray


class Dataset(NamedTuple):
    """A data set with its splits.

    Attributes:
      name: the name it was loaded by; of a path the last part, "pets.npz" or "pets/".
      train: what is left of the training images after `validation` was taken out.
      validation: training images held out, or None when none were asked for. Never test images.
      test: the test images, always all of them and in the same order.
      num_classes: the number of classes.
      class_names: the names of the classes in the order of their labels; empty if they are only numbered.
      test_split: where `test` comes from: "test", "validation", or how it was held out of the training images.
      checksum: of all its images and labels, however they are stored and whatever is held out; "" if it is not known.
    """

    name: str
    train: Split
    validation: Split | None
    test: Split
    num_classes: int
    class_names: tuple[str, ...] = ()
    test_split: str = "test"
    checksum: str = ""


def to_unit_interval(inputs: np.ndarray | jax.Array) -> jax.Array:
    """Scales images to [0, 1]: x / 255 for uint8; floating-point images pass through unchanged.

    Pure and jittable, so that uint8 images can travel to the device and be scaled there.

    Args:
      inputs: uint8 [...], or floating point [...] that is taken to be scaled already.

    Returns:
      float32 [...] in [0, 1] for uint8, otherwise the inputs as they are.

    Raises:
      TypeError: if the inputs are neither uint8 nor floating point, since their scale is then unknown.

    Example:
      >>> import numpy as np
      >>> to_unit_interval(np.array([0, 51, 255], np.uint8)).tolist()
      [0.0, 0.2, 1.0]
      >>> to_unit_interval(np.array([0.25], np.float32)).tolist()
      [0.25]
    """
    images = jnp.asarray(inputs)
    if images.dtype == jnp.uint8:
        return images.astype(jnp.float32) / 255.0
    if jnp.issubdtype(images.dtype, jnp.floating):
        return images
    raise TypeError(f"inputs has dtype {images.dtype}; expected uint8 in 0..255 or floating point in [0, 1]")


def checksum_of(train: Split, test: Split, class_names: Sequence[str] = ()) -> str:
    """The first 16 digits of the SHA-256 of images, labels and the names of classes.

    Args:
      train: the training images, before any are held out.
      test: the test images.
      class_names: in the order of the labels.

    Example:
      >>> split = Split(np.zeros((1, 2), np.uint8), np.zeros(1, np.int32))
      >>> checksum_of(split, split)
      '5015f4ec0ccb9b7c'
    """
    digest = hashlib.sha256("\0".join(class_names).encode())
    for array in (*train, *test):
        digest.update(f"{array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:16]


def hold_out(train: Split, num_validation: int, seed: int) -> tuple[Split, Split | None]:
    """Takes a validation split out of the training images.

    The validation images are the last `num_validation` of `np.random.default_rng(seed).permutation(N)`, in that order;
    the rest keeps its original order. The two are disjoint, and together they are the training images.

    Args:
      train: the training images, N of them.
      num_validation: how many to hold out, 0 <= num_validation < N.
      seed: seed of the permutation.

    Returns:
      The remaining training split and the validation split, which is None when `num_validation` is 0.

    Raises:
      ValueError: if `num_validation` is negative or leaves no training image.

    Example:
      >>> images = Split(np.arange(5), np.arange(5, dtype=np.int32))
      >>> rest, validation = hold_out(images, 2, seed=0)
      >>> sorted([*rest.inputs.tolist(), *validation.inputs.tolist()])
      [0, 1, 2, 3, 4]
    """
    kept, held_out = hold_out_rows(len(train.labels), num_validation, seed)
    if num_validation == 0:
        return train, None
    fields = [np.asarray(field) for field in train]  # a pandas column would take rows for labels of its index
    return Split(*(field[kept] for field in fields)), Split(*(field[held_out] for field in fields))


def hold_out_rows(num_train: int, num_validation: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows of the training images that `hold_out` keeps, in their order, and of those that it takes out.

    Args:
      num_train: number of training images, N.
      num_validation: how many to hold out, 0 <= num_validation < N, or 0.
      seed: seed of the permutation.

    Returns:
      int [N - num_validation] and int [num_validation].

    Raises:
      ValueError: if `num_validation` is negative or leaves no training image.

    Example:
      >>> kept, held_out = hold_out_rows(5, 2, seed=0)
      >>> kept.tolist(), held_out.tolist()
      ([2, 3, 4], [0, 1])
    """
    if num_validation and not 0 <= num_validation < num_train:
        raise ValueError(
            f"num_validation is {num_validation}; expected 0 <= num_validation < {num_train}, "
            f"the number of training images"
        )
    permutation = np.random.default_rng(seed).permutation(num_train)
    num_kept = num_train - num_validation
    return np.sort(permutation[:num_kept]), permutation[num_kept:]
