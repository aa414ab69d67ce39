import itertools

import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
import scipy.stats

from ib_jax import exact


def random_problem(seed, dim=3):
    rng = np.random.default_rng(seed)
    factor = rng.normal(size=(dim, dim))
    return exact.TwoGaussians(rng.normal(size=(2, dim)), factor @ factor.T + 0.3 * np.eye(dim)), rng


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_the_log_likelihood_ratio_is_linear_and_the_oracle_its_sign(dim):
    problem, rng = random_problem(0, dim)
    oracle = problem.oracle()
    points, _ = problem.sample(rng, 50)
    densities = [scipy.stats.multivariate_normal(mean, problem.covariance).logpdf(points) for mean in problem.means]
    ratio = densities[1] - densities[0]
    np.testing.assert_allclose(points @ oracle.weights - oracle.threshold, ratio, atol=1e-9)
    np.testing.assert_array_equal(oracle.predict(points), ratio > 0)
    inverse = np.linalg.inv(problem.covariance)  # c as the paper prints it
    printed = 0.5 * (problem.means[1] @ inverse @ problem.means[1] - problem.means[0] @ inverse @ problem.means[0])
    np.testing.assert_allclose(oracle.threshold, printed)


def test_errors_and_disagreements_are_those_of_samples():
    problem, rng = random_problem(1)
    points, labels = problem.sample(rng, 100_000)
    oracle = problem.oracle()
    separation = np.sqrt(oracle.weights @ problem.covariance @ oracle.weights)
    np.testing.assert_allclose(problem.error(oracle), scipy.stats.norm.cdf(-separation / 2))
    for weights, threshold in [(oracle.weights, oracle.threshold + 0.7), (rng.normal(size=3), 0.4), (np.zeros(3), 1.0)]:
        rule = exact.LinearClassifier(weights, threshold)
        np.testing.assert_allclose(problem.error(rule), np.mean(rule.predict(points) != labels), atol=6e-3)
        differ = np.mean(rule.predict(points) != oracle.predict(points))
        np.testing.assert_allclose(problem.disagreement(rule), differ, atol=6e-3)
    opposite = exact.LinearClassifier(-2.0 * oracle.weights, -2.0 * oracle.threshold)
    np.testing.assert_allclose([problem.disagreement(opposite), problem.disagreement(oracle)], [1.0, 0.0], atol=1e-15)


def test_disagreement_is_the_integral_over_the_wedges():
    problem, rng = random_problem(2, 2)
    rule, oracle = exact.LinearClassifier(rng.normal(size=2), 0.3), problem.oracle()
    pair = np.stack([oracle.weights, rule.weights])
    covariance, expected = pair @ problem.covariance @ pair.T, 0.0
    slope = covariance[0, 1] / covariance[0, 0]
    rest = np.sqrt(covariance[1, 1] - slope * covariance[0, 1])
    for mean in problem.means:
        centre, deviation = pair @ mean, np.sqrt(covariance[0, 0])

        def integrand(u, centre=centre, deviation=deviation):
            low = scipy.stats.norm.cdf(rule.threshold, centre[1] + slope * (u - centre[0]), rest)
            return scipy.stats.norm.pdf(u, centre[0], deviation) * (low if u > oracle.threshold else 1.0 - low)

        ends = centre[0] - 9 * deviation, oracle.threshold, centre[0] + 9 * deviation
        for low, high in itertools.pairwise(ends):
            expected += 0.5 * scipy.integrate.quad(integrand, low, high, epsabs=1e-12)[0]
    np.testing.assert_allclose(problem.disagreement(rule), expected, atol=1e-9)


def test_the_oracle_and_sufficient_statistics_have_no_adversarial_example_and_others_have():
    for seed, dim in [(3, 2), (4, 3), (5, 6)]:
        problem, rng = random_problem(seed, dim)
        oracle, points = problem.oracle(), problem.sample(rng, 200)[0]
        minimal, longer = oracle.weights[None], np.stack([oracle.weights, problem.nuisance()])
        for statistic in (minimal, longer, np.eye(dim), -3.0 * minimal):
            rule = problem.best_decoder(statistic)
            assert problem.disagreement(rule) < 1e-12
            assert np.all(np.isinf(exact.adversarial_distance(rule, oracle, points)))
        means_alone = (problem.means[1] - problem.means[0])[None]
        rule = problem.best_decoder(means_alone)
        assert problem.disagreement(rule) > 1e-3
        assert problem.error(rule) > problem.error(oracle)
        distances = exact.adversarial_distance(rule, oracle, points)
        assert np.all(np.isfinite(distances))
        # Not even a minimal sufficient statistic is safe with a decoder that is not the best one.
        shifted = oracle._replace(threshold=oracle.threshold + 0.1)
        assert np.all(np.isfinite(exact.adversarial_distance(shifted, oracle, points)))
        # No decoder of that statistic does better.
        weights = means_alone[0]
        errors = [problem.error(exact.LinearClassifier(weights, cut)) for cut in np.linspace(-9, 9, 999)]
        assert problem.error(rule) <= min(errors) + 1e-12


def test_the_distance_to_a_wedge_is_that_of_a_projection():
    rng = np.random.default_rng(6)
    for dim in (2, 4):
        rules = [exact.LinearClassifier(rng.normal(size=dim), rng.normal()) for _ in range(2)]
        points = 2.0 * rng.normal(size=(25, dim))
        found = exact.adversarial_distance(*rules, points)
        zero = found == 0
        np.testing.assert_array_equal(zero, rules[0].predict(points) != rules[1].predict(points))
        assert 3 < zero.sum() < 22
        for point, distance in zip(points[~zero], found[~zero], strict=True):
            reached = []
            for side in (1.0, -1.0):  # one wedge, the other, G x >= h: Lawson and Hanson's least distance by NNLS
                signs = np.array([side, -side])
                walls = signs[:, None] * np.stack([rule.weights for rule in rules])
                heights = signs * [rule.threshold for rule in rules] - walls @ point
                system, target = np.concatenate([walls.T, heights[None]]), np.eye(dim + 1)[-1]
                residual = system @ scipy.optimize.nnls(system, target)[0] - target
                reached.append(np.linalg.norm(residual[:-1] / residual[-1]))
            np.testing.assert_allclose(distance, min(reached), atol=1e-9)


def test_parallel_opposite_and_constant_classifiers():
    oracle, points = exact.LinearClassifier(np.array([2.0, 0.0]), 1.0), np.array([[-1.0, 3.0], [0.6, 0.0], [2.0, 0.0]])
    distance = lambda weights, threshold: exact.adversarial_distance(
        exact.LinearClassifier(np.array(weights), threshold), oracle, points
    )
    np.testing.assert_allclose(distance([1.0, 0.0], 0.7), [1.5, 0.0, 1.3])  # the slab from 0.5 to 0.7
    np.testing.assert_allclose(distance([1.0, 0.0], 0.5), np.inf)
    np.testing.assert_allclose(distance([-1.0, 0.0], -0.5), 0.0)
    np.testing.assert_allclose(distance([-1.0, 0.0], -0.8), [0.0, 0.1, 0.0])  # below 0.5 and above 0.8
    np.testing.assert_allclose(distance([-1.0, 0.0], 0.3), [0.0, 0.0, 0.0], atol=0)
    np.testing.assert_allclose(distance([0.0, 0.0], 0.0), [1.5, 0.0, 0.0])  # always 0: wrong above 0.5
    np.testing.assert_allclose(distance([0.0, 0.0], -1.0), [0.0, 0.1, 1.5])  # always 1
    np.testing.assert_allclose(exact.boundary_distance(oracle, points), [1.5, 0.1, 1.5])
    assert np.isinf(exact.boundary_distance(exact.LinearClassifier(np.zeros(2), 1.0), points)).all()


def test_information_of_a_noisy_statistic_is_that_of_the_mixture():
    problem, rng = random_problem(7)
    statistic, noise = rng.normal(size=(1, 3)), 0.6
    means = problem.means @ statistic[0]
    deviation = np.sqrt(float((statistic @ problem.covariance @ statistic.T)[0, 0]) + noise**2)
    density = lambda t: scipy.stats.norm.pdf(t, means, deviation).mean()
    entropy = scipy.integrate.quad(lambda t: -density(t) * np.log(density(t)), -30, 30, limit=300, epsabs=1e-11)[0]
    found = problem.information(statistic, noise)
    np.testing.assert_allclose(found.information_xz, entropy - scipy.stats.norm.entropy(0, noise), atol=1e-9)
    np.testing.assert_allclose(found.information_zy, entropy - scipy.stats.norm.entropy(0, deviation), atol=1e-9)
    np.testing.assert_allclose(found.residual, np.log(deviation / noise), atol=1e-12)


def test_information_of_two_statistics_is_that_of_the_plane():
    problem, rng = random_problem(8)
    statistic, noise = rng.normal(size=(2, 3)), 0.8
    covariance = statistic @ problem.covariance @ statistic.T + noise**2 * np.eye(2)
    axis = np.linspace(-40, 40, 801)  # the trapezium rule converges faster than any power for these densities
    plane = np.stack(np.meshgrid(axis, axis), -1)
    given_y = [scipy.stats.multivariate_normal(statistic @ mean, covariance).pdf(plane) for mean in problem.means]
    density, cell = 0.5 * (given_y[0] + given_y[1]), (axis[1] - axis[0]) ** 2
    entropy = -cell * np.sum(density * np.log(np.where(density > 0, density, 1.0)))
    found = problem.information(statistic, noise)
    np.testing.assert_allclose(found.information_xz, entropy - np.log(2 * np.pi * np.e * noise**2), atol=1e-7)
    own = scipy.stats.multivariate_normal(cov=covariance).entropy()
    np.testing.assert_allclose(found.information_zy, entropy - own, atol=1e-7)


def test_a_nuisance_costs_rate_and_tells_nothing():
    problem, rng = random_problem(9, 4)
    theta, nuisance = problem.oracle().weights, problem.nuisance()
    everything = problem.information(np.eye(4)).information_zy
    for noise in (0.0, 0.01, 1.0):
        minimal, longer = (problem.information(rows, noise) for rows in (theta[None], np.stack([theta, nuisance])))
        np.testing.assert_allclose(longer.information_zy, minimal.information_zy, rtol=1e-9)
        if noise:
            extra = 0.5 * np.log1p(nuisance @ problem.covariance @ nuisance / noise**2)
            np.testing.assert_allclose(longer.information_xz - minimal.information_xz, extra)
    np.testing.assert_allclose(problem.information(theta[None]).information_zy, everything, rtol=1e-9)
    for _ in range(5):  # any other direction tells less
        assert problem.information(rng.normal(size=(1, 4))).information_zy < everything - 1e-4
    assert problem.information(nuisance[None]).information_zy < 1e-12
    assert problem.information(theta[None]).information_xz == np.inf
    far = exact.TwoGaussians([[-1e6], [1e6]], [[1.0]])
    np.testing.assert_allclose(far.information([[1.0]]).information_zy, np.log(2))


def test_bad_input_is_refused():
    for arguments, message in [
        (([[0.0, 1.0]], np.eye(2)), r"means must be finite, of shape \[2, D\], got shape \(1, 2\)"),
        (([[0.0], [1.0]], np.eye(2)), r"covariance must have shape \(1, 1\), got \(2, 2\)"),
        (([[0.0], [1.0]], [[-1.0]]), "covariance must be symmetric positive definite"),
        (([[1.0], [1.0]], [[1.0]]), "means must be different"),
    ]:
        with pytest.raises(ValueError, match=message):
            exact.TwoGaussians(*arguments)
    problem = exact.TwoGaussians([[0.0], [1.0]], [[1.0]])
    with pytest.raises(ValueError, match="at least 2 dimensions for a nuisance"):
        problem.nuisance()
    with pytest.raises(ValueError, match="noise must be a number >= 0, got -1"):
        problem.information([[1.0]], -1.0)
    with pytest.raises(ValueError, match=r"statistic must have shape \[K, 1\], got \(1, 2\)"):
        problem.best_decoder([[1.0, 2.0]])
    with pytest.raises(ValueError, match=r"classifier.weights must have shape \(1,\), got \(2,\)"):
        problem.error(exact.LinearClassifier(np.ones(2), 0.0))
    with pytest.raises(ValueError, match="and classifier"):
        exact.adversarial_distance(exact.LinearClassifier(np.ones(2), 0.0), problem.oracle(), [[0.0]])
