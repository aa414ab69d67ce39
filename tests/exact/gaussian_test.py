import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.optimize

from ib_jax import exact

seeds = st.integers(0, 10_000)
CORRELATIONS = np.array([0.5, 0.9, 0.0, 0.7])


def random_covariances(seed, dim_x=3, dim_y=2):
    root = np.random.default_rng(seed).normal(size=(dim_x + dim_y, dim_x + dim_y + 2))
    joint = root @ root.T
    return joint[:dim_x, :dim_x], joint[dim_x:, dim_x:], joint[:dim_x, dim_x:]


def naive_information(weights, scale, cov_x, cov_y, cov_xy):
    """I(X;Z) and I(Z;Y) from the joint covariances of all the variables."""
    noise = np.diag(np.square(scale))
    cov_z = weights @ cov_x @ weights.T + noise
    cov_zy = weights @ cov_xy
    both = np.block([[cov_z, cov_zy], [cov_zy.T, cov_y]])
    log_det = lambda matrix: np.linalg.slogdet(matrix)[1]
    return 0.5 * (log_det(cov_z) - log_det(noise)), 0.5 * (log_det(cov_z) + log_det(cov_y) - log_det(both))


def optimal_weights(covariances, beta):
    """Chechik's code for unit noise: canonical directions of X, each with its gain."""
    cov_x, cov_y, cov_xy = covariances
    values, vectors = np.linalg.eigh(cov_x)
    whiten = vectors / np.sqrt(values) @ vectors.T
    values, directions = np.linalg.eigh(whiten @ cov_xy @ np.linalg.solve(cov_y, cov_xy.T) @ whiten)
    squares = np.clip(values, 1e-15, None)
    gains = np.sqrt(np.maximum((1 - beta) * squares / (beta * (1 - squares)) - 1, 0.0))
    return gains[:, None] * (directions.T @ whiten)


@hypothesis.given(seeds, st.integers(1, 4), st.integers(1, 4))
@hypothesis.settings(deadline=None, max_examples=20)
def test_canonical_correlations_are_the_roots_of_the_eigenvalues(seed, dim_x, dim_y):
    cov_x, cov_y, cov_xy = random_covariances(seed, dim_x, dim_y)
    product = np.linalg.solve(cov_x, cov_xy) @ np.linalg.solve(cov_y, cov_xy.T)
    expected = np.sqrt(np.clip(np.sort(np.linalg.eigvals(product).real)[::-1][: min(dim_x, dim_y)], 0, None))
    np.testing.assert_allclose(exact.canonical_correlations(cov_x, cov_y, cov_xy), expected, atol=1e-7)


def test_critical_betas_are_squares_descending():
    np.testing.assert_allclose(exact.critical_betas(CORRELATIONS), [0.81, 0.49, 0.25, 0.0])


@pytest.mark.parametrize("beta", [0.05, 0.3, 0.45, 0.6])
def test_the_curve_is_the_best_that_a_general_optimiser_finds(beta):
    covariances, rng = random_covariances(10), np.random.default_rng(0)

    def objective(flat):
        xz, zy = naive_information(flat.reshape(3, 3), np.ones(3), *covariances)
        return beta * xz - zy

    lowest = min(scipy.optimize.minimize(objective, 0.3 * rng.normal(size=9)).fun for _ in range(3))
    curve = exact.gaussian_curve(exact.canonical_correlations(*covariances), [beta])
    got = (beta * curve.information_xz - curve.information_zy)[0]
    assert got < -1e-3
    np.testing.assert_allclose(got, lowest, atol=1e-7)


@hypothesis.given(seeds, st.floats(0.01, 0.9))
@hypothesis.settings(deadline=None, max_examples=20)
def test_the_optimal_linear_encoder_is_on_the_curve(seed, beta):
    covariances = random_covariances(seed)
    got = exact.linear_encoder_information(optimal_weights(covariances, beta), np.ones(3), *covariances)
    curve = exact.gaussian_curve(exact.canonical_correlations(*covariances), [beta])
    np.testing.assert_allclose(got[:2], [curve.information_xz[0], curve.information_zy[0]], atol=1e-6)


@hypothesis.given(seeds, st.integers(1, 4))
@hypothesis.settings(deadline=None, max_examples=20)
def test_linear_encoders_equal_the_naive_determinants_and_lie_under_the_frontier(seed, dim_z):
    rng, covariances = np.random.default_rng(seed), random_covariances(seed)
    weights, scale = rng.normal(size=(dim_z, 3)), rng.uniform(0.1, 3.0, dim_z)
    got = exact.linear_encoder_information(weights, scale, *covariances)
    np.testing.assert_allclose(got[:2], naive_information(weights, scale, *covariances), atol=1e-10)
    np.testing.assert_allclose(got.information_xz, got.information_zy + got.residual, atol=1e-12)
    best = exact.gaussian_frontier(exact.canonical_correlations(*covariances), got.information_xz)
    assert got.information_zy <= best + 1e-10


def test_tiny_information_is_not_rounded_away():
    got = exact.linear_encoder_information([[1e-9]], [1.0], [[1.0]], [[1.0]], [[0.6]])
    np.testing.assert_allclose(got, [0.5e-18, 0.18e-18, 0.32e-18], rtol=1e-9)


def test_the_curve_is_continuous_and_its_slope_is_beta():
    for critical in (0.81, 0.49, 0.25):
        sides = exact.gaussian_curve(CORRELATIONS, critical * np.array([1.0 - 1e-9, 1.0 + 1e-9]))
        np.testing.assert_allclose(np.diff(sides.information_xz), 0.0, atol=1e-7)
        np.testing.assert_allclose(np.diff(sides.information_zy), 0.0, atol=1e-7)
    betas = np.array([0.02, 0.2, 0.3, 0.6, 0.8])
    low, high = (exact.gaussian_curve(CORRELATIONS, betas + step) for step in (-1e-5, 1e-5))
    slope = (high.information_zy - low.information_zy) / (high.information_xz - low.information_xz)
    np.testing.assert_allclose(slope, betas, rtol=1e-6)


def test_the_ends_of_the_curve():
    curve = exact.gaussian_curve(CORRELATIONS, [0.0, 0.81, 1.0, 5.0])
    whole = -0.5 * np.log1p(-(CORRELATIONS**2)).sum()
    np.testing.assert_allclose(curve.information_xz, [np.inf, 0.0, 0.0, 0.0])
    np.testing.assert_allclose(curve.information_zy, [whole, 0.0, 0.0, 0.0])
    np.testing.assert_allclose(exact.gaussian_frontier(CORRELATIONS, [[np.inf], [0.0]]), [[whole], [0.0]], atol=1e-15)
    np.testing.assert_array_equal(exact.gaussian_frontier([0.0], [0.0, 2.0]), [0.0, 0.0])


@hypothesis.given(st.lists(st.floats(0.05, 0.98), min_size=1, max_size=4), st.floats(0.001, 0.95))
@hypothesis.settings(deadline=None, max_examples=20)
def test_the_frontier_inverts_the_curve(correlations, beta):
    curve = exact.gaussian_curve(correlations, [beta, beta / 2])
    got = exact.gaussian_frontier(correlations, curve.information_xz)
    np.testing.assert_allclose(got, curve.information_zy, atol=1e-12)


def test_bad_input_is_refused():
    eye = np.eye(2)
    for arguments, message in [
        (([1.0], eye, eye), "cov_x must be a square matrix, got shape \\(1,\\)"),
        ((eye, [[1.0, 0.5], [0.0, 1.0]], eye), "cov_y must be symmetric, got entries that differ by 0.5"),
        (([[1.0, 2.0], [2.0, 1.0]], eye, eye), "cov_x must be positive definite, got an eigenvalue of -1"),
        ((eye, eye, np.ones((2, 3))), "cov_xy must have shape \\(2, 2\\), got \\(2, 3\\)"),
        ((eye, eye, eye), "cov_xy must leave every canonical correlation below 1, got one of 1"),
    ]:
        with pytest.raises(ValueError, match=message):
            exact.canonical_correlations(*arguments)
    for correlations in ([1.0], [-0.1], 0.5, [np.nan]):
        with pytest.raises(ValueError, match="correlations must be a list of numbers in"):
            exact.critical_betas(correlations)
    with pytest.raises(ValueError, match="betas must be a list of numbers >= 0"):
        exact.gaussian_curve([0.5], [-0.1])
    with pytest.raises(ValueError, match=r"information_xz must be >= 0 nats, got -0\.1"):
        exact.gaussian_frontier([0.5], -0.1)
    with pytest.raises(ValueError, match="weights must have shape \\[Dz, 2\\], got \\(1, 3\\)"):
        exact.linear_encoder_information(np.ones((1, 3)), [1.0], eye, eye, 0.5 * eye)
    with pytest.raises(ValueError, match=r"scale must be 1 numbers > 0, got \[0\.\]"):
        exact.linear_encoder_information(np.ones((1, 2)), [0.0], eye, eye, 0.5 * eye)
