"""Texts as a caller hands them over: taken by position, once, and each of them a string.

`column[3]` of a pandas column is what has the label 3, not what stands fourth, so nothing is indexed before it is a
list.
"""

import numbers
from collections.abc import Iterable, Mapping, Set
from typing import Any

import numpy as np


def text_list(texts: Iterable[str], name: str = "texts") -> list[str]:
    """The texts in their order.

    Args:
      texts: N >= 0 strings: a list, a tuple, an array, a column of a table, an iterator.
      name: of the argument, for the message.

    Returns:
      N strings.

    Raises:
      TypeError: `texts` is one string, has no order or more than one axis, or holds anything but strings; the message
        says which, where, and what to do.

    Example:
      >>> from ib_jax.strings import text_list
      >>> text_list(("a good film", "a bad film"))
      ['a good film', 'a bad film']
      >>> text_list([("a premise", "a hypothesis")])
      Traceback (most recent call last):
      TypeError: texts must be strings, got ('a premise', 'a hypothesis') at position 0; join its parts into one string
    """
    if isinstance(texts, str | bytes):
        raise TypeError(f"{name} must be a sequence of strings, got one string, {shown(texts)}; put it in a list")
    # Of a mapping or a table the names would come, of a set any order.
    if not isinstance(texts, Iterable) or isinstance(texts, Mapping | Set) or getattr(texts, "ndim", 1) != 1:
        shape = f" {list(texts.shape)}" if hasattr(texts, "shape") else ""
        raise TypeError(
            f"{name} must be a sequence of strings, got {type(texts).__name__}{shape}; hand over one list, or column, "
            f"of texts, pairs joined into one string"
        )
    found = list(texts)
    for row, text in enumerate(found):
        if type(text) is not str:
            found[row] = string(text, f"{name} must be strings, got {{}} at position {row}")
    return found


def string(value: Any, message: str) -> str:
    """A string as it is, one of NumPy or another kind as a plain one; TypeError with the value and a remedy for others.

    Args:
      value: what should be a string.
      message: what is wrong if it is not, with {} for the value.
    """
    if not isinstance(value, str):
        raise TypeError(f"{message.format(shown(value))}; {_remedy(value)}")
    return str.__str__(value)


def is_unicode(text: str) -> bool:
    r"""Whether it can be encoded: it holds no half of a surrogate pair, such as JSON's "\ud83d" alone.

    Example:
      >>> is_unicode("good \U0001f600"), is_unicode("good \ud83d")
      (True, False)
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def shown(value: Any) -> str:
    """A value for a message: one line, not too long.

    Example:
      >>> shown("one\\nline"), len(shown("a" * 1000))
      ("'one\\\\nline'", 60)
    """
    line = " ".join(part.strip() for part in repr(value).splitlines())  # arrays have several
    return line if len(line) <= 60 else line[:57] + "..."


def _remedy(value: Any) -> str:
    if isinstance(value, bytes):
        return "decode it, as by .decode('utf-8')"
    if isinstance(value, tuple | list | dict | np.ndarray):
        return "join its parts into one string"
    if isinstance(value, numbers.Number) and value == value:
        return "write it as a string"
    return "drop the rows without a text"  # None, NaN, the missing values of pandas
