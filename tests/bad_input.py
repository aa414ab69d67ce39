"""One row of the tables of bad inputs, and what is asked of every row.

The tables lie beside the tests of what they belong to: `tests/data/bad_input_test.py` and others by that name.
"""

import pathlib
from collections.abc import Callable
from typing import NamedTuple

import pytest

MOST = 400  # characters of a message, folders of the test left out


class Case(NamedTuple):
    """A bad input.

    Attributes:
      id: says what is bad.
      call: given an empty folder, makes the input there and hands it over.
      error: the class that must be raised.
      words: what the message must say: which argument or file, its value, what would be right. "DIR" is the folder.
      lines: of the message: one, unless it lists settings that differ.
    """

    id: str
    call: Callable[[pathlib.Path], object]
    error: type[Exception]
    words: tuple[str, ...]
    lines: int = 1


def refused(case: Case, folder: pathlib.Path) -> None:
    """Asserts that the input is refused as the row says, in one line that is not too long."""
    with pytest.raises(case.error) as raised:
        case.call(folder)
    message = str(raised.value).replace(str(folder), "DIR")
    missing = [word for word in case.words if word not in message]
    assert not missing, f"{missing} not in {message!r}"
    assert len(message.splitlines()) <= case.lines, f"more than {case.lines} lines: {message!r}"
    assert len(message) <= MOST, f"{len(message)} characters: {message!r}"
    assert message.isprintable() or case.lines > 1, f"not printable: {message!r}"


def table(*cases: Case) -> pytest.MarkDecorator:
    """Parametrises a test with `case`."""
    return pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in cases])
