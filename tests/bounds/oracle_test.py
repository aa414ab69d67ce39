"""Every bound against NumPy in float64, written out from the formulas of the papers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from ib_jax import DiagGaussian, bounds, losses

RNG = np.random.default_rng(0)
W_MEAN, W_RHO, W_OUT = RNG.normal(size=(4, 3)), RNG.normal(size=(4, 3)), RNG.normal(size=(3, 5))
INPUTS, LABELS = RNG.uniform(size=(6, 4)), RNG.integers(0, 5, 6)


def encode_fn(inputs):
    return DiagGaussian(inputs @ jnp.asarray(W_MEAN), jnp.exp(inputs @ jnp.asarray(W_RHO)))


def decode_fn(codes):
    return codes @ jnp.asarray(W_OUT)


def call(bound, **kwargs):
    inputs, labels = jnp.asarray(INPUTS, jnp.float32), jnp.asarray(LABELS)
    return bound(jax.random.key(0), inputs, labels, encode_fn=encode_fn, decode_fn=decode_fn, **kwargs)


def log_softmax(logits):
    return logits - scipy.special.logsumexp(logits, axis=-1, keepdims=True)


MEAN, SCALE = INPUTS @ W_MEAN, np.exp(INPUTS @ W_RHO)
LOG_Q_AT_MEAN = log_softmax(MEAN @ W_OUT)
CROSS_ENTROPY_AT_MEAN = -LOG_Q_AT_MEAN[np.arange(6), LABELS]


def test_vib():
    prior = DiagGaussian(jnp.array([0.1, 0.0, -0.3]), jnp.array([1.0, 2.0, 0.5]))
    terms = call(bounds.vib, prior=prior, beta=0.3, num_samples=4)
    codes = np.asarray(losses.sample(jax.random.key(0), DiagGaussian(jnp.asarray(MEAN), jnp.asarray(SCALE)), 4))
    distortion = -log_softmax(codes @ W_OUT)[:, np.arange(6), LABELS].mean(0)
    n, t = np.asarray(prior.mean), np.asarray(prior.scale)
    rate = np.sum(0.5 * ((SCALE**2 + (MEAN - n) ** 2) / t**2 - 1) - np.log(SCALE / t), -1)
    np.testing.assert_allclose(terms.distortion, distortion, rtol=1e-4)
    np.testing.assert_allclose(terms.rate, rate, rtol=1e-4)
    np.testing.assert_allclose(terms.loss, distortion + 0.3 * rate, rtol=1e-4)


def test_vibs_sampled_terms_are_unbiased():
    """With many samples the distortion is the integral over z; one dimension of z, by quadrature."""
    w = np.array([[2.0, -1.0]])
    terms = bounds.vib(
        jax.random.key(0), jnp.zeros((1, 1)), jnp.array([1]), prior=losses.standard_normal(1), beta=0.0,
        encode_fn=lambda x: DiagGaussian(x + 0.4, jnp.full_like(x, 0.7)),
        decode_fn=lambda z: z @ jnp.asarray(w), num_samples=200_000,
    )  # fmt: skip
    z, weights = np.polynomial.hermite_e.hermegauss(80)
    integrand = -log_softmax((0.4 + 0.7 * z)[:, None] @ w)[:, 1]
    np.testing.assert_allclose(terms.distortion, (weights @ integrand) / weights.sum(), rtol=1e-2)


def test_vib_with_many_samples_keeps_the_rate_and_lowers_the_variance():
    prior = losses.standard_normal(3)
    keys = jax.random.split(jax.random.key(1), 200)

    def spread(num_samples):
        def one(key):
            inputs, labels = jnp.asarray(INPUTS, jnp.float32), jnp.asarray(LABELS)
            return bounds.vib(
                key, inputs, labels, encode_fn=encode_fn, decode_fn=decode_fn, prior=prior, beta=1.0,
                num_samples=num_samples,
            )  # fmt: skip

        terms = jax.vmap(one)(keys)
        np.testing.assert_allclose(terms.rate, np.tile(terms.rate[:1], (200, 1)), rtol=1e-6)
        return terms.distortion.var(0).mean()

    assert spread(16) < spread(1) / 8


def test_cross_entropy():
    terms = call(bounds.cross_entropy)
    np.testing.assert_allclose(terms.loss, CROSS_ENTROPY_AT_MEAN, rtol=1e-5)
    np.testing.assert_array_equal(terms.loss, terms.distortion)
    assert terms.rate is None


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_label_smoothing(smoothing):
    terms = call(bounds.label_smoothing, smoothing=smoothing)
    targets = (1 - smoothing) * np.eye(5)[LABELS] + smoothing / 5
    np.testing.assert_allclose(terms.loss, -(targets * LOG_Q_AT_MEAN).sum(-1), rtol=1e-4)
    np.testing.assert_allclose(terms.distortion, CROSS_ENTROPY_AT_MEAN, rtol=1e-5)


@pytest.mark.parametrize("penalty", [0.0, 0.1, 2.0])
def test_confidence_penalty(penalty):
    terms = call(bounds.confidence_penalty, penalty=penalty)
    entropy = scipy.stats.entropy(np.exp(LOG_Q_AT_MEAN), axis=-1)
    np.testing.assert_allclose(terms.loss, CROSS_ENTROPY_AT_MEAN - penalty * entropy, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(terms.distortion, CROSS_ENTROPY_AT_MEAN, rtol=1e-5)
