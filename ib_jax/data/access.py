"""Random access to examples: what sources are, one over arrays, and those of some rows of another source."""

import dataclasses
import operator
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
      examples: inputs [N, ...] and labels int32 [N].

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
        num_inputs, num_labels = len(self.examples.inputs), len(self.examples.labels)
        if num_inputs != num_labels:
            raise ValueError(f"examples must have one label for each input, got {num_inputs} and {num_labels}")

    def __len__(self) -> int:
        return len(self.examples.labels)

    def __getitem__(self, row: int, /) -> Split:
        return one_row(self, row)

    def read_rows(self, rows: np.ndarray, /) -> Split:
        check_rows(rows, len(self))
        return Split(*(field[rows] for field in self.examples))


@dataclasses.dataclass(frozen=True, eq=False)
class Subset:
    """Some rows of another source, in the order given: one process's share of a split, for instance.

    Attributes:
      source: the source that has them all.
      rows: int [n], its rows.

    Raises:
      IndexError: from reading, if there is no such row.

    Example:
      >>> source = ArraySource(Split(np.arange(12).reshape(3, 4), np.array([7, 8, 9], np.int32)))
      >>> Subset(source, np.array([2, 0])).read_rows(np.array([0])).labels.tolist()
      [9]
    """

    source: Source
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int, /) -> Split:
        return one_row(self, row)

    def read_rows(self, rows: np.ndarray, /) -> Split:
        check_rows(rows, len(self))
        return read_rows(self.source, self.rows[rows])


@dataclasses.dataclass(frozen=True, eq=False)
class EpochSubset:
    """Some rows of a source that is read otherwise in each epoch; the attributes are those of `Subset`."""

    source: EpochSource
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def at_epoch(self, epoch: int, /) -> Subset:
        return Subset(self.source.at_epoch(epoch), self.rows)


def read_rows(source: Source, rows: np.ndarray) -> Split:
    """Reads rows int [n] of any source, at once where it can: inputs [n, H, W, C] and labels int32 [n]."""
    if isinstance(source, BatchSource):
        return source.read_rows(rows)
    examples = [source[row] for row in rows.tolist()]
    inputs, labels = zip(*examples, strict=True)
    return Split(np.stack(inputs), np.array(labels, np.int32))


def one_row(source: BatchSource, row: int) -> Split:
    """One example of a source that reads many: inputs [H, W, C] and label int32 []."""
    return Split(*(field[0] for field in source.read_rows(np.array([operator.index(row)]))))


def check_rows(rows: np.ndarray, size: int) -> None:
    """Refuses rows that a source of `size` examples does not have; negative ones too, which NumPy would count back.

    Args:
      rows: int [n].
      size: number of examples.

    Raises:
      IndexError: at the first row out of range.
    """
    outside = (rows < 0) | (rows >= size)
    if outside.any():
        raise IndexError(f"row is {rows[outside.argmax()]}; expected 0 <= row < {size}, the number of examples")
