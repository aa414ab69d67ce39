"""Constraints of an attack on text: which words it may replace, and how much it may change in total."""

import functools
import math
from collections.abc import Callable, Collection
from typing import NamedTuple

from ib_jax.attacks.text.words import Words
from ib_jax.strings import string


class Constraint(NamedTuple):
    """A limit on the summed cost of the replaced words. As a sum it is cheap to enforce at every step.

    Attributes:
      cost: (word, its replacement) -> its cost, >= 0.
      limit: the original text -> the largest total cost of all replaced words.
    """

    cost: Callable[[str, str], float]
    limit: Callable[[Words], float]


def edit_distance(limit: int = 30) -> Constraint:
    """Limits the characters inserted, deleted or substituted, summed over the replaced words.

    The Levenshtein distance of the whole text to the original never exceeds this sum, so it always keeps the limit. It
    can be smaller, when characters match across words; then an allowed text may be rejected.

    Args:
      limit: in characters, >= 0.

    Returns:
      Constraint.

    Raises:
      ValueError: `limit` is negative.

    Source: Gao et al., 2018 (30 characters).

    Example:
      >>> from ib_jax.attacks import text
      >>> text.edit_distance(30).cost("kitten", "sitting")
      3
    """
    if not limit >= 0:
        raise ValueError(f"limit must be at least 0, got {limit}")
    return Constraint(levenshtein, lambda original: limit)


def share_of_words(limit: float) -> Constraint:
    """Limits the share of replaced words; the number of words is rounded down.

    Args:
      limit: in [0, 1].

    Returns:
      Constraint.

    Raises:
      ValueError: `limit` is not in [0, 1].

    Example:
      >>> from ib_jax.attacks import text
      >>> text.share_of_words(0.5).limit(text.split("one two three"))
      1
    """
    if not 0 <= limit <= 1:
        raise ValueError(f"limit must lie in [0, 1], got {limit}")
    # 0.29 * 100 is 28.999999999999996 in floating point, but means 29 words.
    return Constraint(lambda word, new: 1, lambda original: math.floor(limit * len(original.words) + 1e-9))


def no_stop_words(stop_words: Collection[str] | None = None) -> Callable[[str], bool]:
    """Allows an attack to replace all words but stop words, regardless of case.

    Args:
      stop_words: None uses scikit-learn's English list.

    Returns:
      word -> whether an attack may replace it.

    Raises:
      TypeError: `stop_words` is one string, or holds anything but strings.

    Example:
      >>> from ib_jax.attacks import text
      >>> may_touch = text.no_stop_words({"the"})
      >>> may_touch("The"), may_touch("plot")
      (False, True)
    """
    if isinstance(stop_words, str):
        raise TypeError(f"stop_words must be a collection of words, got the string {stop_words!r}")
    if stop_words is None:
        # Imported here, because scikit-learn takes a second to load.
        from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

        stop_words = ENGLISH_STOP_WORDS
    kept = frozenset(string(word, "stop_words must be strings, got {}").lower() for word in stop_words)
    return lambda word: word.lower() not in kept


@functools.lru_cache(maxsize=1 << 16)
def levenshtein(word: str, other: str) -> int:
    """The Levenshtein distance of two strings. Fast if they share prefix and suffix, as after one edit."""
    shorter = min(len(word), len(other))
    first = next((at for at in range(shorter) if word[at] != other[at]), shorter)
    shorter -= first
    last = next((at for at in range(shorter) if word[-1 - at] != other[-1 - at]), shorter)
    word, other = word[first : len(word) - last], other[first : len(other) - last]
    costs = list(range(len(other) + 1))
    for row, char in enumerate(word, 1):
        diagonal, costs[0] = costs[0], row
        for column, match in enumerate(other, 1):
            cost = min(costs[column] + 1, costs[column - 1] + 1, diagonal + (char != match))
            diagonal, costs[column] = costs[column], cost
    return costs[-1]
