"""Labelled texts from your own file, such as SST-2's: TSV, CSV or JSON lines."""

import csv
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ib_jax.data.dataset import DatasetCorruptError
from ib_jax.data.table import lines, read_rows
from ib_jax.data.text import TextSplit
from ib_jax.files import visible_damage
from ib_jax.paths import local_file, local_path
from ib_jax.strings import is_unicode, shown, text_list

_Row = tuple[int, dict[str, Any]]  # the number of its last line, and the fields by their columns
_LARGEST = 2**31 - 1
_LOST_PAGE = bytes(16)  # what a power cut or a broken copy leaves; a NUL alone is a character


def read_text_file(
    path: str | os.PathLike[str],
    *,
    text_column: str = "sentence",
    label_column: str = "label",
    class_names: Sequence[str] | None = None,
) -> TextSplit:
    """Reads labelled texts from a UTF-8 file, whose suffix names its format.

    `.tsv` has a header and fields between tabs, in which quotation marks are plain characters, as in GLUE's files
    (SST-2 has the default columns); `.csv` a header and fields between commas, quoted where need be; `.jsonl` an object
    a line. Texts may be of any length.

    Args:
      path: the file.
      text_column: the column, or key, of the texts.
      label_column: that of the labels.
      class_names: the names of the classes, if the file has names for labels; class i is the i-th. By default the
        labels are integers from 0 to 2,147,483,647.

    Returns:
      The N texts in the order of the file, and their labels int32 [N].

    Raises:
      ValueError: if the suffix is another one, or a class is named twice.
      TypeError: if `class_names` is one string, or not all of them are strings.
      FileNotFoundError, IsADirectoryError: if there is no such file, or it is a folder.
      DatasetCorruptError: if it has no example, lacks a column or has it twice, is not UTF-8, holds a block of zeros
        or half of a surrogate pair, or a line is malformed or has no label as expected; the message says which line and
        what is there.

    Example:
      >>> import tempfile
      >>> path = Path(tempfile.mkdtemp()) / "dev.tsv"
      >>> _ = path.write_bytes(b"sentence\\tlabel\\nIt is \\"art\\" .\\t1\\nPlain bad .\\t0\\n")
      >>> read_text_file(path)
      TextSplit(texts=('It is "art" .', 'Plain bad .'), labels=array([1, 0], dtype=int32))
    """
    path = local_path(path, "path")
    if path.suffix.lower() not in _READERS:
        raise ValueError(f"path is {str(path)!r}; expected a file ending in {', '.join(_READERS)}")
    path = local_file(path, "path")
    numbers = None if class_names is None else _numbered(class_names)
    expected = f"an integer from 0 to {_LARGEST}" if numbers is None else f"one of {_short(', '.join(numbers))}"
    rows = _READERS[path.suffix.lower()](_content(path))
    texts, labels = [], []
    try:
        for line, fields in rows:
            for column in (text_column, label_column):
                if column not in fields:
                    raise ValueError(
                        f"line {line}: there is no column {column!r}; there are {_short(', '.join(fields))}"
                    )
            text, label = fields[text_column], _class_of(fields[label_column], numbers)
            if not isinstance(text, str):
                raise ValueError(f"line {line}: {text_column} is {shown(text)}; expected a text")
            if not is_unicode(text):
                raise ValueError(
                    f"line {line}: {text_column} holds half of a surrogate pair, in {shown(text)}; take it out"
                )
            if label is None:
                raise ValueError(f"line {line}: {label_column} is {shown(fields[label_column])}; expected {expected}")
            texts.append(text)
            labels.append(label)
    except ValueError as error:
        raise DatasetCorruptError(f"{path}, {error}") from error
    if not texts:
        raise DatasetCorruptError(f"{path} has no examples; expected at least one below the header")
    return TextSplit(tuple(texts), np.array(labels, np.int32))


def _numbered(class_names: Sequence[str]) -> dict[str, int]:
    names = text_list(class_names, "class_names")
    numbers = {name: number for number, name in enumerate(names)}
    if len(numbers) < len(names):
        raise ValueError(f"class_names is {tuple(names)}; expected each name once")
    return numbers


def _content(path: Path) -> str:
    written = path.read_bytes()
    lost = written.find(_LOST_PAGE)
    if lost >= 0:  # zeros are valid UTF-8, and would pass as text
        line = 1 + written.count(b"\n", 0, lost)
        raise DatasetCorruptError(f"{path}, line {line}: holds a block of zeros, so it is damaged; copy it again")
    damage = visible_damage(path)
    if damage not in (None, "empty"):
        raise DatasetCorruptError(f"{path} is {damage}")
    try:
        # Spreadsheets begin their CSV files with a mark that would become part of the first column's name.
        return written.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = 1 + error.object.count(b"\n", 0, error.start)
        raise DatasetCorruptError(f"{path}, line {line}: is not UTF-8 ({error.reason}); save it as UTF-8") from error


def _class_of(value: Any, numbers: dict[str, int] | None) -> int | None:
    """The class of a label as the file has it, or None if it is not one."""
    if numbers is not None:
        return numbers.get(value) if isinstance(value, str) else None
    if isinstance(value, str):
        # Python refuses to convert thousands of digits.
        digits = value.strip().lstrip("0") or value.strip()[:1]
        value = int(digits) if digits.isdecimal() and len(digits) <= 10 else None
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST else None


def _read_table(content: str, **dialect: Any) -> Iterator[_Row]:
    rows = iter(read_rows(content, **dialect))
    _, names = next(rows, (0, []))
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"line 1: there are several columns {_short(repr(name))}; expected each name once")
    for line, fields in rows:
        if len(fields) != len(names):
            surplus = "more" if len(fields) > len(names) else "fewer"
            raise ValueError(f"line {line}: has {surplus} fields than the {len(names)} of the header")
        yield line, dict(zip(names, fields, strict=True))


def _read_json_lines(content: str) -> Iterator[_Row]:
    for line, written in enumerate(lines(content), start=1):
        if not written.strip():
            continue
        try:
            fields = json.loads(written)
        except (ValueError, RecursionError) as error:  # a number of thousands of digits is a plain ValueError
            raise ValueError(f"line {line}: is no JSON ({error})") from error
        if not isinstance(fields, dict):
            raise ValueError(f"line {line}: is {shown(written.strip())}; expected an object {{...}}")
        yield line, fields


def _short(line: str) -> str:
    line = line.encode("utf-8", "backslashreplace").decode()  # half of a surrogate pair could not be printed
    return line if len(line) <= 200 else line[:197] + "..."


_READERS: dict[str, Callable[[str], Iterator[_Row]]] = {
    ".tsv": lambda content: _read_table(content, delimiter="\t", quoting=csv.QUOTE_NONE),
    ".csv": _read_table,
    ".jsonl": _read_json_lines,
}
