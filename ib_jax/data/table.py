"""Rows of a table in text, by Python's `csv`, with fields of any length."""

import csv
import io
import threading
from typing import Any

_LIMIT, _ANY_LENGTH = threading.Lock(), 2**31 - 1


def read_rows(content: str, **dialect: Any) -> list[tuple[int, list[str]]]:
    r"""The rows of a table, empty lines left out.

    `csv` refuses fields of more than 131,072 characters, by a limit that a whole process shares: it is lifted while the
    rows are read.

    Args:
      content: the whole file. Lines end in \n, \r\n or \r.
      dialect: what `csv.reader` is told; commas and quotation marks by default.

    Returns:
      A list of (number of the row's last line, from 1; its fields).

    Raises:
      ValueError: a quotation mark is not closed, or closed before the field ends; the message says in which line the
        row begins.

    Example:
      >>> read_rows('text,label\n"He said ""yes"", twice",1\n')
      [(1, ['text', 'label']), (2, ['He said "yes", twice', '1'])]
    """
    reader = csv.reader(lines(content), strict=True, **dialect)
    rows: list[tuple[int, list[str]]] = []
    first = 1
    with _LIMIT:
        before = csv.field_size_limit(_ANY_LENGTH)
        try:
            for fields in reader:
                if fields:
                    rows.append((reader.line_num, fields))
                first = reader.line_num + 1
        except csv.Error as error:
            message = f"line {first}: is malformed (a quotation mark is not closed, or before the field ends: {error})"
            raise ValueError(message) from error
        finally:
            csv.field_size_limit(before)
    return rows


def lines(content: str) -> io.StringIO:
    r"""The lines of a file, with their ends \n, \r\n or \r; other separators, such as U+2028, are characters of a text.

    Example:
      >>> list(lines("one\r\ntwo"))
      ['one\r\n', 'two']
    """
    return io.StringIO(content, newline="")
