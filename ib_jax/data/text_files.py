"""Labelled texts from a file of one's own, such as SST-2's: TSV, CSV or JSON lines."""

import csv
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from ib_jax.data.dataset import DatasetCorruptError
from ib_jax.data.text import TextSplit

_Row = tuple[int, dict[str, Any]]  # the number of its last line, and the fields by their columns


def read_text_file(
    path: str | os.PathLike[str],
    *,
    text_column: str = "sentence",
    label_column: str = "label",
    class_names: Sequence[str] | None = None,
) -> TextSplit:
    """Reads labelled texts from a UTF-8 file, whose suffix says what it is.

    `.tsv` has a header and fields between tabs, in which quotation marks are plain characters, as in GLUE's files
    (SST-2 has the default columns); `.csv` a header and fields between commas, quoted where need be; `.jsonl` an object
    a line.

    Args:
      path: the file.
      text_column: the column, or key, of the texts.
      label_column: that of the labels.
      class_names: the names of the classes, if the file has names for labels; class i is the i-th. By default the
        labels are integers from 0.

    Returns:
      The N texts in the order of the file, and their labels int32 [N].

    Raises:
      ValueError: if the suffix is another one, or a class is named twice.
      FileNotFoundError: if there is no such file.
      DatasetCorruptError: if it has no example, lacks a column, or a line is malformed or has no label as expected; the
        message says which line and what is there.

    Example:
      >>> import tempfile
      >>> path = Path(tempfile.mkdtemp()) / "dev.tsv"
      >>> _ = path.write_text("sentence\\tlabel\\nIt is \\"art\\" .\\t1\\nPlain bad .\\t0\\n")
      >>> read_text_file(path)
      TextSplit(texts=('It is "art" .', 'Plain bad .'), labels=array([1, 0], dtype=int32))
    """
    path = Path(path)
    if path.suffix.lower() not in _READERS:
        raise ValueError(f"path is {str(path)!r}; expected a file ending in {', '.join(_READERS)}")
    numbers = None if class_names is None else {name: number for number, name in enumerate(class_names)}
    if class_names is not None and numbers is not None and len(numbers) < len(class_names):
        raise ValueError(f"class_names is {tuple(class_names)}; expected each name once")
    texts, labels = [], []
    try:
        # utf-8-sig: spreadsheets begin their CSV files with a mark that would become part of the first column's name.
        with path.open(encoding="utf-8-sig", newline="") as file:
            for line, fields in _READERS[path.suffix.lower()](file, path):
                for column in (text_column, label_column):
                    if column not in fields:
                        raise DatasetCorruptError(
                            f"{path}, line {line}: there is no column {column!r}; there are {', '.join(fields)}"
                        )
                text, label = fields[text_column], _class_of(fields[label_column], numbers)
                if not isinstance(text, str):
                    raise DatasetCorruptError(f"{path}, line {line}: {text_column} is {text!r}; expected a text")
                if label is None:
                    expected = "an integer from 0" if numbers is None else f"one of {', '.join(numbers)}"
                    raise DatasetCorruptError(
                        f"{path}, line {line}: {label_column} is {fields[label_column]!r}; expected {expected}"
                    )
                texts.append(text)
                labels.append(label)
    except UnicodeDecodeError as error:
        raise DatasetCorruptError(f"{path} is not UTF-8 ({error}); save it as UTF-8") from error
    if not texts:
        raise DatasetCorruptError(f"{path} has no examples; expected at least one below the header")
    return TextSplit(tuple(texts), np.array(labels, np.int32))


def _class_of(value: Any, numbers: dict[str, int] | None) -> int | None:
    """The class of a label as the file has it, or None if it is not one."""
    if numbers is not None:
        return numbers.get(value) if isinstance(value, str) else None
    if isinstance(value, str):
        return int(value) if value.strip().isdecimal() else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _read_table(file: TextIO, path: Path, **dialect: Any) -> Iterator[_Row]:
    reader = csv.DictReader(file, strict=True, restkey=None, restval=None, **dialect)
    try:
        for fields in reader:
            # DictReader files surplus fields under None, and fills absent ones with None.
            if None in fields or None in fields.values():
                surplus = "more" if None in fields else "fewer"
                raise DatasetCorruptError(
                    f"{path}, line {reader.line_num}: has {surplus} fields than the {len(reader.fieldnames or ())} "
                    f"of the header"
                )
            yield reader.line_num, fields
    except csv.Error as error:
        raise DatasetCorruptError(f"{path}, line {reader.reader.line_num}: is malformed ({error})") from error


def _read_tsv(file: TextIO, path: Path) -> Iterator[_Row]:
    return _read_table(file, path, delimiter="\t", quoting=csv.QUOTE_NONE)


def _read_json_lines(file: TextIO, path: Path) -> Iterator[_Row]:
    for line, written in enumerate(file, start=1):
        if not written.strip():
            continue
        try:
            fields = json.loads(written)
        except json.JSONDecodeError as error:
            raise DatasetCorruptError(f"{path}, line {line}: is no JSON ({error})") from error
        if not isinstance(fields, dict):
            raise DatasetCorruptError(f"{path}, line {line}: is {written.strip()[:60]!r}; expected an object {{...}}")
        yield line, fields


_READERS: dict[str, Callable[[TextIO, Path], Iterator[_Row]]] = {
    ".tsv": _read_tsv,
    ".csv": _read_table,
    ".jsonl": _read_json_lines,
}
