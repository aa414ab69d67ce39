import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ib_jax import DiagGaussian, GaussianMixture, losses


@pytest.mark.parametrize("rho", [-3.0, 0.0, 2.2, 9.2, 60.0])
def test_the_ways_to_write_the_strength_agree(rho):
    beta, gamma = losses.rho_to_beta(rho), losses.rho_to_gamma(rho)
    np.testing.assert_allclose(beta, 1 / (1 + np.exp(rho)), rtol=1e-5)
    np.testing.assert_allclose(gamma, np.exp(-rho), rtol=1e-5)
    # I(Z;Y) - gamma (I(X;Z) - I(Z;Y)) is (1 + gamma) (I(Z;Y) - beta I(X;Z)).
    np.testing.assert_allclose(beta, gamma / (1 + gamma), rtol=1e-5)
    np.testing.assert_allclose(losses.beta_to_rho(beta), rho, rtol=1e-4, atol=1e-5)


@pytest.mark.not_under("debug_infs", reason="rho is infinite")
def test_infinite_rho_turns_the_bottleneck_off_even_of_infinite_information():
    assert losses.rho_to_beta(jnp.inf) == 0
    assert losses.rho_to_gamma(jnp.inf) == 0
    assert losses.beta_to_rho(0.0) == jnp.inf
    assert losses.weigh(0.0, jnp.inf) == 0
    assert losses.weigh(losses.rho_to_gamma(100.0), jnp.float32(3.0)) == 0
    np.testing.assert_array_equal(losses.weigh(jnp.array([0.0, 2.0]), jnp.array([jnp.inf, 3.0])), [0.0, 6.0])


@pytest.mark.parametrize("arguments", [(None, None), (0.1, 1.0)])
def test_exactly_one_of_beta_and_rho(arguments):
    with pytest.raises(
        ValueError, match=f"exactly one of beta and rho, got beta={arguments[0]} and rho={arguments[1]}"
    ):
        losses.choose_beta(*arguments)


def test_the_marginal_of_a_table_of_mixtures_is_the_mixture_of_all():
    logits = jnp.log(jnp.array([[0.2, 0.8], [5.0, 5.0]]))  # of any constant
    table = GaussianMixture(logits, jnp.zeros((2, 2, 3)), jnp.ones((2, 2, 3)))
    weights = jax.nn.softmax(losses.marginal(table, jnp.array([0.25, 0.75])).logits)
    np.testing.assert_allclose(weights, [0.05, 0.2, 0.375, 0.375], rtol=1e-5)


def test_the_marginal_is_what_bayes_logits_sum_to():
    table = DiagGaussian(jnp.array([[-1.0], [2.0]]), jnp.array([[0.5], [1.5]]))
    z, p_y = jnp.linspace(-3, 3, 7)[:, None], jnp.array([0.3, 0.7])
    logits = losses.bayes_logits(z, table, p_y)
    np.testing.assert_allclose(jax.nn.logsumexp(logits, -1), losses.log_prob(losses.marginal(table, p_y), z), rtol=1e-5)


@pytest.mark.not_under("debug_infs", reason="its logit is minus infinity")
def test_a_class_that_never_occurs_is_never_predicted():
    table = DiagGaussian(jnp.zeros((2, 1)), jnp.ones((2, 1)))
    logits = losses.bayes_logits(jnp.zeros((1, 1)), table, jnp.array([1.0, 0.0]))
    assert logits[0, 1] == -jnp.inf
    np.testing.assert_array_equal(losses.cross_entropy(logits, jnp.array([0])), [0.0])
