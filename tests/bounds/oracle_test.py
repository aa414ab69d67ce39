"""Every bound against NumPy in float64, written out from the formulas of the papers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from ib_jax import DiagGaussian, GaussianMixture, bounds, losses

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
    np.testing.assert_allclose(terms.entropy_zx, scipy.stats.norm(MEAN, SCALE).entropy().sum(-1), rtol=1e-4)


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


@pytest.mark.parametrize("threshold", [0.5, 1.2, 5.0])
def test_confidence_penalty_with_a_threshold_falls_on_confident_predictions_alone(threshold):
    terms = call(bounds.confidence_penalty, penalty=2.0, entropy_threshold=threshold)
    entropy = scipy.stats.entropy(np.exp(LOG_Q_AT_MEAN), axis=-1)
    expected = CROSS_ENTROPY_AT_MEAN + 2.0 * np.maximum(0, threshold - entropy)
    np.testing.assert_allclose(terms.loss, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(terms.prediction_entropy, entropy, rtol=1e-4)


# --- the bottlenecks, at the samples that the library draws -----------------------------------------------------------

CODES = np.asarray(losses.sample(jax.random.key(0), DiagGaussian(jnp.asarray(MEAN), jnp.asarray(SCALE)), 4))
LOG_Q = log_softmax(CODES @ W_OUT)
DISTORTION = -LOG_Q[:, np.arange(6), LABELS].mean(0)
TABLE_MEAN, TABLE_SCALE = RNG.normal(size=(5, 3)), RNG.uniform(0.5, 2.0, (5, 3))
TABLE = DiagGaussian(jnp.asarray(TABLE_MEAN), jnp.asarray(TABLE_SCALE))
LOG_E = scipy.stats.norm(MEAN, SCALE).logpdf(CODES).sum(-1)


def log_b(classes):
    """log b(z|y) at the samples, [4, 6]."""
    return scipy.stats.norm(TABLE_MEAN[classes], TABLE_SCALE[classes]).logpdf(CODES).sum(-1)


def kl_from_table(classes):
    n, t = TABLE_MEAN[classes], TABLE_SCALE[classes]
    return np.sum(0.5 * ((SCALE**2 + (MEAN - n) ** 2) / t**2 - 1) - np.log(SCALE / t), -1)


def test_vib_in_rho_and_with_a_sampled_rate():
    prior = DiagGaussian(jnp.array([0.1, 0.0, -0.3]), jnp.array([1.0, 2.0, 0.5]))
    terms = call(bounds.vib, prior=prior, rho=1.5, num_samples=4, estimator="sampled")
    rate = (LOG_E - scipy.stats.norm(prior.mean, prior.scale).logpdf(CODES).sum(-1)).mean(0)
    np.testing.assert_allclose(terms.rate, rate, rtol=1e-4)
    np.testing.assert_allclose(terms.loss, DISTORTION + rate / (1 + np.exp(1.5)), rtol=1e-4)
    np.testing.assert_allclose(terms.accuracy, (LOG_Q.argmax(-1) == LABELS).mean(0))
    np.testing.assert_allclose(terms.entropy_zx, -LOG_E.mean(0), rtol=1e-4)


def test_vib_with_a_mixture_prior():
    weights = np.array([0.7, 0.3])
    mixture = GaussianMixture(jnp.log(jnp.asarray(weights)) + 3.0, TABLE.mean[:2], TABLE.scale[:2])
    terms = call(bounds.vib, prior=mixture, beta=0.3, num_samples=4)
    density = scipy.stats.norm(TABLE_MEAN[:2], TABLE_SCALE[:2]).pdf(CODES[..., None, :]).prod(-1) @ weights
    np.testing.assert_allclose(terms.rate, (LOG_E - np.log(density)).mean(0), rtol=1e-4)


@pytest.mark.parametrize("label_entropy", [0.2, 0.9, 1.6])
def test_vub_takes_the_minimum_for_each_example_and_sample(label_entropy):
    prior = losses.standard_normal(3)
    terms = call(bounds.vub, prior=prior, beta=0.3, num_samples=4, label_entropy=label_entropy)
    entropy = scipy.stats.entropy(np.exp(LOG_Q), axis=-1)
    rate = np.sum(0.5 * (SCALE**2 + MEAN**2 - 1) - np.log(SCALE), -1)
    np.testing.assert_allclose(terms.rate, rate, rtol=1e-4)
    np.testing.assert_allclose(terms.prediction_entropy, entropy.mean(0), rtol=1e-4)
    np.testing.assert_allclose(terms.entropy_zx, scipy.stats.norm(MEAN, SCALE).entropy().sum(-1), rtol=1e-4)
    expected = DISTORTION + 0.3 * rate - np.minimum(label_entropy, entropy).mean(0)
    np.testing.assert_allclose(terms.loss, expected, rtol=1e-4)


def test_ceb():
    terms = call(bounds.ceb, backward=TABLE, rho=0.7, num_samples=4)
    residual = kl_from_table(LABELS)
    np.testing.assert_allclose(terms.distortion, DISTORTION, rtol=1e-4)
    np.testing.assert_allclose(terms.residual, residual, rtol=1e-4)
    np.testing.assert_allclose(terms.loss, DISTORTION + np.exp(-0.7) * residual, rtol=1e-4)
    np.testing.assert_allclose(terms.entropy_zx, scipy.stats.norm(MEAN, SCALE).entropy().sum(-1), rtol=1e-4)
    np.testing.assert_allclose(terms.entropy_zy - terms.entropy_zx, terms.residual, atol=1e-5)
    assert terms.rate is None


def test_ceb_sampled_is_the_papers_listing():
    terms = call(bounds.ceb, backward=TABLE, rho=0.7, num_samples=4, estimator="sampled")
    hzx, hzy = -LOG_E.mean(0), -log_b(LABELS).mean(0)
    np.testing.assert_allclose(terms.entropy_zx, hzx, rtol=1e-4)
    np.testing.assert_allclose(terms.entropy_zy, hzy, rtol=1e-4)
    np.testing.assert_allclose(terms.residual, hzy - hzx, rtol=1e-4, atol=1e-4)


def test_ceb_with_unit_covariance_is_equation_9():
    r"""-(1/2) (f - mu_y)(f - mu_y + 2 eps), which the paper subtracts."""
    unit = DiagGaussian(TABLE.mean, jnp.ones((5, 3)))

    def encode(inputs):
        mean = inputs @ jnp.asarray(W_MEAN)
        return DiagGaussian(mean, jnp.ones_like(mean))

    inputs, labels = jnp.asarray(INPUTS, jnp.float32), jnp.asarray(LABELS)
    terms = bounds.ceb(
        jax.random.key(0), inputs, labels, encode_fn=encode, decode_fn=decode_fn, backward=unit, rho=0.0,
        estimator="sampled",
    )  # fmt: skip
    f = INPUTS @ W_MEAN
    noise = np.asarray(losses.sample(jax.random.key(0), encode(inputs)))[0] - f
    shift = f - TABLE_MEAN[LABELS]
    np.testing.assert_allclose(terms.residual, 0.5 * (shift * (shift + 2 * noise)).sum(-1), rtol=1e-3, atol=1e-4)


def test_ceb_takes_a_function_of_the_labels():
    plain = call(bounds.ceb, backward=TABLE, rho=0.7)
    by_function = call(bounds.ceb, backward=lambda y: DiagGaussian(TABLE.mean[y], TABLE.scale[y]), rho=0.7)
    np.testing.assert_allclose(by_function.loss, plain.loss, rtol=1e-6)


@pytest.mark.parametrize("label", [-1, 5])
def test_a_label_out_of_range_is_nan_and_not_another_class(label):
    labels = jnp.asarray(LABELS).at[2].set(label)
    residual = losses.class_divergence(
        losses.draw_codes(jax.random.key(0), encode_fn(jnp.asarray(INPUTS, jnp.float32))), TABLE, labels
    )
    np.testing.assert_array_equal(np.isnan(residual), np.arange(6) == 2)


def test_consistent_ceb():
    p_y = np.array([0.1, 0.3, 0.2, 0.25, 0.15])
    terms = bounds.consistent_ceb(
        jax.random.key(0), jnp.asarray(INPUTS, jnp.float32), jnp.asarray(LABELS), encode_fn=encode_fn, backward=TABLE,
        rho=0.7, class_probabilities=jnp.asarray(p_y), num_samples=4,
    )  # fmt: skip
    joint = np.stack([log_b(np.full(6, c)) + np.log(p_y[c]) for c in range(5)], -1)
    distortion = -log_softmax(joint)[:, np.arange(6), LABELS].mean(0)
    np.testing.assert_allclose(terms.distortion, distortion, rtol=1e-4)
    np.testing.assert_allclose(terms.loss, distortion + np.exp(-0.7) * kl_from_table(LABELS), rtol=1e-4)


def test_a_vector_target_is_a_gaussian_regression():
    targets = RNG.normal(size=(6, 2))
    terms = bounds.vib(
        jax.random.key(0), jnp.asarray(INPUTS, jnp.float32), jnp.asarray(targets, jnp.float32), encode_fn=encode_fn,
        decode_fn=lambda z: DiagGaussian(z[..., :2], jnp.exp(z[..., 1:])), prior=losses.standard_normal(3), beta=0.0,
        num_samples=4,
    )  # fmt: skip
    expected = -scipy.stats.norm(CODES[..., :2], np.exp(CODES[..., 1:])).logpdf(targets).sum(-1).mean(0)
    np.testing.assert_allclose(terms.loss, expected, rtol=1e-3)
    assert terms.accuracy is None
