"""Rows of a table in text, between commas or tabs, with fields of any length.

Python's own `csv` refuses fields of more than 131,072 characters, by a limit that all readers of a process share.
"""

import re
from collections.abc import Iterator

# Quoted, with the quotation marks inside doubled; or plain, in which such a mark that is not the first means itself.
# Then what follows: a comma, the end of a line or of the file, or none of these after a closing quotation mark.
_FIELD = re.compile(
    r'(?:"(?P<quoted>[^"]*+(?:""[^"]*+)*+)"|(?P<plain>[^",\r\n][^,\r\n]*+|(?!")))(?P<end>,|\r\n|\r|\n|\Z|)'
)
_LINE = re.compile(r"\r\n|\r|\n")


def comma_rows(content: str) -> Iterator[tuple[int, list[str]]]:
    r"""The rows of comma-separated values (RFC 4180), empty lines left out.

    Args:
      content: the whole file. Lines end in \n, \r\n or \r.

    Returns:
      An iterator of (number of the row's last line, from 1; its fields).

    Raises:
      ValueError: from the iterator, if a quotation mark is not closed, or closed before the field ends; the message
        says in which line.

    Example:
      >>> list(comma_rows('text,label\n"He said ""yes"", twice",1\n'))
      [(1, ['text', 'label']), (2, ['He said "yes", twice', '1'])]
    """
    line, at = 1, 0
    fields: list[str] = []
    while at < len(content) or fields:
        found = _FIELD.match(content, at)
        if found is None:
            raise ValueError(f"line {line}: is malformed (a quotation mark is not closed)")
        plain, quoted, end = found["plain"], found["quoted"], found["end"]
        if quoted is not None:
            line += sum(1 for _ in _LINE.finditer(quoted))
            if not end and found.end() < len(content):
                raise ValueError(f"line {line}: is malformed (a quotation mark is closed before the field ends)")
        fields.append(plain if quoted is None else quoted.replace('""', '"'))
        at = found.end()
        if end == ",":
            continue
        if fields != [""] or quoted is not None:
            yield line, fields
        line, fields = line + 1, []


def tab_rows(content: str) -> Iterator[tuple[int, list[str]]]:
    r"""The rows of tab-separated values, in which quotation marks are plain characters; empty lines left out.

    Args:
      content: the whole file. Lines end in \n, \r\n or \r.

    Returns:
      An iterator of (number of the row's line, from 1; its fields).

    Example:
      >>> list(tab_rows('text\tlabel\nIt is "art\t1\n'))
      [(1, ['text', 'label']), (2, ['It is "art', '1'])]
    """
    return ((line, row.split("\t")) for line, row in lines(content) if row)


def lines(content: str) -> Iterator[tuple[int, str]]:
    r"""The lines of a file with their numbers, from 1, without their ends \n, \r\n or \r.

    Other separators, such as U+2028, are characters of a text.

    Example:
      >>> list(lines("one\r\ntwo"))
      [(1, 'one'), (2, 'two')]
    """
    return enumerate(_LINE.split(content), start=1)
