"""Texts as a caller hands them over: taken by position, once, and each of them a string."""

from collections.abc import Iterable, Mapping, Set
from typing import Any


def text_list(texts: Iterable[str], name: str = "texts") -> list[str]:
    """The texts in their order, which a pandas column, for instance, would give by the labels of its index.

    Args:
      texts: N >= 0 strings: a list, a tuple, an array, a column of a table, an iterator.
      name: of the argument, for the message.

    Returns:
      N strings.

    Raises:
      TypeError: `texts` is one string, has no order or more than one axis, or holds anything but strings; the message
        says which, where, and what to do.

    Example:
      >>> text_list(["a good film", None])
      Traceback (most recent call last):
      TypeError: texts must be strings, got None at position 1; drop the rows without a text, join pairs into one string
    """
    if isinstance(texts, str | bytes):
        raise TypeError(f"{name} is one {type(texts).__name__}, {shown(texts)}; expected a list of them")
    # Of a mapping or a table the names would come, of a set any order.
    if not isinstance(texts, Iterable) or isinstance(texts, Mapping | Set) or getattr(texts, "ndim", 1) != 1:
        raise TypeError(f"{name} is {type(texts).__name__}; expected one list, or column, of strings")
    found = list(texts)
    for row, text in enumerate(found):
        if not isinstance(text, str):
            raise TypeError(
                f"{name} must be strings, got {shown(text)} at position {row}; drop the rows without a text, join "
                f"pairs into one string"
            )
    return found


def shown(value: Any) -> str:
    """A value for a message: one line, not too long.

    Example:
      >>> shown("one\\nline"), len(shown("a" * 1000))
      ("'one\\\\nline'", 60)
    """
    line = " ".join(part.strip() for part in repr(value).splitlines())  # arrays have several
    return line if len(line) <= 60 else line[:57] + "..."
