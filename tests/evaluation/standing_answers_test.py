"""Answers under attack: one to every example, and what was wrong before never stands."""

import numpy as np
import pytest

from ib_jax import AttackResult, evaluation


def test_a_class_is_answered_in_the_precision_of_the_probabilities():
    near = np.array([[0.5, 0.5 + 1e-12], [np.nan, 1.0]])
    assert evaluation.most_probable(near).tolist() == [1, -1]


def test_what_is_wrong_before_never_stands_and_does_not_make_an_attack_look_close():
    labels, clean = np.array([1, 1, 1, 1]), np.array([True, False, True, True])
    assert evaluation.standing(np.array([1, 1, 0]), labels, clean).tolist() == [True, False, False]
    with pytest.raises(ValueError, match="answers NaN at 1 of 3 examples, the first of them 1"):
        evaluation.standing(np.array([1, -1, 0]), labels, clean)
    sizes, stands = np.array([5.0, 0.0, 2.0, 3.0]), np.array([True, False, False, False])
    assert evaluation.median_distance(sizes, stands, clean) == 3.0
    assert np.isnan(evaluation.median_distance(sizes, stands, np.zeros(4, bool)))


def test_what_a_search_says_about_itself_is_told_under_its_name():
    fell = np.array([True, False])
    blocked = AttackResult(np.zeros((2, 3)), fell, blocked=~fell, undecided=fell & False)
    (told,) = evaluation.check_search(blocked, name="PGD")
    assert told.check == "search"
    assert told.message.startswith("PGD: For 1 of 2 examples (50.0%) the search met a gradient that is not finite")
    assert evaluation.check_search(blocked._replace(blocked=fell & False), name="PGD") == []
