"""Data sets as NumPy arrays or as a stream of batches: digits (no download), MNIST, Fashion-MNIST and CIFAR-10.

Nothing here needs TensorFlow, neither to read nor to prepare, and importing this module loads neither scikit-learn
nor tensorflow-datasets nor grain; they are imported when something that needs them is asked for.
"""

from ib_jax.data.access import ArraySource, BatchSource, Source
from ib_jax.data.dataset import (
    Dataset,
    DatasetCorruptError,
    DatasetUnavailableError,
    Split,
    to_unit_interval,
)
from ib_jax.data.loading import DATASETS, load, open_train
from ib_jax.data.stream import stream

__all__ = [
    "DATASETS",
    "ArraySource",
    "BatchSource",
    "Dataset",
    "DatasetCorruptError",
    "DatasetUnavailableError",
    "Source",
    "Split",
    "load",
    "open_train",
    "stream",
    "to_unit_interval",
]
