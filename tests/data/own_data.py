"""Images with labels, and the forms in which users keep theirs: a `.npz` file, class folders, a prepared set."""

import numpy as np
from PIL import Image

from ib_jax import data
from ib_jax.data.quiet import no_progress_bars

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (20, 6, 5, 3), np.uint8)
LABELS = np.arange(20) % 3
GREY = IMAGES[..., 0]
NAMES = np.array(["ant", "bee", "cat"])
HELD_ROWS = np.random.default_rng(0).permutation(20)[-4:]
KEPT_ROWS = np.sort(np.random.default_rng(0).permutation(20)[:-4])


def saved(folder, **arrays):
    np.savez(folder / "own.npz", **arrays)
    return str(folder / "own.npz")


def put(folder, images, labels, names=NAMES, suffix=".png"):
    """Writes images into folders of their classes, named so that their order is the given one."""
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = folder / names[label] / f"{index:03d}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return folder


def prepare(data_dir, splits, *, name="own_set", supervised=None, file_format="array_record", **features):
    """A prepared set of the user's own making; `features` are those of its records, by default an image and a label."""
    import tensorflow_datasets as tfds

    kinds = features or {"image": tfds.features.Image(shape=(6, 5, 3)), "label": tfds.features.ClassLabel(names=NAMES)}

    class Made(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.2.0")

        def _info(self):
            features = tfds.features.FeaturesDict(kinds)
            return tfds.core.DatasetInfo(builder=self, features=features, supervised_keys=supervised)

        def _split_generators(self, dl_manager):
            del dl_manager
            return {split: self._generate_examples(examples) for split, examples in splits.items()}

        def _generate_examples(self, examples):
            yield from enumerate(examples)

    Made.name = name
    with no_progress_bars():
        Made(data_dir=data_dir, file_format=file_format).download_and_prepare()
    return data_dir


def examples(images=IMAGES, labels=LABELS):
    return [{"image": Image.fromarray(image), "label": int(label)} for image, label in zip(images, labels, strict=True)]


def same(split, inputs, labels):
    np.testing.assert_array_equal(split.inputs, inputs)
    np.testing.assert_array_equal(split.labels, labels)
    assert split.labels.dtype == np.int32


def same_opened(name, loaded, **options):
    """`open_split` gives the rows of `load`."""
    for split, arrays in (("train", loaded.train), ("held_out", loaded.validation), ("test", loaded.test)):
        source = data.open_split(name, split, **options)
        same(source.read_rows(np.arange(len(source))), *arrays)
