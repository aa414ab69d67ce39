"""Distances are the textbook's, sums of words bound the whole text, and stop words are known in any case."""

import hypothesis
import hypothesis.strategies as st
import pytest

from ib_jax.attacks import text
from ib_jax.attacks.text.constraints import levenshtein
from tests.attacks.text import toy

SHORT = st.text("abc ", max_size=9)


@hypothesis.given(SHORT, SHORT)
@hypothesis.settings(deadline=None, max_examples=300)
def test_distance_is_the_textbooks(one, other):
    assert levenshtein(one, other) == toy.levenshtein(one, other)


@hypothesis.given(st.lists(st.tuples(st.text("ab", min_size=1, max_size=4), st.text("ab", max_size=4)), max_size=6))
@hypothesis.settings(deadline=None, max_examples=200)
def test_the_sum_over_words_is_never_less_than_the_whole_texts_distance(pairs):
    whole = toy.levenshtein(" ".join(word for word, _ in pairs), " ".join(new for _, new in pairs))
    assert sum(text.edit_distance().cost(word, new) for word, new in pairs) >= whole


def test_limits():
    words = text.split("one two three four five six seven")
    assert text.edit_distance().limit(words) == 30
    assert text.edit_distance(4).limit(words) == 4
    assert [text.share_of_words(share).limit(words) for share in (0, 0.2, 0.5, 1)] == [0, 1, 3, 7]
    assert text.share_of_words(0.29).limit(text.split("word " * 100)) == 29
    with pytest.raises(ValueError, match="limit must be at least 0, got -1"):
        text.edit_distance(-1)
    for bad in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match=r"limit must lie in \[0, 1\], got"):
            text.share_of_words(bad)


def test_stop_words():
    may_touch = text.no_stop_words()
    assert [may_touch(word) for word in ("the", "The", "THE", "film", "Фильм")] == [False, False, False, True, True]
    own = text.no_stop_words({"Film"})
    assert [own(word) for word in ("the", "film", "FILM")] == [True, False, False]
    assert text.no_stop_words(())("the")
    with pytest.raises(TypeError, match="stop_words must be a collection of words, got the string 'the'"):
        text.no_stop_words("the")
