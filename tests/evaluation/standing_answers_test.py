"""Answers under attack: one to every example, and what was wrong before never stands."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ib_jax import AttackResult, DiagGaussian, evaluation, losses, models


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


@pytest.mark.parametrize("at_mean", [True, False])
def test_answers_are_those_of_the_logits_at_every_scale_and_none_where_they_are_nan(at_mean):
    labels = np.array([2, 1, 0, 1, 2, 1])
    images = (0.25 + 0.25 * np.eye(3)[labels]).astype(np.float32)  # each its own logits; the label leads by 0.25

    def encode(scale, inputs):
        return DiagGaussian(inputs, jnp.full_like(inputs, 1e-3))

    model = models.Classifier(
        None, encode, None, lambda scale, codes: scale * codes, lambda scale: losses.standard_normal(3)
    )
    made = evaluation.AttackPrograms(models.sampled_apply(model), mean_fn=models.mean_apply(model), num_eval_samples=3)
    keys = losses.per_example_keys(jax.random.key(0), len(labels))
    for scale in (1e-9, 1.0, 1e10):
        assert evaluation.is_right(made.answers(jnp.float32(scale), keys, images, at_mean=at_mean), labels).all()
    with pytest.raises(ValueError, match="answers NaN at 6 of 6 examples, the first of them 0"):
        evaluation.is_right(made.answers(jnp.float32(np.nan), keys, images, at_mean=at_mean), labels)
