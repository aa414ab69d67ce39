"""Theorem 2 over exact problems, each step of the proof behind its constants, and how little it says."""

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest

from ib_jax import evaluation, exact
from tests.exact.attacked import random_problem

unit = st.floats(0, 1)


def phi(a):
    return -a * np.log(np.where(a > 0, a, 1.0))


def bound_of(code):
    rates = [max(0.0, float(each.information_xz)) for each in (code.information, code.adversarial_information)]
    return evaluation.robustness_bound(
        evaluation.robustness_constants(code.p_x, code.q_x),
        *rates,
        lipschitz=code.lipschitz,
        epsilon=code.epsilon,
        num_codes=code.num_codes,
    )


@hypothesis.given(unit, unit)
@hypothesis.settings(deadline=None)
def test_psi_bounds_the_change_of_the_entropy_function(a, b):
    assert abs(phi(np.float64(a)) - phi(np.float64(b))) <= evaluation.psi(abs(a - b)) + 1e-15


def test_psi_is_tight_monotone_concave_and_in_nats():
    x = np.linspace(0, 1 / np.e, 200)
    np.testing.assert_allclose(evaluation.psi(x), np.abs(phi(0.0 * x) - phi(x)))  # attained at the end 0
    grid = evaluation.psi(np.linspace(0, 3, 3001))
    assert np.all(np.diff(grid) >= 0)
    assert np.all(np.diff(grid, 2) <= 1e-15)
    assert evaluation.psi(1 / np.e) == pytest.approx(1 / np.e)
    assert evaluation.psi(100.0) == pytest.approx(1 / np.e)
    with pytest.raises(ValueError, match="values must be >= 0, got -1"):
        evaluation.psi([0.5, -1.0])


@hypothesis.given(hnp.arrays(np.float64, 2, elements=st.floats(1e-9, 50)))
@hypothesis.settings(deadline=None)
def test_the_two_facts_on_psi_that_the_proof_uses(pair):
    a, b = pair
    psi = evaluation.psi
    assert psi(a * b) <= a * psi(b) + b * psi(a) + 1e-12
    assert psi(a) <= 2 / np.e * np.sqrt(a) + 1e-12


def test_theorem_2_holds_and_is_vacuous():
    tightest = {"total": 0.0, "trivial": 0.0, "smooth": 0.0}
    for seed in range(300):
        code = exact.attacked_code(*random_problem(seed))
        bound = bound_of(code)
        for name in tightest:
            value = getattr(bound, name)
            assert code.vulnerability <= value + 1e-12, (seed, name)
            tightest[name] = max(tightest[name], code.vulnerability / value)
        assert bound.total >= bound.trivial
        assert bound.clean_term >= code.information.information_xz
        assert bound.adversarial_term >= code.adversarial_information.information_xz - 1e-12
    assert tightest["total"] < 0.1 < tightest["trivial"]


def test_the_bound_of_smoothness_vanishes_with_epsilon_and_the_theorem_does_not():
    for shift in np.geomspace(1e-9, 0.3, 10):  # Y is known from T, and the attack swaps the inputs
        encoder = np.array([[0.5 + shift, 0.5 - shift], [0.5 - shift, 0.5 + shift]])
        code = exact.attacked_code([[0.0], [1.0]], [[0.7, 0.0], [0.0, 0.3]], encoder, [1, 0])
        bound = bound_of(code)
        assert code.vulnerability <= bound.smooth + 1e-15
        np.testing.assert_allclose(bound.smooth, 2 * 2 * evaluation.psi(2 * shift))
    encoder = np.array([[0.9, 0.1], [0.1, 0.9], [0.9 - 1e-9, 0.1 + 1e-9], [0.1 + 1e-9, 0.9 - 1e-9]])
    joint = [[0.7, 0.0], [0.0, 0.3], [0.0, 0.0], [0.0, 0.0]]
    code = exact.attacked_code([[0.0], [1.0], [1e-9], [1.0 + 1e-9]], joint, encoder, [2, 3, 0, 1])
    assert code.vulnerability < 1e-8
    assert bound_of(code).smooth < 1e-6
    assert bound_of(code).trivial > 0.2
    assert bound_of(code).total > 2


def test_each_step_of_the_proof():
    tightest = np.zeros(4)
    for seed in range(300):
        _, joint, encoder, _ = random_problem(seed)
        rng = np.random.default_rng(seed)
        joint, encoder = joint[:-1], encoder[:-1] ** rng.choice([1, 5, 50])
        encoder /= encoder.sum(1, keepdims=True)
        if seed % 3 == 0:
            joint = np.diag(joint.sum(1))  # Y = X
        p_x, p_y = joint.sum(1), joint.sum(0)
        information = exact.table_information(joint, encoder)
        rate, useful = max(0.0, float(information.information_xz)), float(information.information_zy)
        p_t = p_x @ encoder
        spread_t = np.linalg.norm(encoder - p_t, axis=0)
        spread_y = np.linalg.norm(joint / p_y - p_x[:, None], axis=0)
        nu, highest = p_y @ spread_y, np.sqrt(1 - np.sum(p_x**2))
        psi = evaluation.psi
        chain = [
            (useful, psi(np.outer(spread_t, spread_y)).sum(0) @ p_y),
            (nu, highest),
            (spread_t.sum(), np.sqrt(2 * rate) / p_x.min()),
            (psi(spread_t).sum(), 2 / np.e * np.sqrt(len(p_t) * spread_t.sum())),
        ]
        for step, (low, high) in enumerate(chain):
            assert low <= high + 1e-12, (seed, step)
            tightest[step] = max(tightest[step], low / high if high else 0.0)
        # What the constants are made of, put together again.
        root, fourth_root = evaluation.robustness_constants(p_x, p_x)[:2]
        assert useful <= psi(highest) * spread_t.sum() + highest * psi(spread_t).sum() + 1e-12
        np.testing.assert_allclose(root, np.sqrt(2) * psi(highest) / p_x.min())
        rest = 2 / np.e * highest * np.sqrt(np.sqrt(2) / p_x.min())
        np.testing.assert_allclose(fourth_root, rest)
    assert np.all(tightest > [0.3, 0.99, 0.25, 0.5]), tightest


def test_the_terms_are_put_together_as_printed():
    constants = evaluation.RobustnessConstants(1.0, 2.0, 3.0, 4.0)
    bound = evaluation.robustness_bound(
        constants, 0.16, 0.0081, lipschitz=0.1, epsilon=0.5, num_codes=(16, 81, 90)
    )  # fmt: skip
    expected = 90 * 0.05 * np.log(20), 1 * 4 * 0.4 + 2 * 8 * 0.16**0.25, 3 * 9 * 0.09 + 4 * 27 * 0.3
    np.testing.assert_allclose(bound[:3], expected)
    np.testing.assert_allclose(bound[3:], [expected[0] + max(expected[1:]), 0.16, 2 * expected[0]])
    images = evaluation.robustness_constants(np.full(60_000, 1 / 60_000), np.full(60_000, 1 / 60_000))
    assert images.clean_root > 3e4  # for as many images as MNIST has: of no use


def test_bad_input_is_refused():
    constants = evaluation.robustness_constants([1.0], [1.0])
    good = {"lipschitz": 1.0, "epsilon": 1.0, "num_codes": (1, 1, 1)}
    for rates, changes, message in [
        ((-1.0, 0.0), {}, "information_xz must be >= 0, got -1.0"),
        ((0.0, float("nan")), {}, "adversarial_information_xz must be >= 0, got nan"),
        ((0.0, 0.0), {"epsilon": -2.0}, "epsilon must be >= 0, got -2.0"),
        ((0.0, 0.0), {"num_codes": (3, 2, 2)}, "num_codes must be >= 1 with the last no less"),
    ]:
        with pytest.raises(ValueError, match=message):
            evaluation.robustness_bound(constants, *rates, **(good | changes))
    with pytest.raises(ValueError, match="q_x must be a list of numbers >= 0 with sum 1"):
        evaluation.robustness_constants([1.0], [0.5])
