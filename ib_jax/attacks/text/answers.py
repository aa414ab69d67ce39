"""Checks of numbers from the caller or the model: classes, probabilities, tokens, settings."""

import numbers
import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ib_jax.strings import shown


def whole_number(name: str, value: Any) -> int:
    """A setting as an int; TypeError if it is not a whole number."""
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, got {shown(value)}") from None


def classes(name: str, values: Any, count: int) -> np.ndarray:
    """Checks whole numbers, one for each text, by position.

    Args:
      name: of the argument.
      values: int [N]: a list, an array, or a column of a table.
      count: N.

    Returns:
      int [N].

    Raises:
      ValueError: their number is not N, or one is not whole; the message says which one and what to do.

    Example:
      >>> classes("labels", [1, 0], 2)
      array([1, 0])
      >>> classes("labels", [1, float("nan")], 2)
      Traceback (most recent call last):
      ValueError: labels must be int [2], got float64 [2], nan at position 1; drop the rows without a class
    """
    expected = f"{name} must be int [{count}], got"
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{expected} rows of different lengths; give one whole number for each text") from error
    if array.shape != (count,):
        raise ValueError(f"{expected} {array.dtype} {list(array.shape)}; give one whole number for each text")
    if array.dtype.kind in "iu":
        return array
    items = array.tolist()
    wrong = [row for row, item in enumerate(items) if not _is_class(item)]
    if wrong:
        # A column is all floats if one value is missing or has a fraction; report that value first.
        row = next((row for row in wrong if not _is_whole(items[row])), wrong[0])
        raise ValueError(
            f"{expected} {array.dtype} {list(array.shape)}, {shown(items[row])} at position {row}; "
            f"{_class_remedy(items[row])}"
        )
    return np.array(items, np.int64)


def _is_class(item: Any) -> bool:
    return isinstance(item, numbers.Integral) and not isinstance(item, bool) and -(2**63) <= int(item) < 2**63


def _is_whole(item: Any) -> bool:
    return isinstance(item, bool) or (isinstance(item, float) and item.is_integer())


def _class_remedy(item: Any) -> str:
    if isinstance(item, str | bytes):
        return "number the classes from 0"
    if not isinstance(item, numbers.Real) or item != item:  # None, NaN, the missing values of pandas
        return "drop the rows without a class"
    return "convert them to int" if _is_whole(item) else "classes are whole numbers from 0"


def probability_rows(name: str, answers: Any, texts: Sequence[str], num_classes: int | None) -> np.ndarray:
    """Checks the probabilities that a model returns for texts.

    Args:
      name: the function that returned them, "score" or "judge".
      answers: float [n, C].
      texts: the n texts, for the message.
      num_classes: C, if known.

    Returns:
      float64 [n, C].

    Raises:
      ValueError: they are not probabilities, or have another number of classes.

    Example:
      >>> probability_rows("score", [[3.0, -3.0]], ["a film"], None)
      Traceback (most recent call last):
      ValueError: score must return probabilities, at least 0 and of sum 1, got [3.0, -3.0] for 'a film'; put logits
      through a softmax
    """
    expected = f"{name} must return [{len(texts)}, {'C' if num_classes is None else num_classes}]"
    expected += " with C >= 2, got" if num_classes is None else ", the classes it had before, got"
    rows = one_array(answers, f"{expected} {{}}; return the probabilities alone", np.float64)
    if rows.ndim != 2 or len(rows) != len(texts) or rows.shape[1] < 2 or num_classes not in (None, rows.shape[1]):
        raise ValueError(f"{expected} {list(rows.shape)}")
    # Catches logits, which would otherwise pass unnoticed, and NaN.
    right = (rows >= 0).all(-1) & np.isclose(rows.sum(-1), 1, atol=1e-2)
    if not right.all():
        row = int(right.argmin())
        raise ValueError(
            f"{name} must return probabilities, at least 0 and of sum 1, got {shown(rows[row].tolist())} for "
            f"{shown(texts[row])}; put logits through a softmax"
        )
    return rows


def one_array(result: Any, message: str, dtype: Any = None) -> np.ndarray:
    """A model's result as one array; ValueError for several outputs, or for anything that is not an array.

    Args:
      result: of the model.
      message: of the error, with {} for a description of the result.
      dtype: of the array; None keeps its own.
    """
    if isinstance(result, tuple | Mapping):
        # Outputs of the same shape would stack into one array without an error.
        raise ValueError(message.format(f"{type(result).__name__} of {len(result)}"))
    try:
        return np.asarray(result, dtype)
    except (TypeError, ValueError) as error:
        raise ValueError(message.format(f"{type(result).__name__} {shown(result)}")) from error


def token_arrays(tokenised: Any, count: int) -> list[np.ndarray]:
    """The tokens that a tokeniser returned for `count` texts, int32 [n_i] each; ValueError for anything else.

    Example:
      >>> token_arrays([[2, 7, 3]], 1)
      [array([2, 7, 3], dtype=int32)]
    """
    expected = "tokenise must return tokens"
    if isinstance(tokenised, Mapping) or not isinstance(tokenised, Iterable):
        raise ValueError(f"{expected}, int [n] of each text, got {type(tokenised).__name__}; return its token numbers")
    found = list(tokenised)
    if len(found) != count:
        raise ValueError(f"{expected} for each of {count} texts, got {len(found)}")
    return [
        _tokens(one, f"{expected}, int32 [n] of each text, got {{}} for text {row}") for row, one in enumerate(found)
    ]


def _tokens(one: Any, message: str) -> np.ndarray:
    array = one_array(one, message)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise ValueError(message.format(f"{array.dtype} {list(array.shape)}"))
    if array.dtype != np.int32 and array.size and not -(2**31) <= array.min() <= array.max() < 2**31:
        raise ValueError(message.format(f"numbers from {array.min()} to {array.max()}"))
    return array.astype(np.int32, copy=False)
