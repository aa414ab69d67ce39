import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats

from ib_jax import DiagGaussian, GaussianMixture, losses

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
