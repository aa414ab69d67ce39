"""Bounds against quadrature, on finite X with Gaussian encoders in one and two dimensions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from ib_jax import DiagGaussian, evaluation, exact, losses

NUM_SAMPLES = 400
SAMPLING = 0.03  # nats: what the sampling of t may add to H(Y) - CE
ONES = np.ones(2)
LABELS = np.array([0, 1, 0, 1, 1, 0])
PRIOR = (0.3, 1.7)


def problem(rng, latent_dim, *, total=False):
    """Encodings of six inputs and of their attacked versions, and a decoder of no particular merit."""
    apart = (2.0 * LABELS - 1.0)[:, None] * rng.uniform(0, 2)
    clean = DiagGaussian(apart + rng.normal(size=(6, latent_dim)), rng.uniform(0.2, 1.5, (6, latent_dim)))
    # The attack pulls the means together and past each other; a total one leaves next to nothing of them.
    attacked = DiagGaussian(clean.mean * rng.uniform(-1, 1, (6, 1)), clean.scale)
    if total:
        attacked = DiagGaussian(0.3 + 0.05 * clean.mean, np.full_like(clean.scale, 1.7))
    return clean, attacked, np.outer([-1.0, 1.0], rng.uniform(0, 1, latent_dim))


@jax.jit
def terms_of(key, clean, attacked, weight, prior, labels):
    """The encodings are handed over as inputs, so that one program serves every problem of a size."""
    stack = lambda encoding: jnp.concatenate(encoding, -1)
    return evaluation.evaluate_pairs(
        key,
        stack(clean),
        stack(attacked),
        labels,
        encode_fn=lambda inputs: DiagGaussian(*jnp.split(inputs, 2, -1)),
        decode_fn=lambda codes: codes @ weight.T,
        prior=prior,
        num_samples=NUM_SAMPLES,
    )


def float32(*trees):
    return [jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), tree) for tree in trees]


@pytest.mark.parametrize("latent_dim", [1, 2])
def test_the_bounds_hold_and_the_rate_exceeds_the_information_by_the_priors_divergence(latent_dim):
    rng, shares, rows = np.random.default_rng(latent_dim), np.full(6, 1 / 6), np.eye(2)[LABELS]
    prior = DiagGaussian(*(np.full(latent_dim, value) for value in PRIOR))
    log_prior = lambda z: scipy.stats.norm.logpdf(z, *PRIOR).sum(-1)
    widest = 0.0
    for draw in range(20 if latent_dim == 1 else 2):
        clean, attacked, weight = problem(rng, latent_dim, total=draw % 2 == 1)
        terms = terms_of(jax.random.key(draw), *float32(clean, attacked, weight, prior), LABELS)
        bounds = [evaluation.bound_information(each, LABELS, 2) for each in terms]
        truths = [exact.finite_information(each, shares, rows) for each in (clean, attacked)]
        for encoding, bound, truth in zip((clean, attacked), bounds, truths, strict=True):
            excess = exact.marginal_divergence(encoding, shares, log_prior)
            np.testing.assert_allclose(bound.information_xt, truth.information_xz + excess, rtol=1e-4)
            assert bound.information_yt <= truth.information_zy + SAMPLING
            np.testing.assert_allclose(bound.label_entropy, np.log(2))
        gap, truth = evaluation.information_gap(*bounds), abs(truths[0].information_zy - truths[1].information_zy)
        assert gap.lower - SAMPLING <= truth <= gap.upper + SAMPLING
        np.testing.assert_allclose(gap.cross_entropies, np.mean(terms[1].cross_entropy - terms[0].cross_entropy), 1e-4)
        widest = max(widest, gap.lower)
    assert widest > 0.1  # so that the lower bound is not an empty one


def test_the_decoder_that_knows_the_posterior_attains_the_information_about_the_labels():
    clean, *_ = problem(np.random.default_rng(0), 1)
    mean, scale = float32(*clean)

    def decode_fn(codes):
        densities = losses.log_prob(DiagGaussian(mean, scale), codes[..., None, :])
        return jnp.stack([jax.nn.logsumexp(densities[..., y == LABELS], -1) for y in range(2)], -1)

    inputs = jnp.concatenate([mean, scale], -1)
    terms = evaluation.evaluate_pairs(
        jax.random.key(0),
        inputs,
        inputs,
        jnp.asarray(LABELS),
        encode_fn=lambda inputs: DiagGaussian(*jnp.split(inputs, 2, -1)),
        decode_fn=decode_fn,
        num_samples=20_000,
    )
    bounds = evaluation.bound_information(terms.clean, LABELS, 2)
    truth = exact.finite_information(clean, np.full(6, 1 / 6), np.eye(2)[LABELS])
    np.testing.assert_allclose(bounds.information_yt, truth.information_zy, atol=0.01)
    # The prior is N(0, I) unless told otherwise, and both sides are measured alike.
    np.testing.assert_allclose(terms.clean.rate, losses.kl_divergence(clean, losses.standard_normal(1)), rtol=1e-5)
    for one, other in zip(terms.clean, terms.adversarial, strict=True):
        assert one is other is None or np.array_equal(one, other)


def test_standard_errors_are_those_of_a_mean():
    rates, entropies = np.random.default_rng(0).uniform(size=(2, 50))
    right = np.ones(50, bool)
    terms = evaluation.ExampleTerms(right, right, right, entropies, right, rate=rates)
    bounds = evaluation.bound_information(terms, np.arange(50) % 2, 2)
    np.testing.assert_allclose(bounds.information_xt_error, scipy.stats.sem(rates))
    np.testing.assert_allclose(bounds.information_yt_error, scipy.stats.sem(entropies))


def test_the_gap_by_hand():
    bounds = lambda rate, information: evaluation.InformationBounds(rate, 0.0, information, 0.0, 1.0)
    # [0.8, 1] against [0, 0.3], in either order: the ends of the intervals are 0.5 and 1 apart.
    for pair in ((bounds(3.0, 0.8), bounds(0.3, -2.0)), (bounds(0.3, -2.0), bounds(3.0, 0.8))):
        gap = evaluation.information_gap(*pair)
        np.testing.assert_allclose((gap.lower, gap.upper), (0.5, 1.0))
        np.testing.assert_allclose(abs(gap.cross_entropies), 2.8)
    assert evaluation.information_gap(bounds(0.6, 0.5), bounds(0.6, 0.4)).lower == 0.0  # they overlap


def test_oblivious_vulnerability():
    found = evaluation.oblivious_vulnerability(np.array([[0.9, 1.0]]), np.array([[0.2, 1.0]]))
    np.testing.assert_allclose(found, [[0.7, 0.0]])
    assert float(evaluation.oblivious_vulnerability(0.5, 0.75)) == -0.25
    with pytest.raises(ValueError, match=r"train_accuracy must be in \[0, 1\], a share and not per cent, got 99\.0"):
        evaluation.oblivious_vulnerability([99.0], [0.5])
    with pytest.raises(ValueError, match=r"adversarial_accuracy must be in \[0, 1\].*got nan"):
        evaluation.oblivious_vulnerability([1.0], [np.nan])
    with pytest.raises(ValueError, match=r"adversarial_accuracy must have shape \(2,\), got \(1,\)"):
        evaluation.oblivious_vulnerability([1.0, 1.0], [0.5])


def test_wrong_arguments_are_refused():
    right = np.ones(2, bool)
    terms = evaluation.ExampleTerms(right, right, right, ONES, ONES)
    with pytest.raises(ValueError, match="terms must hold rates, got None"):
        evaluation.bound_information(terms, np.array([0, 1]), 2)
    with pytest.raises(ValueError, match="terms and labels must be of one length >= 2, got 2 and 3"):
        evaluation.bound_information(terms._replace(rate=ONES), np.array([0, 1, 1]), 2)
    with pytest.raises(ValueError, match=r"adversarial must have the shape of inputs, \(2, 1\), got \(2, 2\)"):
        evaluation.evaluate_pairs(
            jax.random.key(0),
            jnp.zeros((2, 1)),
            jnp.zeros((2, 2)),
            jnp.array([0, 1]),
            encode_fn=lambda x: DiagGaussian(x, jnp.ones_like(x)),
            decode_fn=lambda z: z,
        )
