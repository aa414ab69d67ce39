"""The bounds bound what they say they do: on random problems whose information is known by quadrature.

Expectations over z are exact too: the bounds are evaluated at the nodes of a Gauss-Hermite rule of each input's code,
with `num_samples=0`, so that no tolerance hides a wrong term. Problems are arguments of the compiled functions, and of
three sizes, so that many of them share a program.
"""

import functools
from typing import NamedTuple

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from ib_jax import DiagGaussian, GaussianMixture, bounds, exact, losses
from ib_jax.losses import Codes

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(120)
WEIGHTS = WEIGHTS / WEIGHTS.sum()
KEY = jax.random.key(0)
SLACK = 1e-7  # nats; what quadrature leaves


class Problem(NamedTuple):
    p_x: np.ndarray
    p_y_given_x: np.ndarray
    encoding: DiagGaussian
    logits: np.ndarray
    """Of a decoder that is quadratic in z, [3, C]."""
    prior: DiagGaussian
    backward: DiagGaussian

    @property
    def exact(self):
        return exact.finite_information(self.encoding, self.p_x, self.p_y_given_x)

    @property
    def p_y(self):
        return self.p_x @ self.p_y_given_x

    @property
    def label_entropy(self):
        return scipy.stats.entropy(self.p_y)


@st.composite
def problems(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    num_inputs, num_classes = draw(st.sampled_from([(2, 4), (3, 3), (5, 2)]))
    spread = draw(st.sampled_from([0.3, 1.0, 3.0]))

    def gaussian(size):
        # Scales of one order, so that 120 nodes of one code resolve the others.
        return DiagGaussian(spread * rng.normal(size=(size, 1)), rng.uniform(0.6, 1.5, (size, 1)))

    return Problem(
        p_x=rng.dirichlet(np.full(num_inputs, 2.0)),
        p_y_given_x=rng.dirichlet(np.full(num_classes, 0.5), num_inputs),
        encoding=gaussian(num_inputs),
        logits=rng.normal(size=(3, num_classes)) * draw(st.sampled_from([0.0, 0.5, 2.0])),
        prior=DiagGaussian(rng.normal(size=1), rng.uniform(0.5, 2.0, 1)),
        backward=gaussian(num_classes),
    )


on_problems = hypothesis.given(problems())
few = hypothesis.settings(deadline=None, max_examples=10, derandomize=True)


def decode_fn(problem):
    return lambda z: jnp.concatenate([jnp.ones_like(z), z, -jnp.square(z)], -1) @ problem.logits


def posterior_decode_fn(problem):
    """The true p(y|z), as logits."""
    return lambda z: losses.bayes_logits(z, mixture_of_each_class(problem), problem.p_y)


def mixture_of_each_class(problem):
    """The true p(z|y): a mixture over the inputs for each class."""
    joint = problem.p_x[:, None] * problem.p_y_given_x
    shape = (*joint.T.shape, 1)
    return GaussianMixture(
        jnp.log(joint.T),
        jnp.broadcast_to(problem.encoding.mean, shape),
        jnp.broadcast_to(problem.encoding.scale, shape),
    )


@functools.partial(jax.jit, static_argnums=(0, 1))
def terms_at_nodes(bound, decode_fn_of, problem, settings):
    """Terms of each input at each node of its code, [nodes, inputs]."""
    mean, scale = problem.encoding

    def at(node):
        return bound(
            KEY, jnp.zeros((len(mean), 1)), problem.p_y_given_x, num_samples=0,
            encode_fn=lambda x: DiagGaussian(mean + scale * node, scale), decode_fn=decode_fn_of(problem), **settings,
        )  # fmt: skip

    return jax.vmap(at)(jnp.asarray(NODES))


def expected(problem, bound, decode_fn_of, **settings):
    """Terms of a bound in the mean over x, y and z, by quadrature over z, in float64."""
    terms = terms_at_nodes(bound, decode_fn_of, jax.tree.map(jnp.asarray, problem), settings)
    return {
        name: float(np.einsum("n,nx,x->", WEIGHTS, value, problem.p_x))
        for name, value in terms._asdict().items()
        if value is not None
    }


def cross_entropy(*batch, num_samples, **settings):
    """It is taken at the mean anyway."""
    del num_samples
    return bounds.cross_entropy(*batch, **settings)


def rate(problem):
    """The mean rate; at the nodes the code is moved, so it is taken from the code itself."""
    return float(problem.p_x @ terms_of_codes(vib_of_prior, problem).rate)


def vib_of_prior(problem, *batch, **apply_fns):
    return bounds.vib(*batch, beta=1.0, prior=problem.prior, **apply_fns)


def ceb_of_backward(problem, *batch, **apply_fns):
    return bounds.ceb(*batch, rho=0.0, backward=problem.backward, **apply_fns)


def terms_of_codes(bound_of, problem):
    """What a bound says of the codes, with a decoder that is of no matter."""
    return jitted_terms_of_codes(bound_of, jax.tree.map(jnp.asarray, problem))


@functools.partial(jax.jit, static_argnums=0)
def jitted_terms_of_codes(bound_of, problem):
    batch = KEY, jnp.zeros((len(problem.p_x), 1)), problem.p_y_given_x
    return bound_of(problem, *batch, encode_fn=lambda x: problem.encoding, decode_fn=decode_fn(problem))


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


@on_problems
@few
def test_the_bottleneck_is_at_most_vub_and_vub_at_most_vib(problem):
    beta, known, entropy = 0.3, problem.exact, problem.label_entropy
    lagrangian = beta * known.information_xz - known.information_zy
    settings = {"prior": problem.prior, "beta": 0.0}
    for decode in (decode_fn, posterior_decode_fn):
        vub = expected(problem, bounds.vub, decode, label_entropy=entropy, **settings)["loss"]
        vib = expected(problem, bounds.vib, decode, **settings)["loss"]
        vub, vib = vub + beta * rate(problem), vib + beta * rate(problem)
        assert lagrangian <= vib - entropy + SLACK  # VIB with the constant that it drops
        assert vib - entropy <= vub + SLACK  # is tighter than VUB
        assert vub <= vib + SLACK  # and VUB than VIB without it


@on_problems
@few
def test_the_rate_exceeds_the_information_by_the_divergence_of_the_marginal_from_the_prior(problem):
    def log_prior(z):
        return scipy.stats.norm(problem.prior.mean, problem.prior.scale).logpdf(z).sum(-1)

    gap = exact.marginal_divergence(problem.encoding, problem.p_x, log_prior)
    assert gap >= 0
    np.testing.assert_allclose(rate(problem) - problem.exact.information_xz, gap, atol=SLACK)


@on_problems
@few
def test_h_y_minus_distortion_bounds_the_relevance_and_the_posterior_attains_it(problem):
    entropy, known = problem.label_entropy, problem.exact
    distortion = expected(problem, cross_entropy, decode_fn)["distortion"]
    assert entropy - distortion <= known.information_zy + SLACK
    tight = expected(problem, cross_entropy, posterior_decode_fn)["distortion"]
    np.testing.assert_allclose(tight, known.conditional_entropy, atol=1e-5)


@functools.partial(jax.jit, static_argnums=0)
def divergences_at_nodes(of_codes, problem):
    mean, scale = problem.encoding

    def at(node):
        z = mean + scale * node
        codes = Codes(problem.encoding, z[None], jnp.full_like(z, node)[None])
        return of_codes(problem, codes)

    return jax.vmap(at)(jnp.asarray(NODES))


def expected_divergence(problem, of_codes):
    """The mean over x and z of a sampled divergence, from the codes at the nodes, weighed by the rule."""
    values = divergences_at_nodes(of_codes, jax.tree.map(jnp.asarray, problem))
    return float(np.einsum("n,nx,x->", WEIGHTS, values, problem.p_x))


def from_backward(problem, codes):
    return losses.class_divergence(codes, problem.backward, problem.p_y_given_x, "sampled")


def from_true_backward(problem, codes):
    return losses.class_divergence(codes, mixture_of_each_class(problem), problem.p_y_given_x, "sampled")


def from_marginal_of_backward(problem, codes):
    return losses.divergence(codes, losses.marginal(problem.backward, problem.p_y))


@on_problems
@few
def test_the_residual_bounds_the_residual_information_and_the_true_backward_encoder_attains_it(problem):
    known = problem.exact.residual
    residual = float(problem.p_x @ terms_of_codes(ceb_of_backward, problem).residual)
    assert residual >= known - SLACK
    np.testing.assert_allclose(expected_divergence(problem, from_backward), residual, atol=SLACK)  # eq. 9 in the mean
    np.testing.assert_allclose(expected_divergence(problem, from_true_backward), known, atol=1e-5)


@pytest.mark.standard
@on_problems
@few
def test_consistent_ceb_is_bayes_rule(problem):
    z = jnp.linspace(-4.0, 4.0, 9)[:, None]
    density = scipy.stats.norm(problem.backward.mean[:, 0], problem.backward.scale[:, 0]).pdf(np.asarray(z))
    for p_y in (problem.p_y, np.full(len(problem.p_y), 1 / len(problem.p_y))):
        posterior = density * p_y / (density * p_y).sum(-1, keepdims=True)
        uniform = np.ptp(p_y) == 0
        logits = losses.bayes_logits(z, problem.backward, None if uniform else jnp.asarray(p_y))
        np.testing.assert_allclose(jax.nn.softmax(logits), posterior, rtol=1e-9, atol=1e-12)
        terms = bounds.consistent_ceb(
            KEY, z, jnp.zeros(9, int), rho=1.0, backward=problem.backward, num_samples=0,
            class_probabilities=None if uniform else jnp.asarray(p_y),
            encode_fn=lambda x: DiagGaussian(x, jnp.ones_like(x)),
        )  # fmt: skip
        np.testing.assert_allclose(terms.distortion, -np.log(posterior[:, 0]), rtol=1e-9, atol=1e-12)


@on_problems
@few
def test_the_rate_under_the_marginal_of_a_backward_encoder_is_between_residual_and_residual_plus_entropy(problem):
    """Mean log-ratio of b(z|y) to its marginal is at most H(Y), and the marginal gives a bound on I(X;Z)."""
    rate = expected_divergence(problem, from_marginal_of_backward)
    assert rate >= problem.exact.information_xz - SLACK
    assert rate <= expected_divergence(problem, from_backward) + problem.label_entropy + SLACK
