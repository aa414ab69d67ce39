"""Data sets as NumPy arrays: digits (no download), MNIST, Fashion-MNIST and CIFAR-10.

Nothing here needs TensorFlow, neither to read nor to prepare, and importing this module loads neither scikit-learn
nor tensorflow-datasets; they are imported when a data set that needs them is asked for.
"""

from ib_jax.data.dataset import (
    Dataset,
    DatasetCorruptError,
    DatasetUnavailableError,
    Split,
    to_unit_interval,
)
from ib_jax.data.loading import DATASETS, load

__all__ = [
    "DATASETS",
    "Dataset",
    "DatasetCorruptError",
    "DatasetUnavailableError",
    "Split",
    "load",
    "to_unit_interval",
]
