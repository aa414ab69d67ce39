"""Lemma 1 and encoders on a grid of codes, over random problems and by naive sums."""

import numpy as np
import pytest
import scipy.stats

from ib_jax import DiagGaussian, exact
from tests.exact.attacked import random_problem


def test_lemma_1_holds_and_is_attained():
    ratios = []
    for seed in range(200):
        code = exact.attacked_code(*random_problem(seed))
        assert code.code_shift <= code.lipschitz * code.epsilon + 1e-12
        ratios.append(code.code_shift / (code.lipschitz * code.epsilon))
    assert max(ratios) > 0.5
    # All inputs moved alike along an encoder that is linear in x: equality.
    points = np.array([[0.0], [1.0], [2.0]])
    encoder = np.concatenate([0.2 + 0.3 * points, 0.8 - 0.3 * points], axis=1)
    code = exact.attacked_code(points, [[0.3, 0.3], [0.4, 0.0], [0.0, 0.0]], encoder, [1, 2, 2])
    np.testing.assert_allclose([code.code_shift, code.lipschitz * code.epsilon], [0.3, 0.3])
    # Where an attack leads counts, also off the support, and other inputs off it do not.
    encoder = np.array([[1.0, 0.0], [0.6, 0.4], [0.0, 1.0]])
    code = exact.attacked_code([[0.0], [2.0], [2.1]], [[0.5, 0.5], [0.0, 0.0], [0.0, 0.0]], encoder, [1, 2, 0])
    np.testing.assert_allclose([code.lipschitz, code.epsilon], [0.2, 2.0])


def test_attacked_codes_are_those_of_naive_sums():
    points, joint, encoder, attack = random_problem(3)
    code = exact.attacked_code(points, joint, encoder, attack, order=np.inf)
    q_t, with_y = np.zeros(4), np.zeros((4, 2))
    for x in range(5):
        q_t += joint[x].sum() * encoder[attack[x]]
        with_y += np.outer(encoder[attack[x]], joint[x])
    np.testing.assert_allclose(code.q_t, q_t)
    np.testing.assert_allclose(code.p_t, joint.sum(1) @ encoder)
    independent = np.outer(with_y.sum(1), with_y.sum(0))
    np.testing.assert_allclose(
        code.adversarial_information.information_zy, np.sum(with_y * np.log(with_y / independent)), atol=1e-12
    )
    reached = [np.abs(points[x] - points[attack[x]]).max() for x in range(5) if joint[x].any()]
    np.testing.assert_allclose(code.epsilon, max(reached))
    np.testing.assert_allclose(code.q_x, [sum(joint[x].sum() for x in range(5) if attack[x] == y) for y in range(5)])
    change = abs(code.information.information_zy - code.adversarial_information.information_zy)
    assert code.vulnerability == pytest.approx(change)
    assert code.num_codes == (4, 4, 4)


def test_the_encoder_on_a_grid_and_its_lipschitz_constant():
    points, _, _, _ = random_problem(4)
    mean, scale = 2.0 * points, np.full((5, 2), 0.5)
    codes = np.random.default_rng(0).normal(size=(3, 2))
    density = scipy.stats.norm.pdf(codes, mean[:, None], scale[:, None]).prod(-1)
    found = exact.quantised_encoder(DiagGaussian(mean, scale), codes)
    np.testing.assert_allclose(found, density / density.sum(1, keepdims=True))
    np.testing.assert_allclose(exact.code_log_density(DiagGaussian(mean, scale), codes), np.log(density))
    slopes = [
        abs(found[i, t] - found[j, t]) / np.linalg.norm(points[i] - points[j])
        for i in range(5)
        for j in range(i)
        for t in range(3)
    ]
    np.testing.assert_allclose(exact.encoder_lipschitz(points, found), max(slopes))
    far = exact.quantised_encoder(DiagGaussian(np.array([[1e4]]), np.array([[0.1]])), [[-1.0], [1.0]])
    np.testing.assert_array_equal(far, [[0.0, 1.0]])
    assert exact.encoder_lipschitz([[0.0], [0.0]], [[0.0, 1.0], [1.0, 0.0]]) == np.inf


def test_quantising_bounds_the_lipschitz_constant_and_the_printed_bound_is_false():
    ratios = {"bound": [], "printed": []}
    for seed in range(300):
        rng = np.random.default_rng(seed)
        points = rng.normal(size=(6, 1)) * rng.uniform(0.01, 1)
        codes = rng.normal(size=(rng.integers(1, 7), 1))
        encoding = DiagGaussian(points * rng.uniform(0.5, 3), np.full((6, 1), rng.uniform(0.4, 2)))
        log_density = exact.code_log_density(encoding, codes)
        own = exact.encoder_lipschitz(points, exact.quantised_encoder(encoding, codes))
        bound, printed = exact.quantised_lipschitz(exact.encoder_lipschitz(points, np.exp(log_density)), log_density)
        assert own <= bound * (1 + 1e-9)
        if len(codes) > 1:
            ratios["bound"].append(own / bound)
            ratios["printed"].append(own / printed)
    assert max(ratios["bound"]) > 0.9
    # Three codes of one density, where one rises and two fall: 4/3 of what is printed.
    encoding = DiagGaussian(np.array([[0.0], [1e-4]]), np.ones((2, 1)))
    codes = np.array([[1.0], [-1.0], [-1.0 - 1e-6]])
    log_density = exact.code_log_density(encoding, codes)
    own = exact.encoder_lipschitz(encoding.mean, exact.quantised_encoder(encoding, codes))
    bound, printed = exact.quantised_lipschitz(exact.encoder_lipschitz(encoding.mean, np.exp(log_density)), log_density)
    assert own / printed == pytest.approx(4 / 3, rel=1e-3)
    assert own / bound == pytest.approx(1, rel=1e-3)


def test_bad_input_is_refused():
    points, joint, encoder, attack = random_problem(0)
    for arguments, message in [
        ((points[:2], joint, encoder, attack), r"points must have shape \[5, D\], got \(2, 2\)"),
        ((points, joint, encoder[:2], attack), r"encoder must have shape \[5, M\], got \(2, 4\)"),
        ((points, joint, encoder, attack[:2]), "attack must be 5 integers"),
        ((points, joint, encoder, attack + 9), r"attack must be indices in \[0, 5\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            exact.attacked_code(*arguments)
    with pytest.raises(ValueError, match=r"encoding must have fields \[N, K\] and codes be \[M, K\]"):
        exact.quantised_encoder(DiagGaussian(points, points), [[1.0]])
    with pytest.raises(ValueError, match=r"encoding must have scales > 0, got 0.0"):
        exact.quantised_encoder(DiagGaussian(points, 0 * points), points)
    with pytest.raises(ValueError, match=r"points must be \[N, D\] and encoder \[N, M\]"):
        exact.encoder_lipschitz(points, encoder[:1])
    with pytest.raises(ValueError, match="density_lipschitz >= 0"):
        exact.quantised_lipschitz(-1.0, [[0.0]])
