import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from ib_jax import DiagGaussian, losses

DIST = DiagGaussian(jnp.array([[1.0, -2.0], [0.0, 5.0], [3.0, 3.0]]), jnp.array([[0.5, 2.0], [1.0, 0.1], [0.0, 1e-6]]))


def test_samples_follow_the_distribution():
    codes = np.asarray(losses.sample(jax.random.key(0), DIST, 20000))
    assert codes.shape == (20000, 3, 2)
    mean, scale = np.asarray(DIST.mean), np.asarray(DIST.scale)
    for i, j in [(0, 0), (0, 1), (1, 0), (1, 1)]:
        assert scipy.stats.kstest(codes[:, i, j], scipy.stats.norm(mean[i, j], scale[i, j]).cdf).pvalue > 1e-3
    np.testing.assert_array_equal(codes[:, 2, 0], 3.0)  # a scale of zero: the mean


def test_an_examples_samples_depend_on_its_own_key_alone():
    keys = losses.per_example_keys(jax.random.key(7), 3)
    together = losses.sample(keys, DIST, 12)
    np.testing.assert_array_equal(together, losses.sample(jax.random.key(7), DIST, 12))
    order = jnp.array([2, 0, 1, 0])
    shuffled = losses.sample(keys[order], DiagGaussian(DIST.mean[order], DIST.scale[order]), 12)
    np.testing.assert_array_equal(shuffled, together[:, order])
    prefix = losses.sample(jax.random.key(7), DiagGaussian(DIST.mean[:2], DIST.scale[:2]), 1)
    np.testing.assert_array_equal(prefix, together[:1, :2])


def test_gradients_are_reparameterised():
    noise = losses.sample(jax.random.key(1), DiagGaussian(jnp.zeros((3, 2)), jnp.ones((3, 2))))

    def total(dist):
        return losses.sample(jax.random.key(1), dist).sum()

    gradient = jax.grad(total)(DIST)
    np.testing.assert_array_equal(gradient.mean, jnp.ones((3, 2)))
    np.testing.assert_allclose(gradient.scale, noise[0], rtol=1e-6)


def test_keys_of_the_older_kind_are_the_same_keys():
    old, new = jax.random.PRNGKey(3), jax.random.key(3)
    np.testing.assert_array_equal(losses.sample(old, DIST), losses.sample(new, DIST))
    batch = jax.random.key_data(losses.per_example_keys(new, 3))
    np.testing.assert_array_equal(losses.sample(batch, DIST), losses.sample(new, DIST))


@pytest.mark.parametrize("batch_size", [0, 1])
def test_small_batches(batch_size):
    dist = DiagGaussian(jnp.zeros((batch_size, 2), jnp.bfloat16), jnp.ones((batch_size, 2), jnp.bfloat16))
    codes = losses.sample(jax.random.key(0), dist, 3)
    assert codes.shape == (3, batch_size, 2)
    assert codes.dtype == jnp.float32


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="num_samples must be at least 1, got 0"):
        losses.sample(jax.random.key(0), DIST, 0)
    with pytest.raises(ValueError, match=r"key must be a PRNG key, such as jax.random.key\(0\), .* got 7"):
        losses.sample(7, DIST)
    with pytest.raises(ValueError, match="one for each of the 3 examples, got shape"):
        losses.sample(jax.random.split(jax.random.key(0), 4), DIST)
    with pytest.raises(AssertionError):
        losses.sample(jax.random.key(0), DiagGaussian(jnp.zeros((3, 2)), jnp.ones((2,))))


def test_the_density_of_a_sample_is_that_of_its_distribution_also_at_tiny_scales():
    dist = DiagGaussian(jnp.array([[3.0, -2.0], [1e3, 0.0]]), jnp.array([[0.5, 2.0], [1e-6, 1e-6]]))
    codes, log_density = losses.sample_with_log_prob(jax.random.key(0), dist, 5)
    np.testing.assert_array_equal(codes, losses.sample(jax.random.key(0), dist, 5))
    expected = scipy.stats.norm(*(np.asarray(field[0]) for field in dist)).logpdf(np.asarray(codes[:, 0])).sum(-1)
    np.testing.assert_allclose(log_density[:, 0], expected, rtol=1e-4)
    # Here (z - mean) / scale is lost to rounding; the density does not depend on the mean, so it is known at 0.
    centred = DiagGaussian(jnp.zeros((2, 2)), dist.scale)
    np.testing.assert_array_equal(
        log_density[:, 1], losses.sample_with_log_prob(jax.random.key(0), centred, 5)[1][:, 1]
    )
