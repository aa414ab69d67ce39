import itertools

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.optimize
import scipy.special

from ib_jax import exact

seeds = st.integers(0, 10_000)
BSC = np.array([[0.45, 0.05], [0.05, 0.45]])
FIRST_ORDER = np.array([[0.31, 0.15, 0.11], [0.21, 0.04, 0.12], [0.02, 0.0, 0.04]])


def random_table(seed, rows=4, columns=3, concentration=0.5):
    return np.random.default_rng(seed).dirichlet(np.full(rows * columns, concentration)).reshape(rows, columns)


def naive_information(joint, encoder):
    joint_xz = joint.sum(1)[:, None] * encoder
    joint_zy = encoder.T @ joint
    return tuple(
        sum(
            table[i, j] * np.log(table[i, j] / table[i].sum() / table[:, j].sum())
            for i, j in np.ndindex(*table.shape)
            if table[i, j] > 0
        )
        for table in (joint_xz, joint_zy)
    )


def lowest_by_gradient_descent(joint, beta, seed, starts=6):
    """min beta I(X;Z) - I(Z;Y) over softmax encoders, by a general optimiser with numerical gradients."""
    rng, size = np.random.default_rng(seed), joint.shape[0]

    def objective(logits):
        xz, zy = naive_information(joint, scipy.special.softmax(logits.reshape(size, size), axis=1))
        return beta * xz - zy

    return min(
        scipy.optimize.minimize(objective, 2.0 * rng.normal(size=size * size), method="L-BFGS-B").fun
        for _ in range(starts)
    )


def binary_entropy(p):
    return scipy.special.entr(p) + scipy.special.entr(1.0 - p)


def gerber(rate, flip):
    """Mrs Gerber's lemma: the frontier of the binary symmetric channel with a uniform input."""
    inner = scipy.optimize.brentq(lambda a: binary_entropy(a) - np.log(2.0) + rate, 0.0, 0.5, xtol=1e-15)
    return np.log(2.0) - binary_entropy(inner * (1.0 - flip) + (1.0 - inner) * flip)


@hypothesis.given(seeds, st.integers(1, 4), st.integers(1, 4), st.integers(1, 4))
@hypothesis.settings(deadline=None, max_examples=20)
def test_table_information_equals_the_naive_sums(seed, rows, columns, clusters):
    rng = np.random.default_rng(seed)
    joint = random_table(seed, rows, columns) * (rng.random((rows, columns)) < 0.7)
    hypothesis.assume(joint.sum() > 0)
    joint /= joint.sum()
    encoders = rng.dirichlet(np.full(clusters, 0.3), (2, rows))
    got = exact.table_information(joint, encoders)
    np.testing.assert_allclose(np.stack(got, -1), [naive_information(joint, e) for e in encoders], atol=1e-14)


@pytest.mark.parametrize("flip", [0.01, 0.1, 0.3])
def test_blahut_arimoto_of_the_binary_symmetric_channel_is_mrs_gerbers_lemma(flip):
    joint = 0.5 * np.array([[1.0 - flip, flip], [flip, 1.0 - flip]])
    critical = (1.0 - 2.0 * flip) ** 2
    curve = exact.blahut_arimoto(joint, critical * np.array([0.05, 0.2, 0.4, 0.6, 0.8, 0.95]))
    expected = [gerber(rate, flip) for rate in curve.information_xz]
    assert curve.converged.all()
    np.testing.assert_array_equal(curve.num_clusters, 2)
    np.testing.assert_allclose(curve.information_zy, expected, rtol=0, atol=1e-9)
    assert np.ptp(curve.information_xz) > 0.15  # from one end of the curve to the other


@hypothesis.given(seeds, st.floats(0.02, 0.7))
@hypothesis.settings(deadline=None, max_examples=6, derandomize=True)  # the general optimiser proves no optimum
def test_no_general_optimiser_beats_blahut_arimoto(seed, beta):
    joint = random_table(seed, 3, 3)
    curve = exact.blahut_arimoto(joint, [beta])
    lowest = lowest_by_gradient_descent(joint, beta, seed)
    got = (beta * curve.information_xz - curve.information_zy)[0]
    assert got <= lowest + 1e-9
    np.testing.assert_allclose(got, lowest, rtol=0, atol=2e-4)


@pytest.mark.parametrize("seed", range(8))
def test_at_beta_zero_two_clusters_are_the_best_of_all_partitions(seed):
    joint = random_table(seed, 5, 4)
    curve = exact.blahut_arimoto(joint, [0.0], num_clusters=2, num_restarts=64)
    partitions = (np.eye(2)[list(labels)] for labels in itertools.product(range(2), repeat=5))
    best = max(naive_information(joint, encoder)[1] for encoder in partitions)
    np.testing.assert_allclose(curve.information_zy, best, atol=1e-9)


def test_a_deterministic_label_is_kept_whole_below_beta_one():
    joint = np.zeros((5, 4))
    joint[[0, 1, 2, 3], [0, 0, 1, 2]] = 0.1, 0.2, 0.3, 0.4
    curve = exact.blahut_arimoto(joint, [0.0, 0.3, 0.9, 1.1])
    entropy = scipy.special.entr(joint.sum(0)).sum()
    np.testing.assert_allclose(curve.information_xz, [entropy, entropy, entropy, 0.0], atol=1e-12)
    np.testing.assert_allclose(curve.information_zy, curve.information_xz, atol=1e-12)
    np.testing.assert_array_equal(curve.num_clusters, [3, 3, 3, 1])
    np.testing.assert_allclose(exact.critical_beta(joint), 1.0)


@hypothesis.given(seeds)
@hypothesis.settings(deadline=None, max_examples=8)
def test_the_curve_is_monotone_and_concave_with_slope_beta_and_met_by_its_encoders(seed):
    joint, betas = random_table(seed), np.linspace(0.03, 1.05, 18)
    curve = exact.blahut_arimoto(joint, betas)
    xz, zy = curve.information_xz, curve.information_zy
    assert np.all(np.diff(xz) <= 1e-7)
    assert np.all(np.diff(zy) <= 1e-7)
    assert np.all(zy <= xz + 1e-12)
    # No point of the curve scores better at a beta than the point of that beta: this is concavity, with slope beta.
    scores = betas[:, None] * xz - zy
    assert np.all(np.diag(scores) <= scores.min(1) + 1e-7)
    for encoder, *information in zip(curve.encoders, xz, zy, strict=True):
        np.testing.assert_allclose(naive_information(joint, encoder), information, atol=1e-12)


def test_encoders_solve_the_self_consistent_equations_with_merged_clusters():
    joint, betas = random_table(3), np.array([0.05, 0.15])
    curve = exact.blahut_arimoto(joint, betas, num_clusters=7)
    assert np.all(curve.num_clusters >= 2)
    for beta, encoder, count in zip(betas, curve.encoders, curve.num_clusters, strict=True):
        used = encoder.sum(0) > 0
        assert used.sum() == count <= 4
        p_z = joint.sum(1) @ encoder[:, used]
        p_y_given_z, p_y_given_x = encoder[:, used].T @ joint / p_z[:, None], joint / joint.sum(1, keepdims=True)
        divergence = scipy.special.rel_entr(p_y_given_x[:, None], p_y_given_z).sum(-1)
        expected = scipy.special.softmax(np.log(p_z) - divergence / beta, axis=1)
        np.testing.assert_allclose(encoder[:, used], expected, atol=1e-6)
    few = exact.blahut_arimoto(joint, betas)
    np.testing.assert_array_equal(few.num_clusters, curve.num_clusters)
    np.testing.assert_allclose(few[1:3], curve[1:3], atol=1e-7)


def test_merging_a_copied_row_or_a_copied_cluster_changes_no_information():
    copied = np.array([BSC[0] / 2, BSC[0] / 2, BSC[1]])
    betas = [0.1, 0.4, 0.9]
    curve, original = exact.blahut_arimoto(copied, betas), exact.blahut_arimoto(BSC, betas)
    np.testing.assert_array_equal(curve.num_clusters, [2, 2, 1])
    np.testing.assert_allclose(curve[1:3], original[1:3], atol=1e-9)
    halves = np.concatenate([0.3 * original.encoders, 0.7 * original.encoders], axis=-1)
    np.testing.assert_allclose(exact.table_information(BSC, halves), original[1:3], atol=1e-14)


def test_zero_rows_and_columns_and_the_order_of_betas_do_not_matter():
    joint, betas = random_table(5), np.array([0.3, 0.05, 0.1])
    padded = np.zeros((6, 5))
    padded[np.ix_([0, 2, 3, 5], [1, 2, 4])] = joint
    curve = exact.blahut_arimoto(joint, np.sort(betas), num_clusters=4)
    shuffled = exact.blahut_arimoto(padded, betas, num_clusters=4)
    order = np.argsort(betas)
    np.testing.assert_array_equal(shuffled.betas, betas)
    np.testing.assert_allclose(shuffled.information_zy[order], curve.information_zy, atol=1e-9)
    agreement = lambda encoders: encoders @ np.swapaxes(encoders, -1, -2)  # blind to the names of the clusters
    found = shuffled.encoders[order][:, [0, 2, 3, 5]]
    np.testing.assert_allclose(agreement(found), agreement(curve.encoders), atol=1e-6)
    np.testing.assert_allclose(shuffled.encoders.sum(-1), 1.0)
    np.testing.assert_allclose(exact.critical_beta(padded), exact.critical_beta(joint))


@hypothesis.given(seeds, st.integers(2, 5), st.integers(2, 5))
@hypothesis.settings(deadline=None, max_examples=20)
def test_critical_beta_is_the_second_singular_value_squared(seed, rows, columns):
    joint = random_table(seed, rows, columns)
    normalised = joint / np.sqrt(np.outer(joint.sum(1), joint.sum(0)))
    expected = np.linalg.svd(normalised, compute_uv=False)[1] ** 2
    np.testing.assert_allclose(exact.critical_beta(joint), expected, atol=1e-12)


@pytest.mark.parametrize("flip", [0.02, 0.2, 0.4])
def test_the_binary_symmetric_channel_is_learnt_just_below_the_critical_beta_and_not_above(flip):
    joint = 0.5 * np.array([[1.0 - flip, flip], [flip, 1.0 - flip]])
    critical = exact.critical_beta(joint)
    np.testing.assert_allclose(critical, (1.0 - 2.0 * flip) ** 2, rtol=1e-12)
    curve = exact.blahut_arimoto(joint, [0.99 * critical, 1.01 * critical])
    np.testing.assert_array_equal(curve.num_clusters, [2, 1])
    assert curve.information_xz[0] > 1e-3
    assert curve.information_xz[1] < 1e-12
    np.testing.assert_allclose(exact.phase_transitions(curve), critical, rtol=1e-3)
    assert exact.critical_beta(np.outer([0.3, 0.7], [0.2, 0.8])) < 1e-20


def test_above_the_critical_beta_something_far_from_trivial_can_still_be_best():
    beta = 1.05 * exact.critical_beta(FIRST_ORDER)
    curve = exact.blahut_arimoto(FIRST_ORDER, [beta])
    xz, zy = naive_information(FIRST_ORDER, curve.encoders[0])
    assert curve.num_clusters == [2]
    assert beta * xz - zy < -1e-3


def test_phase_transitions_are_where_the_number_of_clusters_changes():
    curve = exact.blahut_arimoto(BSC, [0.9, 0.1])._replace(
        betas=np.array([0.9, 0.1, 0.4, 0.2]), num_clusters=np.array([1, 3, 2, 3])
    )
    np.testing.assert_allclose(exact.phase_transitions(curve), [0.6, np.sqrt(0.08)])


def test_the_frontier_is_above_and_near_mrs_gerbers_lemma():
    curve = exact.blahut_arimoto(BSC, np.linspace(0.005, 0.64, 60))
    rates = np.linspace(0.0, np.log(2.0), 30)
    gap = exact.discrete_frontier(curve, rates) - [gerber(rate, 0.1) for rate in rates]
    assert np.all(gap > -1e-9)
    assert np.all(gap < 2e-4)
    on_curve = exact.discrete_frontier(curve, curve.information_xz)
    np.testing.assert_allclose(on_curve, curve.information_zy, atol=1e-9)
    ends = [[0.0, np.log(2.0) - binary_entropy(0.1)]]
    np.testing.assert_allclose(exact.discrete_frontier(curve, [[0.0, np.inf]]), ends, atol=1e-9)
    alone = exact.blahut_arimoto(BSC, [0.9])  # trivial: I(X;Z) itself is the bound
    np.testing.assert_allclose(exact.discrete_frontier(alone, 0.2), 0.9 * 0.2)
    np.testing.assert_allclose(exact.discrete_frontier(alone._replace(betas=np.array([2.0])), 0.2), 0.2)


@hypothesis.given(seeds)
@hypothesis.settings(deadline=None, max_examples=8)
def test_every_encoder_lies_under_the_frontier(seed):
    joint = random_table(seed)
    curve = exact.blahut_arimoto(joint, np.geomspace(0.02, 1.0, 12))
    rng = np.random.default_rng(seed)
    encoders = np.concatenate([rng.dirichlet(np.full(4, c), (50, 4)) for c in (0.05, 0.3, 1.0)])
    xz, zy = exact.table_information(joint, encoders)
    assert np.all(zy <= exact.discrete_frontier(curve, xz) + 1e-9)


def test_bad_input_is_refused():
    for arguments, options, message in [
        (([0.5, 0.5], [0.1]), {}, "joint must be a table"),
        (([[0.5, -0.1], [0.3, 0.3]], [0.1]), {}, "joint must be >= 0, got -0.1"),
        (([[0.5, np.nan], [0.3, 0.3]], [0.1]), {}, "joint must be >= 0, got nan"),
        (([[0.5, 0.6]], [0.1]), {}, "joint must sum to 1 over its entries, got 1.1"),
        ((BSC, 0.1), {}, "betas must be a list of at least one number"),
        ((BSC, [-0.1]), {}, "betas must be finite and >= 0, got -0.1"),
        ((BSC, [0.1]), {"num_clusters": 0}, "num_clusters must be at least 1, got 0"),
        ((BSC, [0.1]), {"num_restarts": 0}, "num_restarts must be at least 1, got 0"),
        ((BSC, [0.1]), {"max_iterations": 0}, "max_iterations must be at least 1, got 0"),
        ((BSC, [0.1]), {"tolerance": 0.0}, "tolerance must be > 0, got 0.0"),
    ]:
        with pytest.raises(ValueError, match=message):
            exact.blahut_arimoto(*arguments, **options)
    with pytest.raises(ValueError, match=r"encoder must sum to 1 over its last axis, got 0\.9"):
        exact.table_information(BSC, [[0.5, 0.4], [1.0, 0.0]])
    with pytest.raises(ValueError, match="encoder must have a row for each of the 2 rows of joint"):
        exact.table_information(BSC, np.eye(3))
    with pytest.raises(ValueError, match="information_xz must be >= 0 nats, got -1"):
        exact.discrete_frontier(exact.blahut_arimoto(BSC, [0.5]), [0.1, -1.0])


def test_too_few_iterations_are_reported():
    assert not exact.blahut_arimoto(BSC, [0.5], max_iterations=3).converged.any()
