import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats

from ib_jax import DiagGaussian, Gaussian, GaussianMixture, losses

means = st.floats(-50, 50, width=32)
scales = st.sampled_from([1e-6, 1e-3, 0.5, 1.0, 2.0, 1e3, 1e6])


def naive_kl(p, q):
    (m, s), (n, t) = (np.asarray(field, np.float64) for field in p), (np.asarray(field, np.float64) for field in q)
    return np.sum(np.log(t) - np.log(s) + (s**2 + (m - n) ** 2) / (2 * t**2) - 0.5, -1)


@hypothesis.given(st.lists(st.tuples(means, scales, means, scales), min_size=1, max_size=5))
@hypothesis.settings(deadline=None, max_examples=80)
def test_kl_divergence_equals_the_naive_one_in_float64(rows):
    m, s, n, t = (jnp.array(column, jnp.float32) for column in zip(*rows, strict=True))
    got = jax.jit(losses.kl_divergence)(DiagGaussian(m, s), DiagGaussian(n, t))
    expected = naive_kl((m, s), (n, t))
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5 * len(rows))
    assert got >= -1e-5 * len(rows)


def test_kl_divergence_equals_numerical_integration():
    p, q = scipy.stats.norm(0.7, 0.4), scipy.stats.norm(-0.2, 1.3)
    expected, _ = scipy.integrate.quad(lambda z: p.pdf(z) * (p.logpdf(z) - q.logpdf(z)), -4, 5)
    one = jnp.ones(1)
    got = losses.kl_divergence(DiagGaussian(0.7 * one, 0.4 * one), DiagGaussian(-0.2 * one, 1.3 * one))
    np.testing.assert_allclose(got, expected, rtol=1e-5)


@pytest.mark.not_under("debug_infs", reason="the entropy of a point is minus infinity")
def test_kl_divergence_of_a_distribution_from_itself_is_zero_and_of_a_point_infinite():
    p = DiagGaussian(jnp.array([[3.0, -2.0]]), jnp.array([[1e-6, 1e6]]))
    np.testing.assert_array_equal(losses.kl_divergence(p, p), [0.0])
    point = DiagGaussian(jnp.zeros((2, 3)), jnp.zeros((2, 3)))
    np.testing.assert_array_equal(losses.kl_divergence(point, losses.standard_normal(3)), [np.inf, np.inf])


@hypothesis.given(st.lists(st.tuples(means, means, scales), min_size=1, max_size=5))
@hypothesis.settings(deadline=None, max_examples=80)
def test_log_prob_equals_scipys(rows):
    z, m, s = (np.array(column, np.float32) for column in zip(*rows, strict=True))
    expected = scipy.stats.norm(m.astype(float), s.astype(float)).logpdf(z).sum()
    got = jax.jit(losses.log_prob)(DiagGaussian(m, s), z)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def test_log_prob_gradients_match_finite_differences():
    jax.test_util.check_grads(
        lambda m, s, z: losses.log_prob(DiagGaussian(m, s), z),
        (jnp.array([0.3]), jnp.array([0.8]), jnp.array([-0.5])), order=1, modes=["rev"], rtol=1e-2,
    )  # fmt: skip


def test_shapes_dtypes_and_the_empty_batch():
    prior = losses.standard_normal(4)
    for batch in (0, 1, 5):
        p = DiagGaussian(jnp.ones((batch, 4), jnp.bfloat16), jnp.full((batch, 4), 0.1, jnp.bfloat16))
        got = losses.kl_divergence(p, prior)
        assert got.shape == (batch,)
        assert got.dtype == jnp.float32
        assert losses.log_prob(p, jnp.zeros((3, batch, 4))).shape == (3, batch)
    with jax.enable_x64(True):
        assert losses.log_prob(DiagGaussian(jnp.zeros(2), jnp.ones(2)), jnp.zeros(2)).dtype == jnp.float64


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="latent_dim must be at least 1, got 0"):
        losses.standard_normal(0)
    with pytest.raises(AssertionError):
        losses.log_prob(losses.standard_normal(2), jnp.zeros(2, jnp.int32))


@hypothesis.given(st.lists(st.tuples(means, means, scales, st.floats(-5, 5)), min_size=1, max_size=5), means)
@hypothesis.settings(deadline=None, max_examples=40)
def test_log_prob_of_a_mixture_equals_scipys(rows, z):
    _, m, s, logits = (np.array(column, np.float32) for column in zip(*rows, strict=True))
    log_weights = logits.astype(float) - scipy.special.logsumexp(logits.astype(float))
    components = scipy.stats.norm(m.astype(float), s.astype(float)).logpdf(z)
    mixture = GaussianMixture(logits, m[:, None], s[:, None])
    got = jax.jit(losses.log_prob)(mixture, jnp.array([z], jnp.float32))
    np.testing.assert_allclose(got, scipy.special.logsumexp(log_weights + components), rtol=1e-4, atol=1e-4)


@pytest.mark.not_under("debug_infs", reason="the entropy of a point is minus infinity")
def test_entropy_equals_scipys_and_has_no_nan_gradient_at_zero():
    scale = np.array([[1e-6, 0.5, 1e6]])
    got = losses.gaussian_entropy(DiagGaussian(jnp.zeros((1, 3)), jnp.asarray(scale, jnp.float32)))
    np.testing.assert_allclose(got, scipy.stats.norm(0, scale).entropy().sum(-1), rtol=1e-5)
    point = jnp.zeros(2)
    assert losses.gaussian_entropy(DiagGaussian(point, point)) == -np.inf
    gradient = jax.grad(lambda s: losses.kl_divergence(DiagGaussian(point, s), losses.standard_normal(2)))(point)
    np.testing.assert_array_equal(gradient, 0.0)


def factors(key, *batch):
    """Cholesky factors [..., 3, 3] with numbers above the diagonal, which nothing may look at."""
    matrix = jax.random.normal(jax.random.key(key), (*batch, 3, 3))
    return jnp.where(jnp.eye(3, dtype=bool), 0.3 + jnp.abs(matrix), matrix)


def covariance(dist):
    factor = np.tril(dist.scale_tril) if isinstance(dist, Gaussian) else np.eye(3) * np.asarray(dist.scale)[..., None]
    return factor.astype(float) @ factor.astype(float).mT


MEANS = jax.random.normal(jax.random.key(0), (2, 4, 3))
FULL, OTHER = Gaussian(MEANS[0], factors(1, 4)), Gaussian(MEANS[1, 0], factors(2))
DIAGONAL = DiagGaussian(MEANS[1], 0.5 + jnp.abs(MEANS[0]))


def test_log_prob_and_entropy_of_a_full_covariance_equal_scipys():
    values = 3 * jax.random.normal(jax.random.key(3), (5, 4, 3))
    got, entropy = jax.jit(losses.log_prob)(FULL, values), losses.gaussian_entropy(FULL)
    assert (got.shape, entropy.shape) == ((5, 4), (4,))
    for row, (mean, sigma) in enumerate(zip(np.asarray(MEANS[0], float), covariance(FULL), strict=True)):
        peer = scipy.stats.multivariate_normal(mean, sigma)
        np.testing.assert_allclose(got[:, row], peer.logpdf(values[:, row]), rtol=2e-5)
        np.testing.assert_allclose(entropy[row], peer.entropy(), rtol=1e-5)


@pytest.mark.parametrize("p", [FULL, DIAGONAL])
@pytest.mark.parametrize("q", [FULL, OTHER, DIAGONAL, losses.standard_normal(3)])
def test_kl_divergence_of_full_covariances_equals_numpys(p, q):
    """By traces, inverses and determinants of whole covariances, which our kernel never forms."""
    difference, own, other = np.asarray(q.mean, float) - np.asarray(p.mean, float), covariance(p), covariance(q)
    expected = np.trace(np.linalg.inv(other) @ own, axis1=-2, axis2=-1) - 3
    expected = expected + np.einsum("...i,...ij,...j", difference, np.linalg.inv(other), difference)
    expected = 0.5 * (expected + np.linalg.slogdet(other)[1] - np.linalg.slogdet(own)[1])
    np.testing.assert_allclose(jax.jit(losses.kl_divergence)(p, q), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.not_under("debug_infs", reason="the entropy of a point is minus infinity")
def test_a_full_covariance_without_correlation_is_the_diagonal_one_and_a_point_has_no_nan_gradient():
    same = Gaussian(DIAGONAL.mean, jax.vmap(jnp.diag)(DIAGONAL.scale))
    for kernel in (losses.gaussian_entropy, lambda p: losses.kl_divergence(p, losses.standard_normal(3))):
        np.testing.assert_allclose(kernel(same), kernel(DIAGONAL), rtol=1e-6)
    np.testing.assert_allclose(losses.log_prob(same, MEANS), losses.log_prob(DIAGONAL, MEANS), rtol=1e-6)
    rate = lambda factor: losses.kl_divergence(Gaussian(jnp.zeros(3), factor), losses.standard_normal(3))
    assert rate(jnp.zeros((3, 3))) == np.inf
    np.testing.assert_array_equal(jax.grad(rate)(jnp.zeros((3, 3))), 0.0)


def test_gradients_of_a_full_covariance_match_finite_differences():
    def total(mean, factor, *other):
        dist = Gaussian(mean, factor)
        return losses.kl_divergence(dist, Gaussian(*other)) + losses.log_prob(dist, other[0])

    with jax.enable_x64(True):
        wide = [jnp.asarray(leaf, jnp.float64) for leaf in (*FULL, *OTHER)]
        jax.test_util.check_grads(total, wide, order=1, modes=["rev"], rtol=1e-6)
