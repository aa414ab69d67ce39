"""A margin: the search goes on until the goal is reached by so much; the verdict asks for no margin."""

import numpy as np
import pytest

from ib_jax.attacks import text

HARM = {"fine": 0.15, "warm": 0.2, "great": 0.3}  # what the loss of a word costs the right class, of 0.9


def score(texts, models):
    right = np.array([0.9 - sum(cost for word, cost in HARM.items() if word not in one) for one in texts])
    return np.stack([1 - right, right], -1)


def attack(factory, margin, **settings):
    if factory is text.pwws:
        settings["synonyms"] = lambda word, part: (f"{word[::-1]}",)
    (result,) = text.TextRunner(factory(margin=margin, stop_words=("a",), **settings), score)(
        0, ["a great, warm, fine plot"], np.array([1])
    )
    return result


@pytest.mark.parametrize("factory", [text.deep_word_bug, text.pwws])
@pytest.mark.parametrize(
    ("margin", "changed"),
    # 0.9, then 0.6 without "great", 0.4 without "warm", 0.25 without "fine": leads of -0.8, -0.2, 0.2 and 0.5
    [(0.0, 2), (0.15, 2), (0.25, 3), (0.45, 3)],
)
def test_search_ends_with_the_margin(factory, margin, changed):
    result = attack(factory, margin)
    assert result.success
    assert len(result.changed) == changed


@pytest.mark.parametrize("factory", [text.deep_word_bug, text.pwws])
def test_a_margin_out_of_reach_leaves_the_best_text_and_its_success(factory):
    result = attack(factory, 0.9)
    assert result.success
    assert len(result.changed) >= 3
    assert score([result.perturbed], None)[0, 1] == pytest.approx(0.25)


def test_pwws_does_not_lose_what_it_had_on_the_way():
    """The second substitute takes back what the first one won."""

    def two_words(texts, models):
        right = np.array(
            [0.9 - 0.6 * ("good" not in one) + 0.5 * ("plot" not in one) * ("good" not in one) for one in texts]
        )
        return np.stack([1 - right, right], -1)

    found = {"good": ("well",), "plot": ("story",)}
    attack = text.pwws(margin=0.6, synonyms=lambda word, part: found.get(word, ()))
    (result,) = text.TextRunner(attack, two_words)(0, ["good plot"], np.array([1]))
    assert (result.success, result.perturbed, result.num_queries) == (True, "well plot", 7)


def test_goals_take_the_margin_from_the_class_they_want():
    answers = np.array([[0.4, 0.6], [0.45, 0.55]])
    assert text.untargeted().reached(answers, 0, 0.15).tolist() == [True, False]
    assert text.targeted(1).reached(answers, 0, 0.15).tolist() == [True, False]


@pytest.mark.parametrize("margin", [-0.1, 1.0])
def test_a_margin_that_is_none_is_refused(margin):
    with pytest.raises(ValueError, match=r"margin must lie in \[0, 1\)"):
        text.deep_word_bug(margin=margin)
