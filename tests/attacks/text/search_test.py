"""Every attack against a naive search that asks one text at a time: equal results, equal numbers of queries."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from ib_jax.attacks import text
from ib_jax.attacks.text.candidates import in_case_of
from tests.attacks.text import toy
from tests.attacks.text.words_test import naive_words

SEED = 5


class UsedUp(Exception):
    """No query is left."""


class Naive:
    """One text and one model, asked one text at a time, each word found anew in every text."""

    def __init__(self, string, label, model, budget, max_distance, max_share, targeted):
        self.original, self.label, self.model, self.budget = string, label, model, budget
        self.max_distance, self.max_share, self.target = max_distance, max_share, targeted
        self.num_queries, self.changes = 0, {}
        self.words = [word for _, word in naive_words(string)]
        self.clean = self.ask(string)

    def ask(self, string):
        if self.num_queries == self.budget:
            raise UsedUp
        self.num_queries += 1
        return toy.probabilities(string, self.model)

    def build(self, changes):
        string = self.original
        for index, (start, word) in reversed(list(enumerate(naive_words(self.original)))):
            string = string[:start] + changes.get(index, word) + string[start + len(word) :]
        return string

    def score(self, answer):
        return 1 - answer[self.label] if self.target is None else answer[self.target]

    def reached(self, answer):
        return answer.argmax() != self.label if self.target is None else answer.argmax() == self.target

    def touchable(self):
        return [index for index, word in enumerate(self.words) if word.lower() not in toy.STOP_WORDS]

    def permitted(self, index, options):
        kept = []
        for new in options:
            changes = self.changes | {index: new}
            distance = sum(toy.levenshtein(self.words[at], other) for at, other in changes.items())
            if self.max_distance is not None and distance > self.max_distance:
                continue
            if self.max_share is not None and len(changes) > self.max_share * len(self.words):
                continue
            kept.append(new)
        return kept

    def climb(self, order, options_of):
        """The best of each word in turn; what was answered before the queries ran out still counts."""
        now = self.clean
        for index in order:
            best, over = None, False
            for new in self.permitted(index, options_of(index)):
                try:
                    answer = self.ask(self.build(self.changes | {index: new}))
                except UsedUp:
                    over = True
                    break
                if best is None or self.score(answer) > self.score(best[1]):
                    best = (new, answer)
            if best is not None and self.score(best[1]) > self.score(now):
                self.changes[index], now = best
                if self.reached(now):
                    return now
            if over:
                return now
        return now


def naive_deep_word_bug(naive, options_of):
    try:
        importance = {at: naive.score(naive.ask(naive.build({at: "[UNK]"}))) for at in naive.touchable()}
    except UsedUp:
        return naive.clean
    return naive.climb(sorted(importance, key=lambda at: -importance[at]), options_of)


def naive_pwws_paper(naive, options_of):
    options = {at: naive.permitted(at, options_of(at)) for at in naive.touchable()}
    words = [at for at in options if options[at]]
    if not words:
        return naive.clean
    base = naive.score(naive.clean)
    try:
        saliency = np.array([naive.score(naive.ask(naive.build({at: "[UNK]"}))) - base for at in words])
        drops = {at: [naive.score(naive.ask(naive.build({at: new}))) - base for new in options[at]] for at in words}
    except UsedUp:
        return naive.clean
    weights = np.exp(saliency) / np.exp(saliency).sum()
    rank = {at: weight * max(drops[at]) for at, weight in zip(words, weights, strict=True)}
    now = naive.clean
    for at in sorted(words, key=lambda at: -rank[at]):
        new = options[at][int(np.argmax(drops[at]))]
        if not naive.permitted(at, [new]):
            continue
        try:
            now = naive.ask(naive.build(naive.changes | {at: new}))
        except UsedUp:
            break
        naive.changes[at] = new
        if naive.reached(now):
            break
    return now


def naive_pwws_textattack(naive, options_of):
    words = naive.touchable()
    options = {at: naive.permitted(at, options_of(at)) for at in words}
    if not words:
        return naive.clean
    try:
        saliency = np.array([naive.score(naive.ask(naive.build({at: "[UNK]"}))) for at in words])
        scores = {at: [naive.score(naive.ask(naive.build({at: new}))) for new in options[at]] for at in words}
    except UsedUp:
        return naive.clean
    weights = np.exp(saliency) / np.exp(saliency).sum()
    rank = {at: weight * max(scores[at], default=0) for at, weight in zip(words, weights, strict=True)}
    return naive.climb(sorted(words, key=lambda at: -rank[at]), options_of)


def naive_edits(string):
    return text.character_edits()(SEED, text.split(string))


def naive_synonyms(string):
    words = [word for _, word in naive_words(string)]

    def of_word(index):
        cased = [in_case_of(words[index], new) for new in toy.synonyms(words[index])]
        return [new for new in dict.fromkeys(cased) if new.lower() != words[index].lower()]

    return of_word


ATTACKS = {
    "deep_word_bug": (text.deep_word_bug, {}, naive_deep_word_bug, naive_edits),
    "pwws": (text.pwws, {"synonyms": toy.synonyms}, naive_pwws_paper, naive_synonyms),
    "pwws textattack": (
        text.pwws,
        {"synonyms": toy.synonyms, "scoring": "textattack"},
        naive_pwws_textattack,
        naive_synonyms,
    ),
}


def compare(name, texts, labels, models, budget=None, max_distance=None, max_share=None, target=None):
    make, settings, search, options = ATTACKS[name]
    constraints = [] if max_distance is None else [text.edit_distance(max_distance)]
    constraints += [] if max_share is None else [text.share_of_words(max_share)]
    goal = text.untargeted() if target is None else text.targeted(target)
    attack = make(stop_words=toy.STOP_WORDS, constraints=constraints, goal=goal, max_queries=budget, **settings)
    score = toy.Score()
    results = text.TextRunner(attack, score, max_requests=7)(SEED, texts, labels, models)
    for string, label, model, result in zip(texts, labels, models, results, strict=True):
        naive = Naive(string, label, model, budget, max_distance, max_share, target)
        skipped = naive.clean.argmax() != label or naive.reached(naive.clean)
        end = naive.clean if skipped else search(naive, options(string))
        assert result == text.TextResult(
            original=string,
            perturbed=naive.build(naive.changes),
            label=label,
            prediction_before=naive.clean.argmax(),
            prediction_after=end.argmax(),
            success=not skipped and naive.reached(end),
            skipped=skipped,
            num_queries=naive.num_queries,
            num_words=len(naive.words),
            changed=tuple(sorted(naive.changes)),
            replacements=tuple(naive.changes[at] for at in sorted(naive.changes)),
        )
    assert score.num_asked == sum(result.num_queries for result in results)
    return results


def labelled(texts, models):
    """The models' own answers, but every fifth wrong."""
    right = np.array([toy.predicted(string, model) for string, model in zip(texts, models, strict=True)])
    return np.where(np.arange(len(texts)) % 5, right, (right + 1) % toy.NUM_CLASSES)


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize(
    "settings",
    [{}, {"max_distance": 4}, {"max_share": 0.25}, {"max_distance": 6, "max_share": 0.4}, {"target": 1}],
    ids=["free", "distance", "share", "both", "targeted"],
)
def test_the_search_is_the_naive_one(name, settings):
    texts, models = toy.some_texts(60), np.arange(60) % 3
    results = compare(name, texts, labelled(texts, models), models, **settings)
    assert {result.success for result in results if not result.skipped} == {True, False}
    assert any(result.skipped for result in results)


@pytest.mark.parametrize("name", ATTACKS)
@hypothesis.given(seed=st.integers(0, 10**6), budget=st.integers(1, 60))
@hypothesis.settings(deadline=None, max_examples=40)
def test_a_budgeted_search_is_the_naive_one_that_stops_when_no_query_is_left(name, seed, budget):
    texts, models = toy.some_texts(3, seed), np.array([seed % 3, 1, 2])
    results = compare(name, texts, labelled(texts, models), models, budget=budget, max_distance=12)
    assert all(result.num_queries <= budget for result in results)


@pytest.mark.parametrize("name", ATTACKS)
def test_a_budget_is_used_to_the_last_query_and_never_beyond(name):
    """Whatever the search would take without one, it takes the lesser of that and the budget."""
    texts, models = toy.some_texts(20, seed=1), np.zeros(20, int)
    labels = np.array([toy.predicted(string) for string in texts])
    free = [result.num_queries for result in compare(name, texts, labels, models)]
    for budget in (1, 2, 5, 9, 20, 33):
        results = compare(name, texts, labels, models, budget=budget)
        assert [result.num_queries for result in results] == [min(count, budget) for count in free]
