"""Random access to examples: what sources are, one over arrays, and those of some rows of another source."""

import dataclasses
import operator
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from ib_jax.data.dataset import Split


class Source(Protocol):
    """Examples by their row: `len(source)` of them, the example of row 0 <= i < len(source) being `source[i]`.

    `source[i]` is a Split without the leading axis: inputs [H, W, C] and label int32 []. It is the same at every call,
    and may be asked for by several threads at once.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, row: int, /) -> Split: ...


@runtime_checkable
class BatchSource(Source, Protocol):
    """A source that reads many rows at once in less time than one by one; `stream` makes use of it.

    `read_rows` takes rows int [n] in any order, each 0 <= row < len(source), and returns inputs [n, H, W, C] and labels
    int32 [n].
    """

    def read_rows(self, rows: np.ndarray, /) -> Split: ...


@runtime_checkable
class EpochSource(Protocol):
    """Examples that are read otherwise in each epoch, as random crops are; `stream` reads each step from its epoch.

    `at_epoch(epoch)` is the source of that epoch, as long as `len` says. It is the same at every call, and cheap: it is
    called for every step. Without an epoch there is nothing to read, so that no caller can take the same crops for ever
    unawares.
    """

    def __len__(self) -> int: ...

    def at_epoch(self, epoch: int, /) -> Source: ...


@dataclasses.dataclass(frozen=True, eq=False)
class ArraySource:
    """A source over arrays, which may be memory-mapped: only the rows asked for are read.

    Attributes:
      examples: inputs [N, ...] and labels int32 [N]. Lists and pandas columns become arrays, and their rows count by
        position.

    Raises:
      ValueError: inputs and labels differ in number.
      IndexError: from reading, if there is no such row.

    Example:
      >>> source = ArraySource(Split(np.arange(12).reshape(3, 4), np.array([7, 8, 9], np.int32)))
      >>> len(source), source[1].inputs.tolist(), int(source[1].labels)
      (3, [4, 5, 6, 7], 8)
      >>> source.read_rows(np.array([2, 0])).labels.tolist()
      [9, 7]
    """

    examples: Split

    def __post_init__(self) -> None:
        object.__setattr__(self, "examples", Split(by_position(self.examples.inputs), np.asarray(self.examples.labels)))
        num_inputs, num_labels = len(self.examples.inputs), len(self.examples.labels)
        if num_inputs != num_labels:
            raise ValueError(f"examples must have one label for each input, got {num_inputs} and {num_labels}")

    def __len__(self) -> int:
        return len(self.examples.labels)

    def __getitem__(self, row: int, /) -> Split:
        return one_row(self, row)

    def read_rows(self, rows: np.ndarray, /) -> Split:
        """The examples of rows int [n], in their order."""
        rows = check_rows(rows, len(self))
        return Split(*(field[rows] for field in self.examples))


@dataclasses.dataclass(frozen=True, eq=False)
class Subset:
    """Some rows of another source, in the order given: one process's share of a split, for instance.

    Attributes:
      source: the source that has them all.
      rows: int [n], its rows.

    Raises:
      TypeError: the rows are no whole numbers, such as a mask.
      IndexError: from reading, if there is no such row.

    Example:
      >>> source = ArraySource(Split(np.arange(12).reshape(3, 4), np.array([7, 8, 9], np.int32)))
      >>> Subset(source, np.array([2, 0])).read_rows(np.array([0])).labels.tolist()
      [9]
    """

    source: Source
    rows: np.ndarray

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", row_numbers(self.rows))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int, /) -> Split:
        return one_row(self, row)

    def read_rows(self, rows: np.ndarray, /) -> Split:
        """The examples of rows int [n], counted within the subset, in their order."""
        rows = check_rows(rows, len(self))
        return read_rows(self.source, self.rows[rows])


@dataclasses.dataclass(frozen=True, eq=False)
class EpochSubset:
    """Some rows of a source that is read otherwise in each epoch; the attributes are those of `Subset`."""

    source: EpochSource
    rows: np.ndarray

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", row_numbers(self.rows))

    def __len__(self) -> int:
        return len(self.rows)

    def at_epoch(self, epoch: int, /) -> Subset:
        return Subset(self.source.at_epoch(epoch), self.rows)


def read_rows(source: Source, rows: np.ndarray) -> Split:
    """Reads rows int [n] of any source, at once where it can: inputs [n, H, W, C] and labels int32 [n].

    Of no rows the shape is that of the first example.
    """
    if isinstance(source, BatchSource):
        return source.read_rows(rows)
    if not len(rows) and not len(source):
        raise ValueError("source has no examples, so that the shape of none of them is not known")
    examples = [source[row] for row in rows.tolist() or [0]]
    inputs, labels = zip(*examples, strict=True)
    return Split(np.stack(inputs)[: len(rows)], np.array(labels, np.int32)[: len(rows)])


def one_row(source: BatchSource, row: int) -> Split:
    """One example of a source that reads many: inputs [H, W, C] and label int32 []."""
    return Split(*(field[0] for field in source.read_rows(np.array([operator.index(row)]))))


def check_rows(rows: np.ndarray, size: int) -> np.ndarray:
    """Refuses rows that a source of `size` examples does not have; negative ones too, which NumPy would count back.

    Args:
      rows: int [n].
      size: number of examples.

    Returns:
      int [n], an array whatever `rows` was.

    Raises:
      TypeError: they are no whole numbers, such as a mask.
      IndexError: at the first row out of range.
    """
    rows = row_numbers(rows)
    outside = (rows < 0) | (rows >= size)
    if outside.any():
        raise IndexError(f"row is {rows[outside.argmax()]}; expected 0 <= row < {size}, the number of examples")
    return rows


def row_numbers(rows: np.ndarray | Sequence[int]) -> np.ndarray:
    """Numbers of rows as an array, by their position in whatever holds them.

    Args:
      rows: int [n]: an array, a list, a range, a column of a table.

    Returns:
      int [n].

    Raises:
      TypeError: they are anything else, such as a mask, which would be taken for rows 0 and 1.

    Example:
      >>> row_numbers(range(3)).tolist()
      [0, 1, 2]
      >>> row_numbers([True, False])
      Traceback (most recent call last):
      TypeError: rows must be int [n], got bool [2]; np.flatnonzero makes rows of a mask
    """
    array = np.asarray(rows)
    if array.shape == (0,):
        return array.astype(np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        remedy = "np.flatnonzero makes rows of a mask" if array.dtype.kind == "b" else "give whole numbers from 0"
        raise TypeError(f"rows must be int [n], got {array.dtype} {list(array.shape)}; {remedy}")
    return array


def by_position(field: np.ndarray) -> np.ndarray:
    """An array of what [] would take otherwise than by position. What reads its own rows stays: a memory map, HDF5.

    Args:
      field: [N, ...]: an array, a list, a column of a table, whose [] goes by the labels of an index.
    """
    return np.asarray(field) if isinstance(field, list | tuple) or hasattr(field, "iloc") else field
