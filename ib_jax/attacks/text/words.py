"""A text split into words and the characters between them, without loss."""

import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple, overload

import numpy as np

from ib_jax.strings import string

# The last two, the zero-width joiners, occur inside words of Hindi and Persian.
_JOINERS = frozenset("'\u2019-_*@\u200c\u200d")
_LETTER, _MARK, _JOINER, _OTHER = "lmj "
# A mark needs a letter before it: the variation selectors of emoji are marks too, but not words.
_WORD = re.compile("l[lm]*(?:j+l[lm]*)*")


class Words(NamedTuple):
    """A text whose words can be replaced one by one. Immutable; a replacement never changes word boundaries.

    Attributes:
      string: the text.
      words: its words, in order.
      starts: int [W], the start of each word in `string`.
    """

    string: str
    words: tuple[str, ...]
    starts: np.ndarray

    def __str__(self) -> str:
        return self.string

    def with_word(self, index: int, new: str) -> str:
        """The text with one word replaced. Joins three parts, which is cheap even for a text of 10,000 words."""
        start = int(self.starts[index])
        return self.string[:start] + new + self.string[start + len(self.words[index]) :]

    def replace(self, index: int, new: str) -> "Words":
        """The `Words` with one word replaced. `new` counts as one word, whatever its characters."""
        starts = self.starts.copy()
        starts[index + 1 :] += len(new) - len(self.words[index])
        words = (*self.words[:index], new, *self.words[index + 1 :])
        return Words(self.with_word(index, new), words, starts)


def split(text: str) -> Words:
    """Splits a text into words.

    A word is a longest run of letters and digits with their combining marks. Apostrophes, hyphens, underscores,
    asterisks, at signs and zero-width joiners may occur inside a word. In scripts without spaces between words, such as
    Chinese, a run of letters is one word.

    Args:
      text: any string; may be empty.

    Returns:
      Words; `str()` of it is the text.

    Raises:
      TypeError: `text` is not a string.

    Example:
      >>> from ib_jax.attacks import text
      >>> words = text.split("It's  well-made, really!")
      >>> words.words
      ("It's", 'well-made', 'really')
      >>> str(words.replace(1, "fine"))
      "It's  fine, really!"
    """
    text = string(text, "text must be a string, got {}")
    kinds = text.translate({ord(char): _kind(char) for char in set(text)})
    matches = list(_WORD.finditer(kinds))
    return Words(
        text,
        tuple(text[match.start() : match.end()] for match in matches),
        np.array([match.start() for match in matches], np.int64),
    )


def _kind(char: str) -> str:
    if char in _JOINERS:
        return _JOINER
    return {"L": _LETTER, "N": _LETTER, "M": _MARK}.get(unicodedata.category(char)[0], _OTHER)


class Swaps(Sequence[str]):
    """The texts that differ from one text in one word each, built only on access.

    As strings, 10,000 variants of a text of 10,000 words would take 600 MB.

    Args:
      text: the original text.
      swaps: (index of the word, its replacement) for each.
    """

    def __init__(self, text: Words, swaps: Sequence[tuple[int, str]]):
        self._text, self._swaps = text, swaps

    def __len__(self) -> int:
        return len(self._swaps)

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> list[str]: ...
    def __getitem__(self, at: int | slice) -> str | list[str]:
        if isinstance(at, slice):
            return [self._text.with_word(*swap) for swap in self._swaps[at]]
        return self._text.with_word(*self._swaps[at])
