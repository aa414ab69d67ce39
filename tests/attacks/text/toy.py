"""A bag-of-words model whose sums are whole numbers, so that a text's answer is the same wherever it is computed."""

import re
import zlib

import numpy as np

NUM_CLASSES = 3
STOP_WORDS = frozenset({"the", "a", "is", "of"})
VOCABULARY = [
    *("the", "The", "a", "is", "of"),
    *("good", "Great", "film", "BAD", "plot", "x", "It's", "well-made", "ll", "dull"),
    *("हिन्दी", "电影很好", "фильм", "Плохой", "e\u0301te\u0301", "naïve", "42"),
]
BETWEEN = [" ", "  ", "\t", ", ", " 🎬 ", " ❤️ ", "!\n", " -- "]


def probabilities(text, model=0):
    """The answer [C] of one of many models."""
    sums = np.zeros(NUM_CLASSES)
    for token in re.findall(r"[^\W_]+", text.replace("[UNK]", " ").lower()):
        for which in range(NUM_CLASSES):
            sums[which] += zlib.crc32(f"{model} {which} {token}".encode()) % 41 - 20
    powers = np.exp(0.06 * (sums - sums.max()))
    return powers / powers.sum()


def predicted(text, model=0):
    return int(probabilities(text, model).argmax())


def synonyms(word, part=None):
    """Up to three made-up words, some of them in no order of the alphabet; none for a word in four."""
    number = zlib.crc32(word.lower().encode())
    return [f"{chr(98 + number % 7 * 3 - at)}{word.lower()[:2]}" for at in range(number % 4)]


class Score:
    """The models as a `Score` that notes what it is asked."""

    def __init__(self):
        self.calls = []

    def __call__(self, texts, models):
        self.calls.append(list(texts))
        return np.stack([probabilities(text, model) for text, model in zip(texts, models, strict=True)])

    @property
    def num_asked(self):
        return sum(map(len, self.calls))


def some_texts(count, seed=0, longest=14):
    """Texts of stop words, other scripts, emoji and odd white space."""
    rng = np.random.default_rng(seed)
    texts = []
    for _ in range(count):
        words = rng.choice(VOCABULARY, rng.integers(1, longest + 1))
        texts.append("".join(word + BETWEEN[rng.integers(len(BETWEEN))] for word in words))
    return texts


def levenshtein(one, other):
    """The textbook's full table."""
    table = np.zeros((len(one) + 1, len(other) + 1), int)
    table[:, 0], table[0] = np.arange(len(one) + 1), np.arange(len(other) + 1)
    for i, char in enumerate(one, 1):
        for j, match in enumerate(other, 1):
            table[i, j] = min(table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (char != match))
    return int(table[-1, -1])
