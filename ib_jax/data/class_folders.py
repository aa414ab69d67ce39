"""Images in folders, one for each class."""

import os
from pathlib import Path

import numpy as np

from ib_jax.data.dataset import DatasetCorruptError, Split
from ib_jax.data.own import HELD_OUT, TEST_SPLITS, OwnData
from ib_jax.files import reading
from ib_jax.paths import local_path

_GREY = ("1", "L")
_DEEP = ("I", "F")
"""Modes of Pillow with more than eight bits, also as "I;16", which it would cut off in place of scaling."""


def read_class_folders(path: str | os.PathLike[str]) -> OwnData:
    """Reads the images of FOLDER/train/CLASS/* and FOLDER/test/CLASS/*, or of FOLDER/CLASS/*.

    A class has the name of its folder; classes and images are in the order of their names. Without `test`, `validation`
    is the test split. Names that begin with a dot are left out; any other file must be an image that Pillow reads, all
    of one size. If every image is grey, they have one channel; otherwise all become RGB, and transparency is dropped.

    Args:
      path: of the folder.

    Returns:
      What it holds, inputs uint8 [N, H, W, 1] or [N, H, W, 3].

    Raises:
      FileNotFoundError, NotADirectoryError: there is no such folder.
      DatasetCorruptError: a file is not a complete image.
      ValueError: a folder has no images, an image is of another size or has more than eight bits, or a class of the
        test images has no training images.

    Example:
      >>> import tempfile
      >>> from PIL import Image
      >>> folder = Path(tempfile.mkdtemp())
      >>> for name in ("dog/1.png", "cat/1.png", "cat/2.png"):
      ...     (folder / name).parent.mkdir(exist_ok=True)
      ...     Image.new("L", (6, 8)).save(folder / name)
      >>> pets = read_class_folders(folder)
      >>> pets.train.inputs.shape, pets.train.labels.tolist(), pets.class_names
      ((3, 8, 6, 1), [0, 0, 1], ('cat', 'dog'))
    """
    folder = local_path(path, "name")
    if not folder.is_dir():
        kind: type[OSError] = NotADirectoryError if folder.exists() else FileNotFoundError
        what = "is a file" if folder.exists() else "is not there"
        raise kind(f"name is {str(folder)!r}, which {what}; give a folder of class folders, or a .npz file")
    train_folder, test_split = folder, HELD_OUT
    splits = [name for name in TEST_SPLITS if (folder / name).is_dir()]
    if (folder / "train").is_dir():
        train_folder, test_split = folder / "train", splits[0] if splits else HELD_OUT
    names = tuple(each.name for each in _listed(train_folder))
    if len(names) < 2:
        raise ValueError(f"{train_folder} has {len(names)} class folders; expected two at least, such as CLASS/1.png")
    files = [_files(train_folder, names)]
    if test_split != HELD_OUT:
        unknown = sorted({each.name for each in _listed(folder / test_split)} - set(names))
        if unknown:
            raise ValueError(f"{folder / test_split / unknown[0]} is of no class of {train_folder}: {', '.join(names)}")
        files.append(_files(folder / test_split, tuple(each.name for each in _listed(folder / test_split))))
    pixels = _read([file for split in files for file in split])
    labels = [np.array([names.index(file.parent.name) for file in split], np.int32) for split in files]
    train = Split(pixels[: len(labels[0])], labels[0])
    test = Split(pixels[len(labels[0]) :], labels[1]) if len(labels) > 1 else None
    return OwnData(train, test, len(names), names, test_split)


def _listed(folder: Path) -> list[Path]:
    return sorted(each for each in folder.iterdir() if not each.name.startswith("."))


def _files(folder: Path, names: tuple[str, ...]) -> list[Path]:
    """The images of the classes of a folder."""
    found = []
    for name in names:
        if not (folder / name).is_dir():
            raise ValueError(f"{folder / name} is a file beside class folders; move it away")
        found += (own := _listed(folder / name))
        inner = next((each for each in own if each.is_dir()), None)
        if not own or inner is not None:
            what = f"{inner} is a folder in" if own else f"{folder / name} has no images as"
            raise ValueError(f"{what} the folder of a class; expected FOLDER/CLASS/* or FOLDER/train/CLASS/*")
    return found


def _read(files: list[Path]) -> np.ndarray:
    """Their pixels, uint8 [N, H, W, 1] if all are grey, otherwise [N, H, W, 3]."""
    from PIL import Image

    images: list[np.ndarray] = []
    size = None
    for file in files:
        with reading(file, "replace it, or move it away", DatasetCorruptError), Image.open(file) as image:
            image.load()
            grey, mode = image.mode in _GREY, image.mode
            pixels = None if mode.startswith(_DEEP) else np.asarray(image.convert("L" if grey else "RGB"))
        if pixels is None:
            raise ValueError(f"{file} has more than eight bits for each value (mode {mode}); save it with eight")
        size = size or image.size
        if image.size != size:
            raise ValueError(f"{file} is {_told(image.size)} and {files[0]} {_told(size)}; make all of one size")
        images.append(pixels)
    if any(pixels.ndim == 3 for pixels in images):
        images = [pixels if pixels.ndim == 3 else np.stack([pixels] * 3, axis=-1) for pixels in images]
        return np.stack(images)
    return np.stack(images)[..., np.newaxis]


def _told(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]} pixels"
