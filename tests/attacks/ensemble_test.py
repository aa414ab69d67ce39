"""Several attacks, the best result kept: every class as target, AutoAttack's order and report."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ib_jax import attacks, losses
from ib_jax.attacks.ensemble import Ensemble, Member, member_problem, smallest

KEY = jax.random.key(0)
SLOPES = np.array([[4.0, 0.0], [0.0, 4.0], [-4.0, 0.0], [0.0, -1.0]])  # class 3 is far away


def model(keys, inputs):
    return (inputs - 0.5) @ SLOPES.T


INPUTS = np.array([[0.8, 0.55], [0.45, 0.8], [0.1, 0.4]], np.float32)
LABELS = np.array([0, 1, 2])


def test_every_target_is_tried_in_the_order_of_their_probability():
    attack = attacks.every_target(attacks.pgd(0.2, num_steps=10), 2)
    aimed = attack.wrong_classes(model, attack.problem(KEY, model, INPUTS, LABELS))
    np.testing.assert_array_equal(aimed, [[1, 3, 2, 0], [2, 0, 3, 1], [3, 1, 0, 2]])  # the label is the last
    result = attack(KEY, model, INPUTS, LABELS)
    np.testing.assert_array_equal(result.success, [True, True, False])
    np.testing.assert_array_equal(result.member, [0, 0, -1])


def test_the_smallest_perturbation_of_all_targets_is_kept():
    minimal = attacks.deepfool(overshoot=1e-3)
    best = attacks.every_target(minimal, 3, norm="l2")(KEY, model, INPUTS, LABELS)
    sizes = losses.perturbation_norm(best.inputs - INPUTS, "l2")
    for target in range(4):
        aimed = minimal(KEY, model, INPUTS, LABELS, jnp.full(3, target))
        won = aimed.success & (target != LABELS)
        assert (losses.perturbation_norm(aimed.inputs - INPUTS, "l2")[won] >= sizes[won] - 1e-5).all()
    assert best.success.all()


def test_members_spare_what_fell_and_have_keys_of_their_own():
    other = Ensemble([Member("a", attacks.pgd(0.9, num_steps=9)), Member("b", attacks.pgd(0.9, num_steps=9))])
    result = other(KEY, model, INPUTS, LABELS)
    np.testing.assert_array_equal(result.member, 0)  # all fell to the first
    assert other.standing(result) == {"clean": 1.0, "a": 0.0, "b": 0.0}
    start = attacks.pgd(0.05, num_steps=1, step_size=1e-9)  # returns where it started
    problem = start.problem(KEY, model, INPUTS, LABELS)
    starts = [start.start(model, member_problem(problem, index, None)).perturbation for index in (0, 1)]
    assert (starts[0] != starts[1]).all()


def test_an_input_that_is_wrong_from_the_start_counts_as_fallen_and_stays():
    attack = attacks.autoattack(0.05, num_steps=3, num_targets=3, num_queries=3)
    result = jax.jit(lambda labels: attack(KEY, model, INPUTS, labels))(np.array([1, 1, 2]))
    assert result.success[0]
    assert result.member[0] == -1
    np.testing.assert_array_equal(result.inputs[0], INPUTS[0])
    np.testing.assert_allclose(attack.standing(result)["clean"], 2 / 3)


def test_autoattack_runs_its_attacks_in_the_published_order():
    names = [member.name for member in attacks.autoattack(0.1).members]
    assert names == ["apgd-ce"] + 9 * ["apgd-t"] + 9 * ["fab-t"] + ["square"]
    ranks = [member.rank for member in attacks.autoattack(0.1).members]
    assert ranks == [None, *range(9), *range(9), None]
    steps = {member.name: member.attack.num_steps for member in attacks.autoattack(0.1).members}
    assert steps["apgd-ce"] == steps["apgd-t"] == 100
    assert steps["fab-t"] in (100, 101)  # its last iterate is judged by one more
    rand = attacks.autoattack(0.1, version="rand").members
    assert [member.name for member in rand] == ["apgd-ce", "apgd-dlr"]
    assert all(member.attack.objective.num_eot_samples == 20 for member in rand)


def test_too_few_classes_are_refused_before_anything_runs():
    three = lambda keys, inputs: model(keys, inputs)[:, :3]
    two = lambda keys, inputs: model(keys, inputs)[:, :2]
    with pytest.raises(ValueError, match="at least 4 classes, got 3"):
        attacks.autoattack(0.1, num_targets=2)(KEY, three, INPUTS, LABELS)
    with pytest.raises(ValueError, match="at least 3 classes, got 2"):
        attacks.autoattack(0.1, version="rand")(KEY, two, INPUTS, np.array([0, 1, 0]))
    with pytest.raises(ValueError, match="num_targets must be at most 3, one less than the classes, got 9"):
        attacks.autoattack(0.1)(KEY, model, INPUTS, LABELS)
    with pytest.raises(ValueError, match="version must be one of standard, rand, got 'plus'"):
        attacks.autoattack(0.1, version="plus")
    with pytest.raises(ValueError, match="attack must be a single attack"):
        attacks.every_target(attacks.autoattack(0.1), 2)


def test_smallest_prefers_the_smaller_perturbation():
    problem = attacks.fgsm(0.1).problem(KEY, model, INPUTS, LABELS)
    near, far = (attacks.fgsm(epsilon)(KEY, model, INPUTS, LABELS) for epsilon in (0.1, 0.2))
    score = smallest("linf")
    assert (score(model, problem, near) > score(model, problem, far)).all()
