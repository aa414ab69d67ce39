"""Data sets of texts in memory."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ib_jax.data.access import check_rows
from ib_jax.data.dataset import hold_out_rows
from ib_jax.strings import text_list


class TextSplit(NamedTuple):
    """Texts with their labels.

    Attributes:
      texts: N strings.
      labels: int32 [N], in 0..C-1.
    """

    texts: tuple[str, ...]
    labels: np.ndarray


class TextDataset(NamedTuple):
    """A data set of texts with its splits.

    Attributes:
      name: the name it was loaded by.
      train: what is left of the training texts after `validation` was taken out.
      validation: training texts held out, or None when none were asked for. Never test texts.
      test: the test texts, always all of them and in the same order.
      class_names: the names of the C classes.
    """

    name: str
    train: TextSplit
    validation: TextSplit | None
    test: TextSplit
    class_names: tuple[str, ...]


def take_texts(split: TextSplit, rows: np.ndarray | Sequence[int]) -> TextSplit:
    """Some rows of a split, in the order given.

    Args:
      split: N texts. They and their labels count by position, also if they are columns of a table with an index.
      rows: int [n], each 0 <= row < N; none as well.

    Returns:
      n texts with their labels int32 [n].

    Raises:
      TypeError: if the texts are not strings, or the rows are not integers, for example a mask.
      ValueError: if there is not a label for each text.
      IndexError: if there is no such row; a negative one is none.

    Example:
      >>> split = TextSplit(("a", "b", "c"), np.array([0, 1, 0], np.int32))
      >>> take_texts(split, [2, 1])
      TextSplit(texts=('c', 'b'), labels=array([0, 1], dtype=int32))
    """
    texts, labels = text_list(split.texts), np.asarray(split.labels)
    if len(texts) != len(labels):
        raise ValueError(f"split must have one label for each text, got {len(texts)} texts and {len(labels)} labels")
    chosen = check_rows(np.asarray(rows), len(texts))
    return TextSplit(tuple(texts[row] for row in chosen.tolist()), labels[chosen])


def hold_out_texts(train: TextSplit, num_validation: int, seed: int) -> tuple[TextSplit, TextSplit | None]:
    """Takes a validation split out of the training texts, by the same draw as `hold_out` does with images.

    Args:
      train: the training texts, N of them.
      num_validation: how many to hold out, 0 <= num_validation < N.
      seed: seed of the draw.

    Returns:
      The remaining training split and the validation split, which is None when `num_validation` is 0.

    Raises:
      ValueError: if `num_validation` is negative or leaves no training text.

    Example:
      >>> split = TextSplit(tuple("abcde"), np.arange(5, dtype=np.int32))
      >>> rest, validation = hold_out_texts(split, 2, seed=0)
      >>> rest.texts, validation.texts
      (('c', 'd', 'e'), ('a', 'b'))
    """
    kept, held_out = hold_out_rows(len(train.labels), num_validation, seed)
    if num_validation == 0:
        return train, None
    return take_texts(train, kept), take_texts(train, held_out)
