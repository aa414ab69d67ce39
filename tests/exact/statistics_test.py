"""Theorem 1, over all statistics of small inputs."""

import numpy as np
import pytest

from ib_jax import exact


def random_table(seed, size=5, labels=3, zeros=0, kinds=3):
    """Inputs that share `kinds` different p(y|x), the last `zeros` of probability zero."""
    rng = np.random.default_rng(seed)
    p_x = rng.dirichlet(np.full(size, 2.0))
    if zeros:
        p_x[-zeros:] = 0.0
    return p_x / p_x.sum(), rng.dirichlet(np.ones(labels), kinds)[rng.integers(kinds, size=size)], rng


def bayes(p_x, labels):
    return labels.argmax(1)


def test_partitions_are_bells_numbers_and_all_different():
    for size, count in enumerate([1, 2, 5, 15, 52, 203, 877], start=1):
        found = {tuple(statistic) for statistic in exact.partitions(size)}
        assert len(found) == count == sum(1 for _ in exact.partitions(size))
    with pytest.raises(ValueError, match="size must be at least 1, got 0"):
        list(exact.partitions(0))


@pytest.mark.parametrize("zeros", [0, 1])
def test_sufficiency_and_minimality_are_those_of_definition_2(zeros):
    for seed in range(6):
        p_x, labels, _ = random_table(seed, zeros=zeros)
        statistics = list(exact.partitions(5))
        rates = np.array([exact.statistic_information(p_x, labels, statistic) for statistic in statistics])
        sufficient = rates[:, 1] > rates[:, 1].max() - 1e-10
        minimal = sufficient & (rates[:, 0] < rates[sufficient, 0].min() + 1e-10)
        found = np.array([
            (exact.is_sufficient(p_x, labels, each), exact.is_minimal_sufficient(p_x, labels, each))
            for each in statistics
        ])  # fmt: skip
        np.testing.assert_array_equal(found, np.stack([sufficient, minimal], 1))
        assert 0 < minimal.sum() < sufficient.sum() < len(statistics)


def test_on_the_support_with_the_best_decoder_an_adversarial_example_shows_insufficiency():
    some = {"insufficient with": 0, "insufficient without": 0, "sufficient": 0, "not minimal": 0}
    for seed in range(12):
        p_x, labels, rng = random_table(seed)
        points, epsilon = rng.normal(size=(5, 2)), rng.uniform(0, 2)
        for statistic in exact.partitions(5):
            decoder = exact.best_decoder(p_x, labels, statistic)
            found = exact.adversarial_examples(points, decoder[statistic], bayes(p_x, labels), epsilon).any()
            if exact.is_sufficient(p_x, labels, statistic):
                assert not found
                some["sufficient"] += 1
                some["not minimal"] += not exact.is_minimal_sufficient(p_x, labels, statistic)
            else:
                some["insufficient with" if found else "insufficient without"] += 1
    assert min(some.values()) > 20, some  # no case is empty; the converse does not hold


def test_there_is_an_adversarial_example_if_and_only_if_the_statistic_does_not_determine_the_bayes_label():
    some = {True: 0, False: 0}
    for seed in range(12):
        p_x, labels, rng = random_table(seed, kinds=4)
        oracle = bayes(p_x, labels)
        for statistic in exact.partitions(5):
            decoder = exact.best_decoder(p_x, labels, statistic)
            found = exact.adversarial_examples(rng.normal(size=(5, 2)), decoder[statistic], oracle, 0.0).any()
            several = any(len(set(oracle[statistic == value])) > 1 for value in statistic)
            assert found == several
            some[bool(found)] += 1
    assert min(some.values()) > 20, some
    constant, nearly = np.array([0, 0]), np.array([[0.9, 0.1], [0.8, 0.2]])
    assert not exact.is_sufficient([0.5, 0.5], nearly, constant)  # and yet f = o
    np.testing.assert_array_equal(exact.best_decoder([0.5, 0.5], nearly, constant)[constant], bayes(None, nearly))


def test_assumption_1_holds_for_hardly_any_problem():
    held = []
    for seed in range(40):
        p_x, labels, _ = random_table(seed, size=4, kinds=4)
        pairs = [exact.error_and_entropy(p_x, labels, statistic) for statistic in exact.partitions(4)]
        held.append(exact.is_monotonic(*np.transpose(pairs)))
    assert np.mean(held) < 0.1
    # Not even without noise: two ways to err on a third, of different H(Y|T).
    third, known = np.full(3, 1 / 3), np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    one, other = (exact.error_and_entropy(third, known, statistic) for statistic in ([0, 0, 0], [0, 1, 0]))
    assert one[0] == pytest.approx(other[0]) == 1 / 3
    assert one[1] > other[1] + 0.1


def test_counter_example_an_input_of_probability_zero():
    p_x, labels, points = (
        np.array([0.5, 0.5, 0.0]),
        np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]),
        [[0.0], [2.0], [1.0]],
    )
    statistic = np.array([0, 1, 0])  # T(x') is free
    pairs = [exact.error_and_entropy(p_x, labels, each) for each in exact.partitions(3)]
    assert exact.is_monotonic(*np.transpose(pairs))  # Assumption 1, for all statistics
    assert exact.is_minimal_sufficient(p_x, labels, statistic)
    predictions = exact.best_decoder(p_x, labels, statistic)[statistic]
    found = exact.adversarial_examples(points, predictions, bayes(p_x, labels), 1.0)
    np.testing.assert_array_equal(found, [True, True, True])


def test_counter_example_a_decoder_that_is_not_the_best():
    p_x, labels = np.array([0.9, 0.1]), np.array([[0.9, 0.05, 0.05], [0.0, 0.55, 0.45]])
    statistic, decoder = np.array([0, 1]), np.array([0, 2])  # T = X, and g errs on the second input
    pairs = [exact.error_and_entropy(p_x, labels, each) for each in exact.partitions(2)]
    pairs.append(exact.error_and_entropy(p_x, labels, statistic, decoder))
    assert exact.is_monotonic(*np.transpose(pairs))  # Assumption 1, with this decoder among the others
    assert exact.is_minimal_sufficient(p_x, labels, statistic)
    assert exact.adversarial_examples([[0.0], [1.0]], decoder[statistic], bayes(p_x, labels), 1.0).all()


def test_counter_example_an_oracle_that_is_not_the_bayes_rule():
    p_x, labels = np.array([0.5, 0.5]), np.array([[0.9, 0.1], [0.4, 0.6]])
    pairs = [exact.error_and_entropy(p_x, labels, each) for each in exact.partitions(2)]
    assert exact.is_monotonic(*np.transpose(pairs))
    predictions = exact.best_decoder(p_x, labels, [0, 1])
    assert exact.adversarial_examples([[0.0], [1.0]], predictions, [0, 0], 0.0).any()  # the labels are noisy, o is not
    assert exact.is_minimal_sufficient(p_x, labels, [0, 1])


def test_errors_and_ties():
    p_x, labels, _ = random_table(3)
    error, entropy = exact.error_and_entropy(p_x, labels, np.arange(5))
    assert error == pytest.approx(1 - p_x @ labels.max(1))
    assert entropy == pytest.approx(-p_x @ np.sum(labels * np.log(labels), 1))
    np.testing.assert_array_equal(exact.best_decoder([0.5, 0.5], [[0.1, 0.9], [0.9, 0.1]], [0, 0]), [0])
    np.testing.assert_array_equal(exact.best_decoder([1.0, 0.0], np.eye(2), [1, 2]), [0, 0, 0])


def test_bad_input_is_refused():
    p_x, labels, _ = random_table(0)
    with pytest.raises(ValueError, match="statistic must be 5 integers >= 0"):
        exact.is_sufficient(p_x, labels, [0, 1])
    with pytest.raises(ValueError, match="statistic must be 5 integers >= 0"):
        exact.is_sufficient(p_x, labels, [0, 1, 2, 3, -1])
    with pytest.raises(ValueError, match=r"p_x must be \[N\] and p_y_given_x \[N, C\]"):
        exact.is_sufficient(p_x, labels[:2], [0, 1])
    with pytest.raises(ValueError, match="decoder must have a label for each of the 1 values"):
        exact.error_and_entropy(p_x, labels, np.zeros(5, int), [0, 1])
    with pytest.raises(ValueError, match=r"points must be \[N, D\]"):
        exact.adversarial_examples(np.zeros((2, 1)), [0], [0], 1.0)
