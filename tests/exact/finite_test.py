import hypothesis
import hypothesis.strategies as st
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats

from ib_jax import DiagGaussian, exact

seeds = st.integers(0, 10_000)


def random_problem(seed, size=4, dim=1, labels=3, low=0.3, high=2.0):
    rng = np.random.default_rng(seed)
    encoding = DiagGaussian(2.0 * rng.normal(size=(size, dim)), np.exp(rng.uniform(*np.log([low, high]), (size, dim))))
    return encoding, rng.dirichlet(np.ones(size)), rng.dirichlet(np.full(labels, 0.5), size)


def by_scipy(encoding, p_x, p_y_given_x):
    """I(X;Z), I(Z;Y), I(X;Z|Y), H(Y|Z) of a one-dimensional code, each with its own adaptive integral."""
    mean, scale = encoding.mean[:, 0], encoding.scale[:, 0]
    joint = p_x[:, None] * p_y_given_x

    def densities(z):
        given_x = scipy.stats.norm.pdf(z, mean, scale)
        return given_x, p_x @ given_x, given_x @ joint

    def xz(z):
        given_x, marginal, _ = densities(z)
        return p_x @ scipy.special.rel_entr(given_x, marginal)

    def zy(z):
        _, marginal, with_y = densities(z)
        return scipy.special.rel_entr(with_y, marginal * joint.sum(0)).sum()

    def residual(z):
        given_x, _, with_y = densities(z)
        return np.sum(joint * scipy.special.rel_entr(given_x[:, None], with_y / joint.sum(0)))

    def entropy(z):
        _, marginal, with_y = densities(z)
        return -scipy.special.rel_entr(with_y, marginal).sum()

    low, high = (mean - 9 * scale).min(), (mean + 9 * scale).max()
    quad = lambda f: scipy.integrate.quad(f, low, high, points=np.sort(mean), limit=500, epsabs=1e-11, epsrel=1e-11)[0]
    return [quad(f) for f in (xz, zy, residual, entropy)]


@hypothesis.given(seeds)
@hypothesis.settings(deadline=None, max_examples=5)
def test_quadrature_equals_scipys(seed):
    problem = random_problem(seed, size=3, labels=2)
    np.testing.assert_allclose(exact.finite_information(*problem), by_scipy(*problem), rtol=0, atol=1e-9)


def test_identical_components_tell_nothing_and_distant_ones_everything():
    p_x, p_y_given_x = np.array([0.2, 0.3, 0.5]), np.array([[1.0, 0.0], [0.4, 0.6], [0.0, 1.0]])
    entropy_x = scipy.special.entr(p_x).sum()
    entropy_y = scipy.special.entr(p_x @ p_y_given_x).sum()
    given_x = p_x @ scipy.special.entr(p_y_given_x).sum(1)
    for dim in (1, 2):
        same = DiagGaussian(np.full((3, dim), 1.7), np.full((3, dim), 0.3))
        np.testing.assert_allclose(exact.finite_information(same, p_x, p_y_given_x), [0, 0, 0, entropy_y], atol=1e-13)
        apart = DiagGaussian(np.array([-1.0, 0.0, 2.0])[:, None] * np.ones(dim), np.full((3, dim), 1e-3))
        expected = [entropy_x, entropy_y - given_x, entropy_x - entropy_y + given_x, given_x]
        np.testing.assert_allclose(exact.finite_information(apart, p_x, p_y_given_x), expected, atol=1e-12)


def test_a_narrow_component_inside_a_wide_one():
    # The narrow one fills so little of the wide one that a threshold between them loses at most about `ratio`.
    for ratio in (1e-6, 1e-8):
        encoding = DiagGaussian(np.zeros((2, 1)), np.array([[1.0], [ratio]]))
        got = exact.finite_information(encoding, [0.5, 0.5], np.eye(2))
        np.testing.assert_allclose(got.information_xz, np.log(2.0), atol=30 * ratio)
        assert got.information_xz < np.log(2.0)
        in_both = exact.finite_information(DiagGaussian(*(np.tile(f, 2) for f in encoding)), [0.5, 0.5], np.eye(2))
        assert got.information_xz < in_both.information_xz <= np.log(2.0) + 1e-12


@hypothesis.given(seeds, st.sampled_from([1e-6, 1e-3, 1e6]), st.sampled_from([0.0, 3.0]))
@hypothesis.settings(deadline=None, max_examples=12)
def test_the_unit_and_the_origin_of_the_code_do_not_matter(seed, unit, shift):
    encoding, *rest = random_problem(seed)
    moved = DiagGaussian(unit * encoding.mean + shift, unit * encoding.scale)
    expected = exact.finite_information(encoding, *rest)
    np.testing.assert_allclose(exact.finite_information(moved, *rest), expected, rtol=0, atol=1e-9)


@hypothesis.given(seeds)
@hypothesis.settings(deadline=None, max_examples=10)
def test_a_product_problem_is_the_sum_of_its_axes(seed):
    (first, p_a, y_a), (second, p_b, y_b) = random_problem(seed, 3, labels=2), random_problem(seed + 1, 4, low=0.01)
    pairs = DiagGaussian(
        *(np.stack([np.repeat(f[:, 0], 4), np.tile(g[:, 0], 3)], 1) for f, g in zip(first, second, strict=True))
    )
    labels = np.einsum("ac,bd->abcd", y_a, y_b).reshape(12, -1)
    got = exact.finite_information(pairs, np.outer(p_a, p_b).ravel(), labels)
    expected = np.add(exact.finite_information(first, p_a, y_a), exact.finite_information(second, p_b, y_b))
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-10)


@hypothesis.given(seeds, st.sampled_from([(1, 1e-6, 1.0), (1, 1e-3, 1e3), (2, 0.05, 2.0)]))
@hypothesis.settings(deadline=None, max_examples=12)
def test_chain_rule_bounds_and_inputs_of_probability_zero(seed, setting):
    dim, low, high = setting
    encoding, p_x, labels = random_problem(seed, 5, dim, low=low, high=high)
    got = exact.finite_information(encoding, p_x, labels)
    entropy_y = scipy.special.entr(p_x @ labels).sum()
    np.testing.assert_allclose(got.information_xz, got.information_zy + got.residual, atol=1e-10)
    np.testing.assert_allclose(got.conditional_entropy, entropy_y - got.information_zy, atol=1e-9)
    assert min(got) > -1e-12
    assert got.information_xz < scipy.special.entr(p_x).sum() + 1e-9
    extended = DiagGaussian(np.r_[encoding.mean, np.full((1, dim), 77.0)], np.r_[encoding.scale, np.ones((1, dim))])
    rows = np.c_[np.r_[labels, np.full((1, 3), np.nan)], np.zeros(6)]  # and a label that never occurs
    np.testing.assert_array_equal(exact.finite_information(extended, np.append(p_x, 0.0), rows), got)


def test_a_fine_grid_of_inputs_is_the_jointly_gaussian_case():
    grid, correlation, scale = np.arange(-7.0, 7.01, 0.25), 0.8, 0.5
    p_x = scipy.special.softmax(-0.5 * grid**2)
    labels = scipy.special.softmax(-0.5 * (grid - correlation * grid[:, None]) ** 2 / (1 - correlation**2), axis=1)
    got = exact.finite_information(DiagGaussian(grid[:, None], np.full((grid.size, 1), scale)), p_x, labels)
    expected = exact.linear_encoder_information([[1.0]], [scale], [[1.0]], [[1.0]], [[correlation]])
    np.testing.assert_allclose(got[:3], expected, rtol=0, atol=1e-7)


def test_sixteen_examples_in_two_dimensions_with_scales_of_many_sizes():
    rng = np.random.default_rng(0)
    encoding = DiagGaussian(rng.normal(size=(16, 2)), 10.0 ** rng.uniform(-6, 0, (16, 2)))
    p_x, labels = rng.dirichlet(np.ones(16)), np.eye(2)[np.arange(16) % 2]
    got = exact.finite_information(encoding, p_x, labels)
    np.testing.assert_allclose(got.information_xz, got.information_zy + got.residual, atol=1e-10)
    # What hides a wide component's rare codes among a narrow one's, 2e-8 nats here, no sample is likely to show.
    sampled = exact.sampled_information(encoding, p_x, labels, num_samples=1000, confidence=0.9999)
    for value, estimate in zip(got, sampled, strict=True):
        assert estimate.lower - 1e-6 <= value <= estimate.upper + 1e-6


def test_jax_arrays_in_float32_will_do():
    mean, scale = jnp.array([[0.0], [1.0]]), jnp.array([[0.5], [0.5]])
    expected = exact.finite_information(
        DiagGaussian(np.array([[0.0], [1.0]]), np.full((2, 1), 0.5)), [0.3, 0.7], np.eye(2)
    )
    got = exact.finite_information(DiagGaussian(mean, scale), jnp.array([0.3, 0.7]), jnp.eye(2))
    np.testing.assert_allclose(got, expected, atol=1e-7)


@hypothesis.given(seeds, st.sampled_from([1, 2]))
@hypothesis.settings(deadline=None, max_examples=12)
def test_marginal_divergence_is_rate_minus_information(seed, dim):
    encoding, p_x, labels = random_problem(seed, dim=dim)
    prior_scale = 1.5
    log_prior = lambda z: scipy.stats.norm.logpdf(z, 0.5, prior_scale).sum(-1)
    ratio, shift = encoding.scale / prior_scale, (encoding.mean - 0.5) / prior_scale
    rate = p_x @ (0.5 * (ratio**2 + shift**2 - 1.0) - np.log(ratio)).sum(-1)
    expected = rate - exact.finite_information(encoding, p_x, labels).information_xz
    np.testing.assert_allclose(exact.marginal_divergence(encoding, p_x, log_prior), expected, atol=1e-10)


def test_marginal_divergence_from_the_marginal_is_zero_and_from_a_smaller_support_infinite():
    encoding, p_x, _ = random_problem(0, low=1e-6, high=1e-6)
    marginal = lambda z: scipy.special.logsumexp(
        scipy.stats.norm.logpdf(z, *(f[:, 0] for f in encoding)), b=p_x, axis=1
    )
    np.testing.assert_allclose(exact.marginal_divergence(encoding, p_x, marginal), 0.0, atol=1e-9)
    positive = lambda z: np.where(z[:, 0] > 0, 0.0, -np.inf)
    assert exact.marginal_divergence(encoding, p_x, positive) == np.inf


@pytest.mark.parametrize("dim", [1, 2])
def test_sampled_intervals_cover_the_quadrature_as_often_as_they_say(dim):
    problem, repeats = random_problem(2, dim=dim), 200
    truth = np.array(exact.finite_information(*problem))
    runs = np.array(
        [exact.sampled_information(*problem, num_samples=100, seed=s, confidence=0.9) for s in range(repeats)]
    )
    value, lower, upper = np.moveaxis(runs, -1, 0)
    covered = ((lower <= truth) & (truth <= upper)).sum(0)
    low, high = scipy.stats.binom.interval(1 - 1e-4, repeats, 0.9)
    assert np.all((low - 4 <= covered) & (covered <= high)), covered  # 100 samples are a little short of normal
    np.testing.assert_allclose((lower + upper) / 2, value, atol=1e-12)
    # The mean of all the runs is unbiased, with an error smaller by the root of their number.
    assert np.all(np.abs(value.mean(0) - truth) < 4.5 * value.std(0) / np.sqrt(repeats))


@hypothesis.given(seeds, st.sampled_from([(0.05, 1e-4), (0.5, 1e-9)]))
@hypothesis.settings(deadline=None, max_examples=10, derandomize=True)
def test_sampled_information_agrees_with_the_quadrature_on_many_problems(seed, setting):
    low, unseen = setting  # with narrow components inside wide ones, codes in between are too rare to be drawn
    problem = random_problem(seed, dim=2, low=low)
    sampled = exact.sampled_information(*problem, num_samples=2000, confidence=1 - 1e-6)
    for value, estimate in zip(exact.finite_information(*problem), sampled, strict=True):
        assert estimate.lower - unseen <= value <= estimate.upper + unseen
        assert estimate.upper - estimate.lower < 0.1
    np.testing.assert_allclose(sampled.residual.value, sampled.information_xz.value - sampled.information_zy.value)


def test_sampling_in_many_dimensions_with_tiny_scales_and_in_chunks(monkeypatch):
    rng, dim = np.random.default_rng(0), 256
    axis = np.array([[0.0], [2.5e-6], [6e-6]])  # one coordinate tells, the others are noise far from the origin
    labels, p_x = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]), np.array([0.5, 0.3, 0.2])
    one = DiagGaussian(axis, np.full((3, 1), 1e-6))
    many = DiagGaussian(np.c_[axis + 1.0, np.tile(10.0 * rng.normal(size=dim - 1), (3, 1))], np.full((3, dim), 1e-6))
    truth = exact.finite_information(one, p_x, labels)
    sampled = exact.sampled_information(many, p_x, labels, num_samples=2000, confidence=0.9999)
    for value, estimate in zip(truth, sampled, strict=True):
        assert estimate.lower <= value <= estimate.upper
    monkeypatch.setattr("ib_jax.exact.sampled._CHUNK_NUMBERS", 3 * dim * 7)
    np.testing.assert_allclose(
        exact.sampled_information(many, p_x, labels, num_samples=2000, confidence=0.9999), sampled
    )


def test_both_ways_to_the_distances_agree(monkeypatch):
    problem = random_problem(4, dim=5)
    expanded = exact.sampled_information(*problem, num_samples=50)
    monkeypatch.setattr("ib_jax.exact.sampled._MAX_REACH", 0.0)
    direct = exact.sampled_information(*problem, num_samples=50)
    np.testing.assert_allclose(expanded, direct, rtol=0, atol=1e-11)


def test_distances_keep_their_digits_when_components_are_far_apart(monkeypatch):
    far = DiagGaussian(np.array([[0.0], [1.5e-6], [10.0]]), np.full((3, 1), 1e-6))
    near = far._replace(mean=np.array([[0.0], [1.5e-6], [1e-3]]))
    problem = np.array([0.4, 0.4, 0.2]), np.eye(3)
    expected = exact.sampled_information(near, *problem, num_samples=500)
    np.testing.assert_allclose(exact.sampled_information(far, *problem, num_samples=500), expected, rtol=0, atol=1e-8)


def test_bad_input_is_refused():
    encoding, p_x, labels = random_problem(0, size=2)
    mean, scale = encoding
    for function in (exact.finite_information, lambda *a: exact.sampled_information(*a, num_samples=2)):
        for arguments, message in [
            ((DiagGaussian(mean[0], scale[0]), p_x, labels), "encoding must have fields \\[N, D\\]"),
            ((DiagGaussian(mean, 0 * scale), p_x, labels), "encoding must have finite scales > 0, got 0.0"),
            ((DiagGaussian(mean * np.nan, scale), p_x, labels), "encoding must have finite means, got nan"),
            ((encoding, p_x[:1] / p_x[0], labels), "p_x must have shape \\(2,\\), got \\(1,\\)"),
            ((encoding, 2 * p_x, labels), "p_x must sum to 1 over its entries, got 2"),
            ((encoding, p_x, labels[:1]), "p_y_given_x must have shape \\[2, C\\], got \\(1, 3\\)"),
            ((encoding, p_x, labels / 2), "p_y_given_x must sum to 1 over its last axis, got 0.5"),
        ]:
            with pytest.raises(ValueError, match=message):
                function(*arguments)
    three = DiagGaussian(np.zeros((2, 3)), np.ones((2, 3)))
    with pytest.raises(ValueError, match="encoding must have 1 or 2 dimensions for quadrature, got 3"):
        exact.finite_information(three, p_x, labels)
    many = DiagGaussian(np.tile(np.arange(1000.0)[:, None], 2), np.full((1000, 2), 1e-3))
    with pytest.raises(ValueError, match="encoding must be resolved by at most 200000000 points"):
        exact.finite_information(many, np.full(1000, 1e-3), np.ones((1000, 1)))
    with pytest.raises(ValueError, match="encoding must have scales above 1e7 roundings of their means, got"):
        exact.finite_information(DiagGaussian(mean + 1e6, 1e-12 * scale), p_x, labels)
    with pytest.raises(ValueError, match="log_prior_fn must return shape"):
        exact.marginal_divergence(encoding, p_x, lambda z: z)
    with pytest.raises(ValueError, match="num_samples must be at least 2, got 1"):
        exact.sampled_information(encoding, p_x, labels, num_samples=1)
    with pytest.raises(ValueError, match="confidence must be in \\(0, 1\\), got 95"):
        exact.sampled_information(encoding, p_x, labels, num_samples=2, confidence=95)
