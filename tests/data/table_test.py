"""Rows of a table: what Python's `csv` writes comes back, of any length, and a mistake is named by its line."""

import csv
import io
import threading

import pytest

from ib_jax.data.table import read_rows


def test_whatever_python_writes_comes_back_of_any_length():
    rows = [["a,b", 'say "so"', ""], ["two\nlines", "x" * 300_000, "\u2028"], ["", "", ""]]
    file = io.StringIO(newline="")
    csv.writer(file).writerows(rows)
    assert [fields for _, fields in read_rows(file.getvalue())] == rows
    assert read_rows("a\tb\n\nc\t" + "x" * 300_000, delimiter="\t") == [(1, ["a", "b"]), (3, ["c", "x" * 300_000])]


def test_the_limit_of_others_is_as_before():
    """Also after a mistake, and with several readers at once."""
    before = csv.field_size_limit(100)
    try:
        threads = [threading.Thread(target=read_rows, args=("a,b\n" + "x" * 200_000 + ",1\n",)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with pytest.raises(ValueError, match="line 1: is malformed"):
            read_rows('"a')
        assert csv.field_size_limit() == 100
    finally:
        csv.field_size_limit(before)


def test_the_line_of_a_mistake():
    with pytest.raises(
        ValueError, match=r"^line 4: is malformed \(a quotation mark is not closed.*unexpected end of data\)$"
    ):
        read_rows('a,b\n"x\ny",1\n"two\nlines,0\n')
    with pytest.raises(ValueError, match=r"^line 2: is malformed .*before the field ends: ',' expected after '\"'\)$"):
        read_rows('a,b\n"one"two,1\n')
