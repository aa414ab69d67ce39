"""Tokens: against splitting by hand, and of a pretrained file against its own library's slow way."""

import re
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from ib_jax import data

tokenizers = pytest.importorskip("tokenizers")
TEXTS = ("The film is good, the end isn't.", "THE music; été!", "film film film film")


def by_hand(texts, new_texts, vocab_size, max_length):
    """Lower case without accents, words and marks apart, the most frequent first and equal ones by the alphabet."""

    def split(text):
        return re.findall(r"\w+|[^\w\s]", text.lower().replace("é", "e"))

    counts = Counter(word for text in texts for word in split(text))
    ranked = sorted(counts, key=lambda word: (-counts[word], word))[: vocab_size - 4]
    numbers = {word: 4 + rank for rank, word in enumerate(ranked)}
    return [[2, *[numbers.get(word, 1) for word in split(text)][: max_length - 2], 3] for text in new_texts]


@pytest.mark.parametrize("vocab_size, max_length", [(100, 50), (8, 50), (100, 5), (5, 3)])
def test_words_by_hand(vocab_size, max_length):
    new_texts = [*TEXTS, "an unseen film", "", "   ", "😀"]
    tokenise = data.word_tokenizer(TEXTS, max_length=max_length, vocab_size=vocab_size)
    found = tokenise(new_texts)
    assert [tokens.tolist() for tokens in found] == by_hand(TEXTS, new_texts, vocab_size, max_length)
    assert all(tokens.dtype == np.int32 for tokens in found)
    assert tokenise.vocab_size <= vocab_size


def test_a_saved_tokeniser_is_the_same(tmp_path):
    tokenise = data.word_tokenizer(TEXTS, max_length=50, vocab_size=9)
    tokenise.save(tmp_path / "model")
    for max_length in (50, 4):
        again = data.load_tokenizer(tmp_path / "model", max_length=max_length)
        expected = [[*tokens[: max_length - 1], tokens[-1]] if len(tokens) > max_length else [*tokens]
                    for tokens in tokenise(TEXTS)]  # fmt: skip
        assert [tokens.tolist() for tokens in again(TEXTS)] == expected
        assert again.vocab_size == 9


def test_stored_padding_and_truncation_are_not_obeyed(tmp_path):
    tokenizer = data.word_tokenizer(TEXTS, max_length=50, vocab_size=30).tokenizer
    expected = [tokenizer.encode(text).ids for text in TEXTS]
    tokenizer.enable_padding(length=40)
    tokenizer.enable_truncation(3)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert [t.tolist() for t in data.load_tokenizer(tmp_path, max_length=512)(TEXTS)] == expected


def test_what_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=rf"no tokenizer.json in {tmp_path}"):
        data.load_tokenizer(tmp_path, max_length=8)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(ValueError, match=r"tokenizer.json is damaged"):
        data.load_tokenizer(tmp_path, max_length=8)
    tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0}, "a")).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ValueError, match="adds 0 special tokens"):
        data.load_tokenizer(tmp_path, max_length=8)
    with pytest.raises(ValueError, match="max_length is 2; expected at least 3"):
        data.word_tokenizer(TEXTS, max_length=2, vocab_size=9)
    with pytest.raises(ValueError, match="vocab_size is 4; expected at least 5"):
        data.word_tokenizer(TEXTS, max_length=9, vocab_size=4)
    with pytest.raises(TypeError, match="texts must be a sequence of strings, got one string, 'a text'"):
        data.word_tokenizer(TEXTS, max_length=9, vocab_size=9)("a text")
    with pytest.raises(TypeError, match="texts must be a sequence of strings, got one string, 'a text'"):
        data.word_tokenizer("a text", max_length=9, vocab_size=9)
    with pytest.raises(ValueError, match="texts is empty; expected at least one"):
        data.word_tokenizer([], max_length=9, vocab_size=9)


@pytest.mark.parametrize(
    "value, error, message",
    [
        # The library itself would take a pair, and leave out the special tokens.
        (
            ("a", "b"),
            TypeError,
            r"texts must be strings, got \('a', 'b'\) at position 1; join its parts into one string",
        ),
        (None, TypeError, "texts must be strings, got None at position 1"),
        (float("nan"), TypeError, "texts must be strings, got nan at position 1"),
        (b"a", TypeError, "texts must be strings, got b'a' at position 1"),
        ("a \ud800", ValueError, r"got half of a surrogate pair at position 1, in 'a \\ud800'; take it out"),
    ],
)
def test_what_is_no_text_is_named(value, error, message):
    tokenise = data.word_tokenizer(TEXTS, max_length=9, vocab_size=9)
    learn = lambda texts: data.word_tokenizer(texts, max_length=9, vocab_size=9)
    for take in (tokenise, tokenise.visible, learn):
        with pytest.raises(error, match=message):
            take(["a film", value])


def test_of_no_text_there_are_no_tokens():
    tokenise = data.word_tokenizer(TEXTS, max_length=9, vocab_size=9)
    assert tokenise([]) == tokenise.visible([]) == []


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ImportError, match=r"pip install ib-jax\[text\]"):
        data.load_tokenizer("anywhere", max_length=8)


@pytest.mark.standard
def test_another_process_trains_the_same_tokeniser():
    code = """
import sys
from ib_jax import data
texts = data.load_text("toy_reviews").train.texts
sys.stdout.write(data.word_tokenizer(texts, max_length=64, vocab_size=100).tokenizer.to_str())
"""
    texts = data.load_text("toy_reviews").train.texts
    own = data.word_tokenizer(texts, max_length=64, vocab_size=100).tokenizer.to_str()
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == own
