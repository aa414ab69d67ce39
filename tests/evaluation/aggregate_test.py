"""Bounds without a prior: against quadrature, in expectation over draws of the inputs, and against NumPy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from ib_jax import DiagGaussian, evaluation, exact, losses

RNG = np.random.default_rng(0)
MEAN = RNG.normal(size=(5, 2)) * 1.5
SCALE = RNG.uniform(0.3, 1.0, (5, 2))


def encode_fn(symbols):
    """Inputs are the symbols 0 to 4."""
    return DiagGaussian(jnp.asarray(MEAN, jnp.float32)[symbols], jnp.asarray(SCALE, jnp.float32)[symbols])


def truth():
    return exact.finite_information(DiagGaussian(MEAN, SCALE), np.full(5, 0.2), np.ones((5, 1))).information_xz


def test_from_all_is_the_information_of_the_inputs_themselves():
    terms = evaluation.aggregate_information(jax.random.key(0), jnp.arange(5), encode_fn=encode_fn, num_samples=20_000)
    np.testing.assert_allclose(terms.from_all.mean(), truth(), atol=0.01)


def test_it_equals_naive_numpy():
    terms = evaluation.aggregate_information(jax.random.key(1), jnp.arange(5), encode_fn=encode_fn, num_samples=3)
    codes = np.float64(losses.sample(jax.random.key(1), encode_fn(jnp.arange(5)), 3))
    densities = scipy.stats.norm.logpdf(codes[:, :, None], MEAN, SCALE).sum(-1)  # [S, i, j]
    own = densities[:, np.arange(5), np.arange(5)]
    others = np.where(np.eye(5), -np.inf, densities)
    np.testing.assert_allclose(
        terms.from_all, (own - scipy.special.logsumexp(densities, -1) + np.log(5)).mean(0), rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(
        terms.from_others, (own - scipy.special.logsumexp(others, -1) + np.log(4)).mean(0), rtol=1e-4, atol=1e-4
    )


def test_over_draws_of_the_inputs_the_information_of_the_population_lies_between():
    """Four draws from the five symbols, many times: the bounds are on either side by many standard errors."""
    measure = jax.jit(jax.vmap(functools.partial(evaluation.aggregate_information, encode_fn=encode_fn)))
    symbols = jnp.asarray(RNG.integers(0, 5, (4000, 4)))
    terms = measure(jax.random.split(jax.random.key(2), 4000), symbols)
    lower, upper = (np.float64(each).mean(1) for each in terms)
    assert lower.mean() + 5 * scipy.stats.sem(lower) < truth() < upper.mean() - 5 * scipy.stats.sem(upper)
    assert lower.mean() > 0.5 * truth()


def test_it_stays_below_log_n_where_rounding_would_lift_it():
    """Means of 1e4 and scales of 1e-3: a code keeps one digit of its noise."""
    far = lambda inputs: DiagGaussian(inputs, jnp.full_like(inputs, 1e-3))
    inputs = 1e4 * jnp.arange(8, dtype=jnp.float32)[:, None]
    terms = evaluation.aggregate_information(jax.random.key(0), inputs, encode_fn=far, num_samples=4)
    np.testing.assert_allclose(terms.from_all, np.log(8), rtol=1e-6)
    assert np.all(np.isfinite(terms.from_others))
    with pytest.raises(ValueError, match="inputs must hold at least two examples, got 1"):
        evaluation.aggregate_information(jax.random.key(0), inputs[:1], encode_fn=far)
