"""Texts under attack together fare as each would alone; judges judge; sums are sums."""

import itertools
import math
import time

import numpy as np
import pytest

from ib_jax.attacks import text
from tests.attacks.text import toy

TEXTS = toy.some_texts(12, seed=3)
LABELS = np.array([toy.predicted(string) for string in TEXTS])


def test_rounds_are_pooled_and_bounded():
    whole, bounded = toy.Score(), toy.Score()
    attack = text.deep_word_bug(stop_words=toy.STOP_WORDS)
    results = text.TextRunner(attack, whole, max_requests=None)(0, TEXTS, LABELS)
    assert text.TextRunner(attack, bounded, max_requests=5)(0, TEXTS, LABELS) == results
    assert max(map(len, bounded.calls)) == 5
    assert whole.num_asked == bounded.num_asked
    # One call for the clean texts, one for all rankings, then one a word: as many as the longest search has rounds.
    assert len(whole.calls) <= 2 + max(result.num_words for result in results)
    assert len(whole.calls[0]) == 12
    assert len(whole.calls[1]) == sum(
        sum(word.lower() not in toy.STOP_WORDS for word in text.split(string).words) for string in TEXTS
    )


def test_models_are_handed_on_and_draws_are_shared_between_them():
    attack, models = text.deep_word_bug(stop_words=toy.STOP_WORDS), np.arange(3)
    score = toy.Score()
    labels = np.array([toy.predicted(TEXTS[0], model) for model in models])
    together = text.TextRunner(attack, score)(0, [TEXTS[0]] * 3, labels, models)
    for model, result in zip(models, together, strict=True):
        alone = text.TextRunner(attack, toy.Score())(0, TEXTS[:1], labels[model : model + 1], models[model : model + 1])
        assert alone == [result]
    asked = [one for call in score.calls[:2] for one in call]
    assert len(asked) == 3 * len(set(asked))


class Judge:
    """Answers right for texts that hold a word, whatever the search thinks."""

    def __init__(self, word):
        self.word, self.asked = word, []

    def __call__(self, texts, models):
        self.asked += texts
        return np.array([[0.9, 0.1] if self.word in one else [0.1, 0.9] for one in texts])


def lenient(texts, models):
    """Thinks that any text without "good" is brought down, and is never sure of the original."""
    return np.array([[0.4, 0.6] if "good" in one else [0.1, 0.9] for one in texts])


def test_the_judge_decides_who_is_attacked_and_who_fell():
    attack = text.pwws(synonyms=lambda word, part: {"good": ["fine"], "plot": ["story"]}.get(word, ()), stop_words=())
    texts = ["a good plot", "good", "nothing"]
    judge = Judge("good")
    results = text.TextRunner(attack, lenient, judge)(0, texts, np.zeros(3, int))
    # The search's own score puts all of them in class 1 from the start; the judge knows better.
    assert [result.skipped for result in results] == [False, False, True]
    assert [result.success for result in results] == [True, True, False]
    assert [result.prediction_before for result in results] == [0, 0, 1]
    assert judge.asked == [*texts, results[0].perturbed, "fine"]
    stubborn = text.TextRunner(attack, lenient, Judge(""))(0, texts, np.zeros(3, int))
    assert [(result.success, result.prediction_after) for result in stubborn] == [(False, 0)] * 3
    assert stubborn[1].perturbed == "fine"
    assert stubborn[2].num_queries == 1


def test_a_judges_queries_are_not_the_attacks():
    attack, score = text.deep_word_bug(stop_words=toy.STOP_WORDS), toy.Score()
    plain = text.TextRunner(attack, toy.Score())(0, TEXTS, LABELS)
    assert text.TextRunner(attack, toy.Score(), score)(0, TEXTS, LABELS) == plain
    assert score.num_asked == 12 + sum(bool(result.changed) for result in plain)


def test_a_text_of_10_000_words_takes_seconds():
    """A hundred good words among 10,000; 60 kB each time it is asked about."""
    string = " ".join("good" if index % 100 == 7 else f"word{index % 89}" for index in range(10_000))
    batches = []

    def score(texts, models):
        batches.append(sum(map(len, texts)))
        positive = np.array([min(0.99, one.count("good") / 190) for one in texts])
        return np.stack([1 - positive, positive], -1)

    start = time.process_time()
    swaps = {"good": ["fine", "decent"], "word7": ["term"]}
    for attack, changed in (
        (text.deep_word_bug(), 5),
        (text.pwws(synonyms=lambda word, part: swaps.get(word, ())), 5),
        (text.pwws(synonyms=lambda word, part: swaps.get(word, ()), scoring="textattack"), 5),
    ):
        (result,) = text.TextRunner(attack, score, max_requests=256)(0, [string], np.array([1]))
        assert result.success
        assert len(result.changed) == changed
        assert max(batches) < 257 * 80_000
    assert time.process_time() - start < 60  # about 2; of the processor, as others may be at work


def test_deep_word_bug_stays_within_30_edits_and_uses_them():
    """A model that gets a little less sure with every edit, and never falls."""
    words = " ".join(["splendid"] * 40)

    def score(texts, models):
        right = np.array([0.6 + 0.3 * one.count("splendid") / 40 for one in texts])
        return np.stack([right, 1 - right], -1)

    (result,) = text.TextRunner(text.deep_word_bug(), score)(0, [words], np.zeros(1, int))
    assert not result.success
    assert toy.levenshtein(words, result.perturbed) in (29, 30)  # a swap is two


def test_progress():
    told, score = [], toy.Score()
    num_calls = []

    def report(progress):
        told.append(progress)
        num_calls.append(len(score.calls))

    results = text.TextRunner(text.deep_word_bug(), score, max_requests=20)(0, TEXTS, LABELS, report=report)
    # A round is one call, so no more than 20 texts are ever made before they are asked about.
    assert all(later - earlier <= 1 for earlier, later in itertools.pairwise(num_calls))
    assert [one.num_texts for one in told] == [12] * len(told)
    assert told[-1].num_done == 12
    assert told[-1].num_queries == sum(result.num_queries for result in results)
    assert all(one.num_done <= other.num_done for one, other in itertools.pairwise(told))
    assert all(one.seconds <= other.seconds for one, other in itertools.pairwise(told))


def test_what_is_wrong_is_named():
    run = text.TextRunner(text.deep_word_bug(stop_words=()), toy.Score())
    assert run(0, [], np.zeros(0, int)) == []
    for labels, message in (
        (np.zeros(3, int), r"labels must be int \[2\], got int64 \[3\]"),
        (np.zeros(2), r"labels must be int \[2\], got float64 \[2\]"),
        (np.array([0, 3]), r"labels must lie in \[0, 3\), got 0 to 3"),
        (np.array([0, -1]), r"labels must lie in \[0, 3\), got -1 to 0"),
    ):
        with pytest.raises(ValueError, match=message):
            run(0, ["a", "b"], labels)
    with pytest.raises(ValueError, match=r"models must be int \[2\], got int64 \[1\]"):
        run(0, ["a", "b"], np.zeros(2, int), np.zeros(1, int))
    with pytest.raises(TypeError, match="texts must be a sequence of strings, got one string"):
        run(0, "ab", np.zeros(2, int))
    for answers, message in (
        (np.ones((1, 2)), r"score must return \[2, C\] with C >= 2, got \[1, 2\]"),
        (np.ones((2, 1)), r"score must return \[2, C\] with C >= 2, got \[2, 1\]"),
        (np.array([[2.0, -1.0], [0.5, 0.5]]), "score must return probabilities"),
        (np.array([[2.0, 1.0], [0.5, 0.5]]), "score must return probabilities"),
        (np.array([[np.nan, 1.0], [0.5, 0.5]]), "score must return probabilities"),
    ):
        with pytest.raises(ValueError, match=message):
            text.TextRunner(text.deep_word_bug(), lambda *_, answers=answers: answers)(0, ["a", "b"], np.zeros(2, int))
    with pytest.raises(ValueError, match="max_requests must be None or at least 1, got 0"):
        text.TextRunner(text.deep_word_bug(), toy.Score(), max_requests=0)
    with pytest.raises(ValueError, match="target must be one of the model's 3 classes, got 3"):
        text.TextRunner(text.deep_word_bug(goal=text.targeted(3)), toy.Score())(0, TEXTS, LABELS)
    with pytest.raises(ValueError, match="target must be at least 0, got -1"):
        text.targeted(-1)


def test_summary():
    def result(label, before, after, success, skipped, queries, words, changed):
        changed = tuple(range(changed))
        return text.TextResult(
            "", "", label, before, after, success, skipped, queries, words, changed, ("",) * len(changed)
        )

    summary = text.summarise(
        [
            result(0, 0, 1, True, False, 10, 4, 1),
            result(1, 1, 0, True, False, 20, 5, 2),
            result(1, 1, 1, False, False, 60, 6, 5),
            result(1, 0, 0, False, True, 1, 6, 0),
            result(2, 2, 2, False, True, 1, 0, 0),  # right, but where a targeted attack wants it
        ]
    )
    assert summary == text.TextSummary(5, 2, 2, pytest.approx(200 / 3), 80.0, 40.0, pytest.approx(32.5), 30.0)
    empty = text.summarise([])
    assert empty[:3] == (0, 0, 0)
    assert all(math.isnan(value) for value in empty[3:])
