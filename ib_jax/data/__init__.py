"""Data sets as NumPy arrays or as a stream of batches: digits (no download), MNIST, Fashion-MNIST, CIFAR-10, ImageNet.

`load` gives arrays, `stream(open_train(...))` the batches of a training run from any step on, and
`batches(open_split(...))` each example of a split once. ImageNet-A and the published corrupted sets (`open_corrupted`)
are for testing only.

Nothing here needs TensorFlow, neither to read nor to prepare, and importing this module loads neither scikit-learn
nor tensorflow-datasets nor grain; they are imported when something that needs them is asked for.
"""

from ib_jax.data.access import ArraySource, BatchSource, EpochSource, Source, Subset
from ib_jax.data.batches import batches
from ib_jax.data.corrupted import CORRUPTIONS, EXTRA_CORRUPTIONS, NUM_SEVERITIES, open_corrupted
from ib_jax.data.dataset import (
    Dataset,
    DatasetCorruptError,
    DatasetUnavailableError,
    Split,
    to_unit_interval,
)
from ib_jax.data.imagenet_a import imagenet_a_classes
from ib_jax.data.loading import DATASETS, STREAMED, load, open_split, open_train
from ib_jax.data.stream import stream

__all__ = [
    "CORRUPTIONS",
    "DATASETS",
    "EXTRA_CORRUPTIONS",
    "NUM_SEVERITIES",
    "STREAMED",
    "ArraySource",
    "BatchSource",
    "Dataset",
    "DatasetCorruptError",
    "DatasetUnavailableError",
    "EpochSource",
    "Source",
    "Split",
    "Subset",
    "batches",
    "imagenet_a_classes",
    "load",
    "open_corrupted",
    "open_split",
    "open_train",
    "stream",
    "to_unit_interval",
]
