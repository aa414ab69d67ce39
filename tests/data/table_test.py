"""Rows of a table: as Python's own reader gives them, where it does."""

import csv
import io

import hypothesis
import hypothesis.strategies as st
import pytest

from ib_jax.data.table import comma_rows, tab_rows

PIECES = ["a", "b c", ",", '"', '""', "\n", "\r\n", "\r", "\t", " ", "\u2028", "\0", "1", 'x,"y"']
CONTENT = st.lists(st.sampled_from(PIECES), max_size=14).map("".join)


def read(rows):
    """The same of ours."""
    try:
        return list(rows)
    except ValueError:
        return None


def by_python(content, **dialect):
    """Rows with their last lines, empty ones left out; None if the content is malformed."""
    reader = csv.reader(io.StringIO(content, newline=""), strict=True, **dialect)
    try:
        return [(reader.line_num, row) for row in reader if row]
    except csv.Error:
        return None


@hypothesis.given(CONTENT)
@hypothesis.settings(deadline=None, max_examples=400)
def test_commas_and_quotation_marks_as_python_reads_them(content):
    assert read(comma_rows(content)) == by_python(content)


@hypothesis.given(CONTENT)
@hypothesis.settings(deadline=None, max_examples=100)
def test_tabs_as_python_reads_them(content):
    assert read(tab_rows(content)) == by_python(content, delimiter="\t", quoting=csv.QUOTE_NONE)


def test_whatever_python_writes_comes_back():
    rows = [["a,b", 'say "so"', ""], ["two\nlines", "x" * 300_000, "été"], ["", "", ""]]
    file = io.StringIO(newline="")
    csv.writer(file).writerows(rows)
    assert [fields for _, fields in comma_rows(file.getvalue())] == rows


def test_the_line_of_a_mistake():
    with pytest.raises(ValueError, match=r"^line 4: is malformed \(a quotation mark is not closed\)$"):
        list(comma_rows('a,b\n"x\ny",1\n"two\nlines,0\n'))
    with pytest.raises(
        ValueError, match=r"^line 2: is malformed \(a quotation mark is closed before the field ends\)$"
    ):
        list(comma_rows('a,b\n"one"two,1\n'))
