"""Upper and lower bounds on Lipschitz constants, against networks whose constant is known."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse.linalg

from ib_jax import evaluation, losses

KEY = jax.random.key(0)


def chain(rng, *sizes):
    return [rng.normal(size=(b, a)) / math.sqrt(a) for a, b in itertools.pairwise(sizes)]


def relu_net(matrices, biases=None):
    def fn(x):
        for place, matrix in enumerate(matrices):
            x = jax.nn.relu(x) if place else x
            x = x @ jnp.asarray(matrix.T, jnp.float32)
            x = x if biases is None else x + jnp.broadcast_to(jnp.asarray(biases[place], x.dtype), x.shape)
        return x

    return fn


def norm(matrix):
    return np.linalg.svd(matrix, compute_uv=False)[0]


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_the_averaged_bound_is_the_mean_over_all_cuts(depth):
    matrices = chain(np.random.default_rng(depth), *range(3, 4 + depth))
    total = 0.0
    for cuts in itertools.product([False, True], repeat=depth - 1):
        piece, product = matrices[0], 1.0
        for cut, matrix in zip(cuts, matrices[1:], strict=True):
            product, piece = (product * norm(piece), matrix) if cut else (product, matrix @ piece)
        total += product * norm(piece)
    bounds = evaluation.lipschitz_bounds(matrices)
    np.testing.assert_allclose(bounds.averaged, total / 2 ** (depth - 1), rtol=1e-12)
    np.testing.assert_allclose(bounds.norms, [norm(matrix) for matrix in matrices], rtol=1e-12)
    np.testing.assert_allclose(bounds.product, np.prod([norm(matrix) for matrix in matrices]), rtol=1e-12)
    assert depth == 1 or bounds.averaged < bounds.product


@pytest.mark.parametrize("shape", [(80, 100), (100, 80)])
@pytest.mark.parametrize("fault", [None, 0.99, 1.2, "fails"])
def test_a_wide_norm_is_right_and_is_proved_to_be(shape, fault, monkeypatch):
    matrix = np.random.default_rng(0).normal(size=shape) * 1e200  # whose squares overflow
    exact = norm(matrix)
    if fault is not None:

        def wrong(gram, *_, **__):
            if fault == "fails":
                raise scipy.sparse.linalg.ArpackError(-1)
            return np.array([fault * np.linalg.eigvalsh(gram)[-1]])

        monkeypatch.setattr(scipy.sparse.linalg, "eigsh", wrong)
    got = evaluation.lipschitz_bounds([matrix]).product
    # Too low an answer of the quick method is found out; one too high is an upper bound all the same.
    assert exact * (1 - 1e-12) <= got <= exact * (1.1 if fault == 1.2 else 1 + 1e-9)


def test_the_bounds_of_linear_networks():
    # A chain without activations, in which each bound may be loose, and multiples of isometries, where none is.
    matrices = chain(np.random.default_rng(0), 4, 6, 5, 3)
    bounds = evaluation.lipschitz_bounds(matrices)
    exact = norm(matrices[2] @ matrices[1] @ matrices[0])
    assert exact <= bounds.averaged <= bounds.product
    rotations = [2.0 * np.linalg.qr(matrix)[0] for matrix in np.random.default_rng(1).normal(size=(3, 4, 4))]
    found = evaluation.lipschitz_bounds(rotations)
    np.testing.assert_allclose([found.averaged, found.product], 8.0)


def test_the_absolute_value_as_a_network():
    # relu(x) + relu(-x): the constant is 1; the averaged bound finds it and the product does not.
    bounds = evaluation.lipschitz_bounds([[[1.0], [-1.0]], [[1.0, 1.0]]])
    np.testing.assert_allclose([bounds.averaged, bounds.product], [1.0, 2.0])
    # |x + y| + |x - y| = 2 max(|x|, |y|), whose constant is 2, by four units: again found exactly.
    first, second = np.array([[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]]), np.ones((1, 4))
    bounds = evaluation.lipschitz_bounds([first, second])
    np.testing.assert_allclose([bounds.averaged, bounds.product], [2.0, 4.0])


def test_an_activation_that_falls_breaks_the_averaged_bound_and_not_the_product():
    # |x| + |y| by the absolute value as the activation: the constant is sqrt(2) = the product.
    first, second = np.array([[1.0, 1.0], [1.0, -1.0]]), np.array([[1.0, 0.0]])
    bounds = evaluation.lipschitz_bounds([first, second])
    np.testing.assert_allclose(bounds.product, math.sqrt(2))
    cancelled = evaluation.lipschitz_bounds([[[1.0], [-1.0]], [[1.0, 1.0]]])
    net = lambda x: np.array([[1.0, 1.0]]) @ np.abs(np.array([[1.0], [-1.0]]) * x)
    slope = (net(2.0) - net(1.0)).item()
    assert cancelled.averaged < slope <= cancelled.product + 1e-12


@pytest.mark.parametrize("seed", range(2))
def test_one_hidden_layer_whose_constant_is_found_by_enumeration(seed):
    # With no more hidden units than inputs every pattern of active units is reached, so L is the largest over all.
    rng = np.random.default_rng(seed)
    first, second = chain(rng, 6, 5, 3)
    exact = max(norm(second * pattern @ first) for pattern in itertools.product([0.0, 1.0], repeat=5))
    bounds = evaluation.lipschitz_bounds([first, second])
    assert exact <= bounds.averaged <= bounds.product
    fn = relu_net([first, second], [rng.normal(size=5), 1.0])
    starts = jnp.asarray(rng.normal(size=(32, 6)), jnp.float32)
    radii = (1.0, 0.1)  # at the default's 0.01 rounding, 1e-7 max|f| / (L r), would be 2.5e-5
    lower = evaluation.lipschitz_ascent(KEY, fn, starts, num_steps=60, radii=radii).max()
    assert 0.85 * exact <= lower <= exact * (1 + 1e-5)


def test_deep_relu_networks_are_between_the_bounds():
    rng = np.random.default_rng(0)
    matrices = chain(rng, 5, 12, 12, 4)
    bounds = evaluation.lipschitz_bounds(matrices)
    fn = relu_net(matrices)
    pairs = rng.normal(size=(2, 20_000, 5)).astype(np.float32)
    rises = np.linalg.norm(fn(pairs[0]) - fn(pairs[1]), axis=-1) / np.linalg.norm(pairs[0] - pairs[1], axis=-1)
    lower = evaluation.lipschitz_ascent(KEY, fn, jnp.asarray(pairs[0, :32]), num_steps=60).max()
    assert rises.max() < lower < bounds.averaged < bounds.product


def test_a_linear_map_counts_as_its_matrix():
    kernel = jnp.asarray(np.random.default_rng(0).normal(size=(3, 3, 1, 2)), jnp.float32)
    numbers = ("NHWC", "HWIO", "NHWC")
    apply = lambda x: jax.lax.conv_general_dilated(x[None], kernel, (2, 2), "SAME", dimension_numbers=numbers)[0] + 7.0
    units = np.eye(30, dtype=np.float32).reshape(30, 5, 6, 1)
    matrix = np.array([(apply(unit) - apply(np.zeros_like(unit))).ravel() for unit in units]).T
    got = evaluation.lipschitz_bounds([losses.LinearMap(apply, (5, 6, 1)), np.ones((1, 18))])
    wanted = evaluation.lipschitz_bounds([matrix, np.ones((1, 18))])
    np.testing.assert_allclose(got.averaged, wanted.averaged, rtol=1e-5)
    np.testing.assert_allclose(got.norms, wanted.norms, rtol=1e-5)
    estimate = losses.operator_norm(apply, (5, 6, 1), num_steps=600, key=KEY)
    np.testing.assert_allclose(estimate, got.norms[0], rtol=1e-5)


@pytest.mark.parametrize(
    "layers, message",
    [
        ([], "layers must hold at least one layer, got none"),
        ([np.ones((2, 3)), np.ones((2, 3))], "layer 1 must take the 2 outputs of layer 0, got 3"),
        ([np.ones(3)], r"layer 0 must be a LinearMap or a matrix \[outputs, inputs\], got shape \(3,\)"),
        ([np.array([[np.nan]])], "layer 0 must be finite"),
        ([losses.LinearMap(jax.nn.relu, (3,))], "layer 0 must be linear up to a constant"),
        ([losses.LinearMap(lambda x: x, (10_000,))], "layer 0 must have a matrix of at most 67108864 entries"),
    ],
)
def test_layers_are_checked(layers, message):
    with pytest.raises(ValueError, match=message):
        evaluation.lipschitz_bounds(layers)
