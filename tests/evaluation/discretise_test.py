"""Rows of bins against tuples of floors, and what the shares say."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from ib_jax import evaluation


def same_pairs(labels):
    """Which rows have the same symbol, [N, N]: all that a numbering of symbols says."""
    return np.array([[one == other for other in labels] for one in labels])


@pytest.mark.parametrize("num_bins", [2, 5, 300])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_symbols_are_tuples_of_bins(num_bins, dtype):
    base = np.random.default_rng(0).uniform(-1, 2, (20, 3))
    features = np.concatenate([base, base + 1e-4, base[::-1]]).astype(dtype)
    bins = np.clip(np.floor((features.astype(np.float64) + 1) / 2.5 * num_bins), 0, num_bins - 1)
    tuples = [tuple(row) for row in bins.tolist()]
    found = evaluation.discretise(features, num_bins=num_bins, value_range=(-1.0, 1.5))
    np.testing.assert_array_equal(same_pairs(found.symbols), same_pairs(tuples))
    assert set(found.symbols.tolist()) == set(range(len(set(tuples))))
    assert found.distinct_share == len(set(tuples)) / 60
    assert found.single_share == sum(tuples.count(row) == 1 for row in tuples) / 60
    assert found.outside_share == pytest.approx((features > 1.5).mean())
    assert 0 < found.outside_share < 1
    np.testing.assert_allclose(found.edges, -1 + 2.5 * np.arange(num_bins + 1) / num_bins, atol=1e-12)


def test_bins_are_closed_below_and_the_last_on_both_sides():
    features = np.array([[-9.0], [0.0], [0.25], [0.5], [0.75], [1.0], [9.0]])
    found = evaluation.discretise(features, num_bins=4, value_range=(0.0, 1.0))
    np.testing.assert_array_equal(found.symbols, [0, 0, 1, 2, 3, 3, 3])
    assert found.outside_share == pytest.approx(2 / 7)


def test_more_bins_than_a_byte_holds():
    """Bins 0 and 256 of 300 are the same in eight bits."""
    found = evaluation.discretise(np.array([[0.5], [256.5]]), num_bins=300, value_range=(0.0, 300.0))
    assert found.distinct_share == 1


def test_range_from_the_data_follows_their_scale():
    features = np.random.default_rng(1).normal(size=(50, 2))
    one, ten = (evaluation.discretise(scale * features, num_bins=3) for scale in (1.0, 8.0))
    np.testing.assert_array_equal(one.symbols, ten.symbols)
    np.testing.assert_allclose([one.edges[0], one.edges[-1]], [features.min(), features.max()])
    assert one.outside_share == ten.outside_share == 0


def test_features_that_say_nothing():
    found = evaluation.discretise(np.full((4, 3), 2.0), num_bins=2)
    assert (found.symbols == 0).all()
    assert (found.distinct_share, found.single_share) == (0.25, 0)
    np.testing.assert_array_equal(found.edges, [1.5, 2, 2.5])


def test_rows_that_all_differ_have_the_entropy_of_their_number():
    features = np.random.default_rng(2).normal(size=(64, 30))
    found = evaluation.discretise(features, num_bins=8)
    assert (found.distinct_share, found.single_share) == (1, 1)
    counts = evaluation.count_symbols(found.symbols)
    assert evaluation.entropy_plug_in(counts) == pytest.approx(math.log(64))


def test_finer_bins_never_lower_the_entropy():
    features = np.random.default_rng(3).normal(size=(500, 2))
    entropies = [
        evaluation.entropy_plug_in(evaluation.count_symbols(evaluation.discretise(features, num_bins=2**bits).symbols))
        for bits in range(1, 8)
    ]
    assert (np.diff(entropies) > 0).all()
    assert entropies[1] - entropies[0] <= 2 * math.log(2)


def test_binned_gaussian_has_the_entropy_of_its_bins():
    """One feature, bins of width 1 from -8 to 8: entropy of the differences of the distribution function."""
    features = np.random.default_rng(4).normal(size=(20_000, 1))
    found = evaluation.discretise(features, num_bins=16, value_range=(-8.0, 8.0))
    cumulative = [0.5 * (1 + math.erf(edge / math.sqrt(2))) for edge in range(-8, 9)]
    expected = -sum(share * math.log(share) for share in np.diff(cumulative).tolist())
    assert evaluation.entropy_jvhw(evaluation.count_symbols(found.symbols)) == pytest.approx(expected, rel=0.01)


def test_feature_maps_are_flattened_and_jax_arrays_taken():
    features = np.random.default_rng(5).integers(0, 3, (30, 2, 2, 1)).astype(np.float32)
    flat = evaluation.discretise(features.reshape(30, 4), num_bins=3).symbols
    for other in (features, jnp.asarray(features), jnp.asarray(features, jnp.bfloat16), features.astype(np.int64)):
        np.testing.assert_array_equal(evaluation.discretise(other, num_bins=3).symbols, flat)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"features": np.zeros(3)}, r"features must be float \[N, \.\.\.\] with N, D >= 1, got shape \[3\]"),
        ({"features": np.zeros((0, 3))}, r"features must be float .* got shape \[0, 3\]"),
        ({"features": np.array([[1.0], [np.nan]])}, "features must be finite, got values from nan to nan"),
        ({"features": np.array([[1.0], [np.inf]])}, "features must be finite, got values from 1.0 to inf"),
        ({"num_bins": 1}, "num_bins must be from 2 to 65536, got 1"),
        ({"num_bins": 70_000}, "num_bins must be from 2 to 65536, got 70000"),
        ({"value_range": (1.0, 1.0)}, r"value_range must be two finite numbers in rising order, got \(1.0, 1.0\)"),
        ({"value_range": (0.0, np.nan)}, "value_range must be two finite numbers in rising order"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        evaluation.discretise(**{"features": np.eye(2), "num_bins": 2} | options)
