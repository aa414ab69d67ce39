"""What every exported attack on text guarantees. One that is not listed here fails the first test."""

import functools
import inspect
import warnings

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from ib_jax.attacks import text
from tests.attacks.text import toy
from tests.data.labelled import Column

ALL = {
    "deep_word_bug": functools.partial(text.deep_word_bug, stop_words=toy.STOP_WORDS),
    "pwws": functools.partial(text.pwws, stop_words=toy.STOP_WORDS, synonyms=toy.synonyms),
    "pwws textattack": functools.partial(
        text.pwws, stop_words=toy.STOP_WORDS, synonyms=toy.synonyms, scoring="textattack"
    ),
}
ANY_TEXT = st.one_of(
    st.text(),
    st.lists(st.sampled_from(toy.VOCABULARY + toy.BETWEEN + ["", "🎬", "‍"]), max_size=20).map(" ".join),
    st.lists(st.sampled_from(toy.VOCABULARY), max_size=15).map("".join),
)


def test_every_exported_attack_is_listed():
    exports = {name: getattr(text, name) for name in text.__all__}
    factories = {
        name
        for name, export in exports.items()
        if inspect.isfunction(export) and inspect.signature(export).return_annotation is text.TextAttack
    }
    assert {name.split()[0] for name in ALL} == factories


def run(name, texts, labels, seed=0, max_requests=None, models=None, **settings):
    return text.TextRunner(ALL[name](**settings), toy.Score(), max_requests=max_requests)(seed, texts, labels, models)


def answers(texts):
    return np.array([toy.predicted(string) for string in texts])


@pytest.mark.parametrize("name", ALL)
class TestTextAttack:
    @hypothesis.given(string=ANY_TEXT, seed=st.integers(0, 10**9))
    @hypothesis.settings(deadline=None, max_examples=60)
    def test_words_alone_are_replaced_and_no_stop_word(self, name, string, seed):
        (result,) = run(name, [string], answers([string]), seed)
        words = text.split(string)
        assert result.original == string
        assert result.num_words == len(words.words)
        assert list(result.changed) == sorted(set(result.changed))
        rebuilt = words
        for index, new in zip(result.changed, result.replacements, strict=True):
            assert words.words[index].lower() not in toy.STOP_WORDS
            assert words.words[index] != new
            rebuilt = rebuilt.replace(index, new)
        assert result.perturbed == str(rebuilt)
        assert result.prediction_after == toy.predicted(result.perturbed)
        assert result.success == (result.prediction_after != result.label)

    @hypothesis.given(string=ANY_TEXT, limit=st.integers(0, 12), share=st.floats(0, 1))
    @hypothesis.settings(deadline=None, max_examples=40)
    def test_the_whole_texts_edit_distance_and_the_share_are_held(self, name, string, limit, share):
        constraints = (text.edit_distance(limit), text.share_of_words(share))
        (result,) = run(name, [string], answers([string]), constraints=constraints)
        assert toy.levenshtein(string, result.perturbed) <= limit
        assert len(result.changed) <= share * result.num_words + 1e-6

    @hypothesis.given(string=ANY_TEXT, budget=st.integers(1, 40))
    @hypothesis.settings(deadline=None, max_examples=40)
    def test_query_budgets_are_exact(self, name, string, budget):
        score = toy.Score()
        labels = answers([string])
        (free,) = run(name, [string], labels)
        (result,) = text.TextRunner(ALL[name](max_queries=budget), score)(0, [string], labels)
        assert score.num_asked == result.num_queries == min(budget, free.num_queries)
        if budget >= free.num_queries:
            assert result == free

    def test_a_text_fares_as_it_would_alone(self, name):
        texts, models = toy.some_texts(15, seed=8), np.arange(15) % 2
        labels = np.array([toy.predicted(string, model) for string, model in zip(texts, models, strict=True)])
        together = run(name, texts, labels, models=models)
        assert any(result.success for result in together)
        for max_requests in (1, 3, 50):
            assert run(name, texts, labels, models=models, max_requests=max_requests) == together
        rows = np.array([6, 2, 2, 14, 0])
        part = run(name, [texts[row] for row in rows], labels[rows], models=models[rows])
        assert part == [together[row] for row in rows]

    def test_same_seed_same_result(self, name):
        texts = toy.some_texts(15, seed=9)
        first = run(name, texts, answers(texts), seed=4)
        assert run(name, texts, answers(texts), seed=4) == first
        if name == "deep_word_bug":
            assert run(name, texts, answers(texts), seed=5) != first

    def test_misclassified_texts_are_skipped(self, name):
        texts = toy.some_texts(10, seed=7)
        score = toy.Score()
        wrong = (answers(texts) + 1) % toy.NUM_CLASSES
        results = text.TextRunner(ALL[name](), score)(0, texts, wrong)
        assert score.calls == [texts]
        for string, label, result in zip(texts, wrong, results, strict=True):
            now = toy.predicted(string)
            words = len(text.split(string).words)
            assert result == text.TextResult(string, string, label, now, now, False, True, 1, words, (), ())

    def test_a_targeted_attack_skips_what_is_there_and_ends_there(self, name):
        texts = toy.some_texts(30, seed=6)
        labels = answers(texts)
        results = run(name, texts, labels, goal=text.targeted(1))
        assert [result.skipped for result in results] == [label == 1 for label in labels]
        for result in results:
            assert result.success == (not result.skipped and toy.predicted(result.perturbed) == 1)
        assert any(result.success for result in results)

    def test_texts_and_classes_belong_together_by_position(self, name):
        texts, models = toy.some_texts(10, seed=8), np.arange(10) % 2
        labels = np.array([toy.predicted(string, model) for string, model in zip(texts, models, strict=True)])
        plain = run(name, texts, labels, models=models)
        assert any(result.success for result in plain)
        # Columns of a shuffled table: [] goes by the labels of their index.
        assert run(name, Column(texts), Column(labels), models=Column(models)) == plain
        assert run(name, np.array(texts), labels.tolist(), models=models.tolist()) == plain

    def test_of_no_text_there_is_no_result(self, name):
        for texts, labels in (([], []), ((), ()), (Column([]), Column([])), (np.array([], str), np.zeros(0))):
            results = run(name, texts, labels)
            assert results == []
            with warnings.catch_warnings(action="error"):  # a mean of nothing is NaN, and no alarm
                summary = text.summarise(iter(results))
            assert summary[:3] == (0, 0, 0)
            assert np.isnan(summary[3:]).all()

    def test_what_is_no_text_is_refused_by_its_position(self, name):
        for value in (("premise", "hypothesis"), float("nan"), None, b"a film", 3):
            with pytest.raises(TypeError, match=r"texts must be strings, got .* at position 1; "):
                run(name, ["a film", value], [0, 0])
        with pytest.raises(ValueError, match=r"labels must be int \[2\], got float64 \[2\], nan at position 1; drop"):
            run(name, ["a", "b"], [0, float("nan")])

    @pytest.mark.parametrize("string", ["", " ", "🎬", "❤️", "the", "...", "x"])
    def test_nothing_to_attack(self, name, string):
        (result,) = run(name, [string], answers([string]), constraints=(text.share_of_words(0.0),))
        assert (result.perturbed, result.success, result.skipped, result.changed) == (string, False, False, ())

    def test_one_word(self, name):
        (result,) = run(name, ["  film!"], answers(["film"]))
        assert result.num_words == 1
        assert result.perturbed[:2] + result.perturbed[-1] == "  !"

    def test_bad_settings_are_refused_by_name(self, name):
        with pytest.raises(ValueError, match="max_queries must be None or at least 1"):
            ALL[name](max_queries=0)
        if name != "deep_word_bug":
            with pytest.raises(ValueError, match=r"scoring must be one of \('paper', 'textattack'\), got 'original'"):
                text.pwws(scoring="original", synonyms=toy.synonyms)
