"""Random access to examples: the protocols of sources, a source over arrays, and a subset of a source."""

import dataclasses
import operator
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from ib_jax.data.dataset import Split


class Source(Protocol):
    """Examples by row number: `source[i]` is example i, 0 <= i < len(source).

    `source[i]` is a Split without the leading axis: inputs [H, W, C] and label int32 []. It is the same at every call,
    and several threads may ask for it at once.
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
    """Examples that change with the epoch, such as random crops; `stream` reads each step from its epoch.

    `at_epoch(epoch)` is the source of that epoch, with `len` examples. It is the same at every call, and cheap: it is
    called for every step. There is nothing to read without an epoch, so no caller reuses the same crops by mistake.
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
      TypeError: the rows are not integers, for example a mask.
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
    """Some rows of an `EpochSource`; the attributes are those of `Subset`."""

    source: EpochSource
    rows: np.ndarray

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", row_numbers(self.rows))

    def __len__(self) -> int:
        return len(self.rows)

    def at_epoch(self, epoch: int, /) -> Subset:
        return Subset(self.source.at_epoch(epoch), self.rows)


def read_rows(source: Source, rows: np.ndarray) -> Split:
    """Reads rows int [n] of any source, at once if it can: inputs [n, H, W, C] and labels int32 [n].

    With no rows, the shape is that of the first example.
    """
    if isinstance(source, BatchSource):
        return source.read_rows(rows)
    if not len(rows) and not len(source):
        raise ValueError("source has no examples, so that the shape of none of them is not known")
    examples = [source[row] for row in rows.tolist() or [0]]
    inputs, labels = zip(*examples, strict=True)
    return Split(np.stack(inputs)[: len(rows)], np.array(labels, np.int32)[: len(rows)])


def one_row(source: BatchSource, row: int) -> Split:
    """Reads one example of a `BatchSource`: inputs [H, W, C] and label int32 []."""
    return Split(*(field[0] for field in source.read_rows(np.array([operator.index(row)]))))


def check_rows(rows: np.ndarray, size: int) -> np.ndarray:
    """Refuses rows that a source of `size` examples does not have; also negative ones, which NumPy counts from the end.

    Args:
      rows: int [n].
      size: number of examples.

    Returns:
      int [n], always an array.

    Raises:
      TypeError: they are not integers, for example a mask.
      IndexError: at the first row out of range.
    """
    rows = row_numbers(rows)
    outside = (rows < 0) | (rows >= size)
    if outside.any():
        raise IndexError(f"row is {rows[outside.argmax()]}; expected 0 <= row < {size}, the number of examples")
    return rows


def row_numbers(rows: np.ndarray | Sequence[int]) -> np.ndarray:
    """Converts row numbers to an array; a row number is a position, not an index label.

    Args:
      rows: int [n]: an array, a list, a range, a column of a table.

    Returns:
      int [n].

    Raises:
      TypeError: they are anything else, for example a mask, which would be read as rows 0 and 1.

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
    """Makes an array of a field that [] does not index by position; keeps memory maps and HDF5, which read by row.

    Args:
      field: [N, ...]: an array, a list, a column of a table, which [] indexes by label.
    """
    return np.asarray(field) if isinstance(field, list | tuple) or hasattr(field, "iloc") else field
