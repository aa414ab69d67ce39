"""Texts: the prepared reviews against what was written, the made-up ones, and the door to both."""

import dataclasses
import hashlib
import re
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from ib_jax import data
from ib_jax.data import imdb, text_loading, toy_reviews
from ib_jax.data.quiet import no_progress_bars
from ib_jax.data.text import hold_out_texts
from tests.data.labelled import Column

SIZES = {"train": 9, "test": 5}
SHA256 = "ef852cb939c74b9008ac7701bc9c71aeb31499336f13c8839c0100c2eeab4738"


@pytest.fixture(scope="module")
def reviews_copy(tmp_path_factory):
    """A small copy as the official builder would write it, and per split the label of each text."""
    import tensorflow_datasets as tfds

    data_dir = tmp_path_factory.mktemp("imdb")
    written = {
        split: {f"Número {i} of {split}: été 😀<br /><br />Then it <BR>ends.": i % 2 for i in range(size)}
        for split, size in SIZES.items()
    }

    class Prepared(tfds.builder_cls("imdb_reviews"), skip_registration=True):
        def _split_generators(self, dl_manager):
            del dl_manager
            return {split: self._generate_examples(examples) for split, examples in written.items()}

        def _generate_examples(self, examples):
            for text, label in examples.items():
                yield text, {"text": text, "label": label}

    Prepared.name = "imdb_reviews"
    with no_progress_bars():
        Prepared(data_dir=data_dir, config="plain_text", file_format="array_record").download_and_prepare()
    return data_dir, written


@pytest.fixture
def small_spec(monkeypatch):
    spec = dataclasses.replace(imdb.imdb_spec(), split_sizes=SIZES)
    monkeypatch.setattr(imdb, "imdb_spec", lambda: spec)
    return spec


def test_the_reviews_are_what_was_written(reviews_copy, small_spec):
    data_dir, written = reviews_copy
    loaded = data.load_text("imdb_reviews", data_dir=data_dir)
    assert (loaded.name, loaded.validation, loaded.class_names) == ("imdb_reviews", None, ("negative", "positive"))
    for split, examples in written.items():
        found = getattr(loaded, split)
        assert dict(zip(found.texts, found.labels.tolist(), strict=True)) == examples
        assert found.labels.dtype == np.int32
        assert isinstance(found.texts, tuple)


def test_the_held_out_reviews_are_those_of_the_shared_draw(reviews_copy, small_spec):
    whole = data.load_text("imdb_reviews", data_dir=reviews_copy[0])
    held = data.load_text("imdb_reviews", data_dir=reviews_copy[0], num_validation=4, seed=3)
    permutation = np.random.default_rng(3).permutation(9)
    assert held.validation.texts == tuple(whole.train.texts[row] for row in permutation[-4:])
    assert held.train.texts == tuple(whole.train.texts[row] for row in sorted(permutation[:-4]))
    np.testing.assert_array_equal(held.validation.labels, whole.train.labels[permutation[-4:]])
    assert held.test.texts == whole.test.texts


def test_breaks_stay_unless_they_are_to_be_lines(reviews_copy, small_spec):
    plain = data.load_text("imdb_reviews", data_dir=reviews_copy[0]).test.texts
    broken = data.load_text("imdb_reviews", data_dir=reviews_copy[0], line_breaks=True).test.texts
    assert all("<br /><br />" in text for text in plain)
    assert broken == tuple(text.replace("<br />", "\n").replace("<BR>", "\n") for text in plain)


def test_another_number_of_reviews_is_refused(reviews_copy):
    with pytest.raises(data.DatasetCorruptError, match=r"imdb_reviews/plain_text: the train split in .* has 9 texts"):
        data.load_text("imdb_reviews", data_dir=reviews_copy[0])


def test_a_label_that_is_no_class_is_refused(reviews_copy, small_spec):
    spec = dataclasses.replace(small_spec, num_classes=1)
    with pytest.raises(data.DatasetCorruptError, match=r"labels in 0\.\.1, expected 0\.\.0"):
        imdb.load_splits(spec, reviews_copy[0], line_breaks=False)


def test_a_damaged_file_is_named_with_the_remedy(reviews_copy, small_spec, tmp_path):
    source = reviews_copy[0] / "imdb_reviews/plain_text/1.0.0"
    folder = tmp_path / "imdb_reviews/plain_text/1.0.0"
    folder.mkdir(parents=True)
    for file in source.iterdir():
        content = file.read_bytes()
        (folder / file.name).write_bytes(content[: len(content) // 2] if "train" in file.name else content)
    with pytest.raises(data.DatasetCorruptError, match=rf"{re.escape(str(folder))} could not be read .*Delete .*tfds"):
        data.load_text("imdb_reviews", data_dir=tmp_path)


def test_an_absent_copy_is_told_at_once_and_how_to_get_it(tmp_path):
    with pytest.raises(data.DatasetUnavailableError) as raised:
        data.load_text("imdb_reviews", data_dir=tmp_path)
    message = str(raised.value)
    assert f"Looked for a prepared copy in {tmp_path}/imdb_reviews/plain_text/1.0.0" in message
    assert f"tfds build imdb_reviews/plain_text --file_format=array_record --data_dir={tmp_path}" in message


@pytest.mark.standard
def test_reading_loads_no_tensorflow(reviews_copy):
    code = f"""
import dataclasses, pathlib, sys
from ib_jax.data import imdb
spec = dataclasses.replace(imdb.imdb_spec(), split_sizes={SIZES})
assert len(imdb.load_splits(spec, pathlib.Path(sys.argv[1]), line_breaks=False)["test"].texts) == 5
assert "tensorflow_datasets" in sys.modules and "tensorflow" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code, str(reviews_copy[0])], check=True)


def test_the_names_and_what_is_refused():
    assert data.TEXT_DATASETS == ("toy_reviews", "imdb_reviews")
    with pytest.raises(ValueError, match=r"name is 'sst2'; expected one of toy_reviews, imdb_reviews .*read_text_file"):
        text_loading.load_text("sst2")
    with pytest.raises(ValueError, match="num_validation is -1; expected 0 or more"):
        data.load_text("imdb_reviews", num_validation=-1)
    with pytest.raises(ValueError, match="num_validation is 1600; expected 0 <= num_validation < 1600"):
        data.load_text("toy_reviews", num_validation=1600)


def test_the_made_up_reviews_are_the_same_everywhere():
    train, test = toy_reviews.load_splits()
    written = "\n".join(f"{label} {text}" for split in (train, test) for text, label in zip(*split, strict=True))
    assert hashlib.sha256(written.encode()).hexdigest() == SHA256
    assert len({*train.texts, *test.texts}) == 1800
    with pytest.raises(ValueError, match="read-only"):
        test.labels[0] = 1


def _label_of(text):
    """What the grammar means by a review: the last clause's sense, or None where two joined by "and" differ."""
    senses = {word: sense for sense, words in enumerate(toy_reviews._ADJECTIVES) for word in words}
    body = next(
        sentence for sentence in re.split(r"(?<=\.) ", text) if any(w in senses for w in re.findall(r"\w+", sentence))
    )
    clauses = []
    for clause in re.split(r" and |, but ", body.lower().rstrip(".")):
        words = re.findall(r"\w+", clause)
        clauses.append(senses[words[-1]] ^ ("not" in words or "never" in words))
    if ", but " in body:
        assert clauses[0] != clauses[1]
        return clauses[1]
    return clauses[0] if len(set(clauses)) == 1 else None


def test_the_made_up_reviews_mean_their_labels_but_for_one_in_ten():
    train, test = toy_reviews.load_splits()
    pairs = [pair for split in (train, test) for pair in zip(map(_label_of, split.texts), split.labels, strict=True)]
    assert all(meaning in (None, label) for meaning, label in pairs)
    undecided = Counter(int(label) for meaning, label in pairs if meaning is None)
    assert 0.07 < sum(undecided.values()) / len(pairs) < 0.13  # more than three standard deviations around 0.1
    assert min(undecided.values()) > 15
    assert 0.44 < np.mean([label for _, label in pairs]) < 0.56


SPLIT = data.TextSplit(("a", "b", "c", "d"), np.array([0, 1, 2, 3], np.int32))


def assert_same(found, expected):
    assert found.texts == expected.texts
    np.testing.assert_array_equal(found.labels, expected.labels)


def test_rows_are_taken_by_position():
    columns = data.TextSplit(Column(SPLIT.texts), Column(SPLIT.labels))
    for split in (SPLIT, columns, data.TextSplit(list(SPLIT.texts), SPLIT.labels.tolist())):
        for rows in ([2, 0], (2, 0), np.array([2, 0], np.uint8), range(2, -1, -2), Column(np.array([2, 0]))):
            assert_same(data.take_texts(split, rows), data.TextSplit(("c", "a"), np.array([2, 0])))
    for found, expected in zip(hold_out_texts(columns, 2, seed=0), hold_out_texts(SPLIT, 2, seed=0), strict=True):
        assert_same(found, expected)


def test_rows_that_are_none_are_refused():
    with pytest.raises(TypeError, match=r"rows must be int \[n\], got bool \[4\]; np.flatnonzero makes rows of a mask"):
        data.take_texts(SPLIT, [True, False, True, False])
    with pytest.raises(TypeError, match=r"rows must be int \[n\], got float64 \[2\]; give whole numbers from 0"):
        data.take_texts(SPLIT, [1.7, 0])
    for row in (-1, 4):
        with pytest.raises(IndexError, match=f"row is {row}; expected 0 <= row < 4"):
            data.take_texts(SPLIT, [0, row])
    with pytest.raises(ValueError, match="one label for each text, got 4 texts and 3 labels"):
        data.take_texts(data.TextSplit(SPLIT.texts, SPLIT.labels[:3]), [0])
    with pytest.raises(TypeError, match="texts must be strings, got nan at position 1; drop the rows without a text"):
        data.take_texts(data.TextSplit(("a", float("nan")), SPLIT.labels[:2]), [0])


def test_no_rows_and_no_texts():
    none = data.TextSplit((), np.zeros(0, np.int32))
    for found in (data.take_texts(SPLIT, []), data.take_texts(none, []), hold_out_texts(none, 0, seed=0)[0]):
        assert_same(found, none)
        assert found.labels.dtype == np.int32
    with pytest.raises(ValueError, match="num_validation is 1; expected 0 <= num_validation < 0"):
        hold_out_texts(none, 1, seed=0)
