"""Your own data: their names, and a held-out test set if they have none."""

import os
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ib_jax.data.dataset import Split, hold_out_rows
from ib_jax.paths import local_path

FORMS = "a .npz file, a folder of class folders (pets/), or tfds:NAME"
"""What else `load` takes beside its names, for messages."""
TFDS = "tfds:"
NPZ = ".npz"
TEST_SPLITS = ("test", "validation")
"""On which of their splits data are tested: the first of these that they have."""
HELD_OUT = "held out: a fifth of the images, drawn with seed 0"
"""What `Dataset.test_split` says of data that have none. Runs with other seeds are tested on the same images."""


class OwnData(NamedTuple):
    """What a file or folder holds.

    Attributes:
      train: its training images.
      test: its test images, or None if some are to be held out.
      num_classes: the number of classes.
      class_names: in the order of the labels; empty if the classes are only numbered.
      test_split: as of `Dataset`.
    """

    train: Split
    test: Split | None
    num_classes: int
    class_names: tuple[str, ...] = ()
    test_split: str = TEST_SPLITS[0]


def name_of(name: str | os.PathLike[str]) -> str:
    """A name or a path as text; a folder given as a `Path` gets the slash by which it is known.

    Example:
      >>> name_of(Path("pets")), name_of(Path("pets.npz")), name_of("mnist")
      ('pets/', 'pets.npz', 'mnist')
    """
    if isinstance(name, str):
        return name
    text = os.fspath(name)
    return text if text.endswith(NPZ) else f"{text}/"


def is_own(name: str) -> bool:
    """Whether a name means your own data: `tfds:...`, `....npz`, or anything with a slash.

    Example:
      >>> [is_own(name) for name in ("tfds:svhn_cropped", "pets.npz", "pets/", "data/pets", "mnist")]
      [True, True, True, True, False]
    """
    return name.startswith(TFDS) or name.endswith(NPZ) or "/" in name or os.sep in name


def full_name(name: str, argument: str = "name") -> str:
    """The same name with `~` resolved, and a slash after a folder.

    Args:
      name: as a user writes it.
      argument: what it is called in messages.

    Raises:
      ValueError: it is the address of a bucket or a server.

    Example:
      >>> full_name("data/pets"), full_name("data/./pets.npz"), full_name("tfds:svhn_cropped")
      ('data/pets/', 'data/pets.npz', 'tfds:svhn_cropped')
    """
    if not is_own(name) or name.startswith(TFDS):
        return name
    return name_of(local_path(name, argument))


def short_name(name: str) -> str:
    """The name in records and titles: a name as it is, or the last part of a path.

    Example:
      >>> short_name("/home/me/pets/"), short_name("data/pets.npz"), short_name("mnist")
      ('pets/', 'pets.npz', 'mnist')
    """
    if not is_own(name) or name.startswith(TFDS):
        return name
    path = Path(name)
    return name_of(Path(path.name or path.resolve().name))


def stem(name: str) -> str:
    """The short name in a form that file and folder names allow.

    Example:
      >>> stem("/home/me/my pets/"), stem("data/pets.npz"), stem("tfds:emnist/letters"), stem("mnist")
      ('my_pets', 'pets', 'emnist_letters', 'mnist')
    """
    text = short_name(name).removeprefix(TFDS).removesuffix(NPZ)
    return re.sub(r"\W+", "_", text).strip("_") or "data"


def held_out_for_testing(num_images: int) -> tuple[np.ndarray, np.ndarray]:
    """Splits the rows of data without a test split: four fifths for training, one fifth for testing.

    Example:
      >>> [len(rows) for rows in held_out_for_testing(11)]
      [9, 2]
    """
    return hold_out_rows(num_images, max(1, round(num_images / 5)), 0)


def with_test(own: OwnData, name: str) -> tuple[Split, Split]:
    """Training and test images; test images are held out if there are none.

    Raises:
      ValueError: no image of a class would be left to train on.
    """
    if own.test is not None:
        return own.train, own.test
    rows = held_out_for_testing(len(own.train.labels))
    train, test = (Split(*(field[some] for field in own.train)) for some in rows)
    if lost := sorted(set(test.labels.tolist()) - set(train.labels.tolist())):
        missing = own.class_names[lost[0]] if own.class_names else str(lost[0])
        raise ValueError(
            f"name is {name!r}, of which class {missing} has too few images for a fifth to be held out for testing; "
            "give test images as well"
        )
    return train, test
