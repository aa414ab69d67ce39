"""The table of bad inputs, continued: files of texts, tokenisers and tokens."""

import csv
import json

import numpy as np

from ib_jax import data
from ib_jax.files import DamagedFileError
from tests.bad_input import Case, refused, table

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 1\n"
WHOLE_LABEL = "expected an integer from 0 to 2147483647"


def text_file(name, written, **options):
    """Writes a file of texts and reads it."""

    def read(folder):
        (folder / name).write_bytes(written if isinstance(written, bytes) else written.encode())
        data.read_text_file(folder / name, **options)

    return read


def label(written):
    return text_file("x.jsonl", '{"sentence": "good", "label": 0}\n{"sentence": "good", "label": ' + written + "}\n")


def tokenizer_with(written):
    def load(folder):
        (folder / "tokenizer.json").write_bytes(written)
        data.load_tokenizer(folder, max_length=9)

    return load


def words():
    return data.word_tokenizer(["a film"], max_length=9, vocab_size=9)


TEXTS = [
    Case(
        "label beyond int32",
        label("99999999999"),
        DamagedFileError,
        ("DIR/x.jsonl, line 2", "99999999999", WHOLE_LABEL),
    ),
    Case("label negative", label("-1"), DamagedFileError, ("x.jsonl, line 2", "label is -1", WHOLE_LABEL)),
    Case("label a fraction", label("0.5"), DamagedFileError, ("x.jsonl, line 2", "label is 0.5", WHOLE_LABEL)),
    Case("label NaN", label("NaN"), DamagedFileError, ("x.jsonl, line 2", "label is nan", WHOLE_LABEL)),
    Case("label true", label("true"), DamagedFileError, ("x.jsonl, line 2", "label is True", WHOLE_LABEL)),
    Case("label a list", label("[1]"), DamagedFileError, ("x.jsonl, line 2", "label is [1]", WHOLE_LABEL)),
    Case(
        "label 1.0",
        text_file("x.csv", "sentence,label\ngood,1.0\n"),
        data.DatasetCorruptError,
        ("DIR/x.csv, line 2", "label is '1.0'", WHOLE_LABEL),
    ),
    Case(
        "no class",
        text_file("x.csv", "sentence,label\ngood,best\n", class_names=["bad", "fine"]),
        data.DatasetCorruptError,
        ("x.csv, line 2", "label is 'best'", "expected one of bad, fine"),
    ),
    Case(
        "half of a character",
        text_file("x.jsonl", r'{"sentence": "good \ud83d", "label": 1}'),
        data.DatasetCorruptError,
        ("DIR/x.jsonl, line 1", "sentence holds half of a surrogate pair", r"'good \ud83d'", "take it out"),
    ),
    Case(
        "half of a character in a key",
        text_file("x.jsonl", r'{"sentence\ud83d": "good", "label": 1}'),
        data.DatasetCorruptError,
        ("x.jsonl, line 1", "no column 'sentence'", r"sentence\ud83d, label"),
    ),
    Case(
        "a lost page",
        text_file("x.csv", b"sentence,label\ngood,1\nba" + bytes(512) + b"d,0\n"),
        data.DatasetCorruptError,
        ("DIR/x.csv, line 3", "a block of zeros", "copy it again"),
    ),
    Case("a pointer", text_file("x.tsv", POINTER), data.DatasetCorruptError, ("DIR/x.tsv", "git lfs pull")),
    Case(
        "Latin-1",
        text_file("x.tsv", b"sentence\tlabel\nna\xefve\t1\n"),
        DamagedFileError,
        ("line 2", "save it as UTF-8"),
    ),
    Case(
        "cut in a quotation",
        text_file("x.csv", 'sentence,label\n"go'),
        DamagedFileError,
        ("x.csv, line 2", "not closed"),
    ),
    Case(
        "cut in a row", text_file("x.tsv", "sentence\tlabel\ngood"), DamagedFileError, ("x.tsv, line 2", "fewer fields")
    ),
    Case("cut in JSON", text_file("x.jsonl", '{"sentence": "go'), DamagedFileError, ("x.jsonl, line 1", "is no JSON")),
    Case("no example", text_file("x.csv", ""), DamagedFileError, ("DIR/x.csv", "expected at least one")),
    Case(
        "half of a character to a tokeniser",
        lambda _: words()(["good \ud83d"]),
        ValueError,
        ("texts", "position 0", r"'good \ud83d'", "take it out"),
    ),
    Case(
        "half of a character to learn from",
        lambda _: data.word_tokenizer(["a", "b \udc00"], max_length=9, vocab_size=9),
        ValueError,
        ("texts", "position 1", r"'b \udc00'"),
    ),
    Case(
        "a tokeniser cut", tokenizer_with(b'{"version"'), DamagedFileError, ("DIR/tokenizer.json", "download it again")
    ),
    Case("a tokeniser of zeros", tokenizer_with(bytes(99)), DamagedFileError, ("tokenizer.json", "nothing but zeros")),
    Case("another JSON", tokenizer_with(json.dumps([1]).encode()), DamagedFileError, ("tokenizer.json is damaged",)),
]
TOKENS = [
    Case(
        "beyond the vocabulary",
        lambda _: data.token_batches([np.array([1, 2]), np.array([3, 20])], batch_size=2, lengths=[4], vocab_size=20),
        ValueError,
        ("below vocab_size = 20", "got 20 for text 1"),
    ),
    Case(
        "beyond the vocabulary, padded",
        lambda _: data.pad_tokens([np.array([1, 400])], 4, vocab_size=20),
        ValueError,
        ("below vocab_size = 20", "got 400 for text 0"),
    ),
    Case(
        "negative", lambda _: data.pad_tokens([np.array([1, -1])], 4), ValueError, ("at least 0", "got -1 for text 0")
    ),
    Case("beyond int32", lambda _: data.pad_tokens([np.array([2**31])], 4), ValueError, ("2**31", "got 2147483648")),
]


@table(*TEXTS, *TOKENS)
def test_it_is_refused_in_one_line_that_says_what_to_do(case, tmp_path):
    refused(case, tmp_path)


def test_what_only_looks_bad_is_read(tmp_path):
    """Fields of any length, the mark of spreadsheets, other alphabets, characters beyond 16 bits, the last labels."""
    long, before = "word " * 40_000, csv.field_size_limit(1000)  # as another library may have set it
    for text in (long, "日本 é", "\U0001f600", "a\0b"):
        for name, mark, written in (
            ("x.csv", "\ufeff", f'sentence,label\n"{text}",2147483647\n'),
            ("x.tsv", "\ufeff", f"sentence\tlabel\n{text}\t2147483647\n"),
            ("x.jsonl", "", json.dumps({"sentence": text, "label": 2147483647})),
        ):
            (tmp_path / name).write_bytes((mark + written).encode())
            split = data.read_text_file(tmp_path / name)
            assert (split.texts, split.labels.tolist()) == ((text,), [2147483647])
    assert csv.field_size_limit(before) == 1000
    assert words()(["good \U0001f600"])[0].tolist()[0] == 2


def test_the_last_token_of_a_vocabulary_is_one(tmp_path):
    (batch,) = data.token_batches([np.array([0, 19])], batch_size=1, lengths=[3], vocab_size=20)
    assert batch.tokens.tolist() == [[0, 19, -1]]
