"""A column with an index, as pandas has it, whose labels are not positions."""

import numpy as np


class Column:
    """`column[label]` goes by the labels of its index, which here are the positions from the end."""

    ndim = 1

    def __init__(self, values):
        self.values = values if isinstance(values, np.ndarray) else np.array(values, object)

    def __len__(self):
        return len(self.values)

    def __iter__(self):
        return iter(self.values)

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype)

    def __getitem__(self, labels):
        return self.values[::-1][labels]

    @property
    def shape(self):
        return self.values.shape

    @property
    def iloc(self):
        return self.values
