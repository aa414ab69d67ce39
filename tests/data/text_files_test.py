"""Files of one's own: what is read, and what is said of each kind of mistake."""

import csv
import json
import re

import numpy as np
import pytest

from ib_jax import data

ROWS = [("\"Hm , 'fine'\" he said .", 1), ("Été\u2028, deux\tfois 😀", 0), ("a" * 20_000, 2)]


def test_every_format_gives_what_its_own_library_wrote(tmp_path):
    with (tmp_path / "x.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("sentence", "label"), *ROWS, ("two\nlines", 1)])
    lines = [json.dumps({"label": label, "sentence": text, "id": 7}) for text, label in ROWS]
    (tmp_path / "x.jsonl").write_text("\n\n".join(lines) + "\n", encoding="utf-8")
    tabless = [(text.replace("\t", " "), label) for text, label in ROWS]
    table = "\n".join(f"{text}\t{label}" for text, label in tabless)
    (tmp_path / "x.TSV").write_text(f"\ufeffsentence\tlabel\n{table}", encoding="utf-8")
    for name, expected in [("x.csv", [*ROWS, ("two\nlines", 1)]), ("x.jsonl", ROWS), ("x.TSV", tabless)]:
        split = data.read_text_file(tmp_path / name)
        assert split.texts == tuple(text for text, _ in expected), name
        np.testing.assert_array_equal(split.labels, np.array([label for _, label in expected], np.int32))
        assert split.labels.dtype == np.int32


def test_columns_and_classes_by_name(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("id,review,mood\n1,fine,good\n2,dull,bad\n")
    split = data.read_text_file(path, text_column="review", label_column="mood", class_names=["bad", "good"])
    assert split.texts == ("fine", "dull")
    assert split.labels.tolist() == [1, 0]


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("x.tsv", "text\tlabel\nfine\t1\n", "line 2: there is no column 'sentence'; there are text, label"),
        ("x.jsonl", '{"sentence": "a", "y": 1}', "line 1: there is no column 'label'; there are sentence, y"),
        ("x.tsv", "sentence\tlabel\na\t1\nb\tgood\n", "line 3: label is 'good'; expected an integer from 0"),
        ("x.tsv", "sentence\tlabel\na\t-1\n", "line 2: label is '-1'; expected an integer from 0"),
        ("x.csv", 'sentence,label\n"a\nb",1\n"c\nd",1.5\n', "line 5: label is '1.5'; expected an integer from 0"),
        ("x.jsonl", '{"sentence": "a", "label": true}', "line 1: label is True; expected an integer from 0"),
        ("x.jsonl", '{"sentence": 5, "label": 1}', "line 1: sentence is 5; expected a text"),
        ("x.jsonl", '\n{"sentence": ', "line 2: is no JSON"),
        ("x.jsonl", "[1, 2]", "line 1: is '[1, 2]'; expected an object"),
        ("x.tsv", "sentence\tlabel\na\tb\t1\n", "line 2: has more fields than the 2 of the header"),
        ("x.tsv", "sentence\tlabel\na\n", "line 2: has fewer fields than the 2 of the header"),
        ("x.csv", 'sentence,label\n"a,1\n', "line 2: is malformed"),
        ("x.csv", "sentence,label\n", "has no examples; expected at least one below the header"),
        ("x.csv", "", "has no examples"),
        ("x.jsonl", "\n", "has no examples"),
        ("x.csv", b"sentence,label\ncaf\xe9,1\n", "line 2: is not UTF-8"),
        ("x.tsv", b"\xff\xfes\0e\0", "line 1: is not UTF-8"),
        (
            "x.csv",
            "sentence,label\na,2147483648\n",
            "line 2: label is '2147483648'; expected an integer from 0 to 2147",
        ),
        ("x.tsv", "sentence\tlabel\na\t" + "9" * 5000, f"line 2: label is '{'9' * 56}...; expected an integer from 0"),
        (
            "x.jsonl",
            '{"sentence": "a", "label": 2147483648}',
            "line 1: label is 2147483648; expected an integer from 0",
        ),
        ("x.jsonl", '{"sentence": "a", "label": NaN}', "line 1: label is nan; expected an integer from 0"),
        ("x.jsonl", '{"sentence": "a", "label": 1.5}', "line 1: label is 1.5; expected an integer from 0"),
        ("x.jsonl", '{"sentence": "a", "label": ' + "9" * 5000 + "}", "line 1: is no JSON"),
        ("x.jsonl", "[" * 100_000, "line 1: is no JSON"),
        ("x.jsonl", '{"sentence": null, "label": 1}', "line 1: sentence is None; expected a text"),
        ("x.csv", "sentence,label\na,\n", "line 2: label is ''; expected an integer from 0"),
        ("x.csv", "sentence,label\na,  \n", "line 2: label is '  '; expected an integer from 0"),
        ("x.csv", "sentence,label\na,\u00b2\n", "line 2: label is '\u00b2'; expected an integer from 0"),
        ("x.csv", "sentence,label\n1," + "a" * 200_000, f"line 2: label is '{'a' * 56}...; expected an integer"),
        ("x.csv", "a" * 200_000 + ",1\nb,0\n", f"line 2: there is no column 'sentence'; there are {'a' * 197}..."),
        (
            "x.csv",
            "sentence,label,label\na,1,0\n",
            "line 1: there are several columns 'label'; expected each name once",
        ),
        (
            "x.csv",
            'sentence,label\n"a"b,1\n',
            "line 2: is malformed (a quotation mark is not closed, or before the field ends",
        ),
        ("x.csv", 'sentence,label\na,1\n"b,1\n\n\n', "line 3: is malformed (a quotation mark is not closed"),
    ],
)
def test_a_malformed_file_is_told_by_line(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(data.DatasetCorruptError, match=rf"{re.escape(str(path))}.*{re.escape(message)}") as raised:
        data.read_text_file(path)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 500 + len(str(path))


def test_what_the_caller_got_wrong(tmp_path):
    with pytest.raises(ValueError, match=r"expected a file ending in \.tsv, \.csv, \.jsonl"):
        data.read_text_file(tmp_path / "x.txt")
    with pytest.raises(FileNotFoundError, match=r"x\.tsv"):
        data.read_text_file(tmp_path / "x.tsv")
    path = tmp_path / "x.csv"
    path.write_text("sentence,label\na,1\n")
    with pytest.raises(data.DatasetCorruptError, match="label is '1'; expected one of bad, good"):
        data.read_text_file(path, class_names=["bad", "good"])
    with pytest.raises(ValueError, match="expected each name once"):
        data.read_text_file(path, class_names=["bad", "bad"])
    with pytest.raises(
        TypeError, match="class_names must be a sequence of strings, got one string, 'ab'; put it in a list"
    ):
        data.read_text_file(path, class_names="ab")
    with pytest.raises(TypeError, match="class_names must be strings, got 0 at position 0"):
        data.read_text_file(path, class_names=[0, 1])


def test_texts_of_any_length_are_read_and_pythons_own_limit_stays(tmp_path):
    long = "word " * 60_000
    (tmp_path / "x.csv").write_text(f'sentence,label\n{long},1\n"{long}""",0\n')
    (tmp_path / "x.tsv").write_text(f"sentence\tlabel\n{long}\t1\n")
    (tmp_path / "x.jsonl").write_text(json.dumps({"sentence": long, "label": 1}))
    before = csv.field_size_limit()
    assert data.read_text_file(tmp_path / "x.csv").texts == (long, long + '"')
    for name in ("x.tsv", "x.jsonl"):
        assert data.read_text_file(tmp_path / name).texts == (long,)
    assert csv.field_size_limit() == before


def test_labels_up_to_the_greatest(tmp_path):
    (tmp_path / "x.csv").write_text("sentence,label\na,2147483647\nb, 0007 \nc,000000000000\n")
    split = data.read_text_file(tmp_path / "x.csv")
    assert split.labels.tolist() == [2147483647, 7, 0]
    assert split.labels.dtype == np.int32


def test_a_character_of_no_meaning_is_a_character(tmp_path):
    (tmp_path / "x.csv").write_bytes(b"sentence,label\na\0b,1\n")
    assert data.read_text_file(tmp_path / "x.csv").texts == ("a\0b",)
