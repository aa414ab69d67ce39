"""Operator norms against NumPy's SVD of the whole matrix, and penalties in a real train step."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ib_jax import BoundTerms, losses, training

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)
IMAGE = (7, 6, 2)
KERNEL = jnp.asarray(RNG.normal(size=(3, 3, 2, 3)), jnp.float32)
MATRIX = jnp.asarray(RNG.normal(size=(9, 6)), jnp.float32)


def conv(stride, padding):
    def apply(image):
        numbers = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(image[None], KERNEL, (stride, stride), padding, dimension_numbers=numbers)[
            0
        ]

    return apply


def naive_conv(image, stride, padding):
    """In loops, in float64: TensorFlow's rule for SAME puts the odd row of zeros last."""
    height, width, _ = image.shape
    if padding == "SAME":
        pads = [max((-(-n // stride) - 1) * stride + 3 - n, 0) for n in (height, width)]
        image = np.pad(image, [*((pad // 2, pad - pad // 2) for pad in pads), (0, 0)])
    rows, columns = ((n - 3) // stride + 1 for n in image.shape[:2])
    patch = lambda i, j: image[i * stride : i * stride + 3, j * stride : j * stride + 3]
    kernel = np.asarray(KERNEL, np.float64)
    return np.array([[np.tensordot(patch(i, j), kernel, 3) for j in range(columns)] for i in range(rows)])


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("padding", ["SAME", "VALID"])
def test_the_norm_of_a_convolution_is_that_of_its_matrix(stride, padding):
    units = np.eye(np.prod(IMAGE)).reshape(-1, *IMAGE)
    matrix = np.array([naive_conv(unit, stride, padding).ravel() for unit in units])
    got = losses.operator_norm(conv(stride, padding), IMAGE, num_steps=150, key=KEY)
    np.testing.assert_allclose(got, iterated(matrix, jax.random.normal(KEY, IMAGE, jnp.float32), 150), rtol=1e-5)
    # With the first singular values 7.438 and 7.434 (VALID, stride 1) the iteration itself is still 1.5e-4 short.
    exact = np.linalg.norm(matrix, 2)
    assert exact * (1 - 2e-4) <= got <= exact * (1 + 1e-6)


def iterated(matrix, start, num_steps):
    """Power iteration in float64; the matrix is [inputs, outputs]."""
    vector = np.asarray(start, np.float64).ravel()
    for _ in range(num_steps):
        vector = matrix @ (vector @ matrix)
        vector /= np.linalg.norm(vector)
    return np.linalg.norm(vector @ matrix) / np.linalg.norm(vector)


@pytest.mark.parametrize("num_steps", [0, 1, 3, 16, 17, 100])
def test_the_norm_of_a_dense_layer_is_found_from_below(num_steps):
    matrix = np.asarray(MATRIX, np.float64)
    got = losses.operator_norm(lambda x: x @ MATRIX + 5.0, (9,), num_steps=num_steps, key=KEY)
    np.testing.assert_allclose(got, iterated(matrix, jax.random.normal(KEY, (9,), jnp.float32), num_steps), rtol=1e-5)
    assert got <= np.linalg.norm(matrix, 2) * (1 + 1e-6)
    assert num_steps < 100 or got >= np.linalg.norm(matrix, 2) * (1 - 1e-5)


def test_the_average_error_is_within_the_stated_rate_where_singular_values_crowd():
    values = np.linspace(0.9, 1.0, 200)
    scale = jnp.asarray(values, jnp.float32)
    norm = jax.jit(lambda key: losses.operator_norm(lambda x: scale * x, (200,), num_steps=10, key=key))
    errors = 1 - np.array([norm(key) for key in jax.random.split(KEY, 20)])
    assert 0.01 < errors.mean() < 0.44 * np.log(200) / 10


def test_its_gradient_is_that_of_the_largest_singular_value():
    norm = lambda matrix: losses.operator_norm(lambda x: x @ matrix, (9,), num_steps=100, key=KEY)
    left, _, right = np.linalg.svd(np.asarray(MATRIX, np.float64))
    np.testing.assert_allclose(jax.jit(jax.grad(norm))(MATRIX), np.outer(left[:, 0], right[0]), atol=1e-4)


def test_a_map_of_zeros_and_one_of_tiny_numbers():
    norm = lambda factor: losses.operator_norm(lambda x: factor * x, (3,), num_steps=3, key=KEY)
    value, gradient = jax.value_and_grad(norm)(0.0)
    assert value == 0
    assert np.isfinite(gradient)
    np.testing.assert_allclose(norm(1e-15), 1e-15, rtol=1e-5)
    np.testing.assert_allclose(norm(1e15), 1e15, rtol=1e-5)


def test_the_penalty_is_the_sum_of_squared_norms():
    layers = [(lambda x: x @ MATRIX, (9,)), losses.LinearMap(lambda x: 3.0 * x @ MATRIX.T, (6,))]
    got = losses.spectral_penalty(layers, num_steps=100, key=KEY)
    np.testing.assert_allclose(got, 10 * np.linalg.norm(MATRIX, 2) ** 2, rtol=1e-4)


def trained(weight, penalty):
    """The norm of the weights after twenty real train steps, over that before."""
    inputs, labels = RNG.normal(size=(16, 9)).astype(np.float32), np.zeros((16, 6), np.float32)

    def loss_fn(params, keys, inputs, labels):
        values = lambda x: jnp.square(x @ params - labels).sum(-1)
        added = {
            "spectral": lambda: losses.spectral_penalty([(lambda x: x @ params, (9,))], key=KEY),
            "gradient": lambda: losses.gradient_penalty(values, inputs),
        }[penalty]()
        return BoundTerms(0.0 * values(inputs) + weight * added, values(inputs))

    optimizer = optax.sgd(0.01)
    step = jax.jit(training.make_train_step(loss_fn, optimizer))
    state = training.init_state(KEY, MATRIX, optimizer, 0.999)
    for _ in range(20):
        state, _ = step(state, training.Batch(inputs, labels), KEY)
    return np.linalg.norm(state.params, 2) / np.linalg.norm(MATRIX, 2)


@pytest.mark.parametrize("penalty", ["spectral", "gradient"])
def test_in_a_train_step_a_penalty_lowers_the_norm(penalty):
    assert trained(0.0, penalty) == 1.0
    if penalty == "spectral":
        # Each step takes 2 % off the largest singular value alone, until it meets the second.
        second = np.linalg.svd(MATRIX, compute_uv=False)[1] / np.linalg.norm(MATRIX, 2)
        assert trained(1.0, penalty) <= max(0.98**20, second) + 0.02
    else:
        assert trained(0.01, penalty) < 0.9


def test_the_gradient_penalty_and_its_derivative_are_those_of_finite_differences():
    weights = np.asarray(MATRIX, np.float64)
    inputs = RNG.normal(size=(4, 3, 3)).astype(np.float32)
    fn = lambda matrix: lambda x: jnp.tanh(x.reshape(x.shape[0], -1) @ matrix).sum(-1)

    def expected(matrix):
        slope = 1 - np.tanh(inputs.reshape(4, -1) @ matrix) ** 2
        return np.square(slope @ matrix.T).sum(1)

    penalty = lambda matrix: losses.gradient_penalty(fn(matrix), jnp.asarray(inputs))
    np.testing.assert_allclose(penalty(MATRIX), expected(weights), rtol=1e-5)
    direction = RNG.normal(size=MATRIX.shape)
    slope = (expected(weights + 1e-6 * direction) - expected(weights - 1e-6 * direction)) / 2e-6
    got = jax.jvp(penalty, (MATRIX,), (jnp.asarray(direction, jnp.float32),))[1]
    np.testing.assert_allclose(got, slope, rtol=1e-3)


def test_arguments_are_checked():
    with pytest.raises(ValueError, match="num_steps must be at least 0, got -1"):
        losses.operator_norm(lambda x: x, (2,), num_steps=-1, key=KEY)
    with pytest.raises(NotImplementedError):
        losses.operator_norm(jax.nn.relu, (2,), key=KEY)
    with pytest.raises(ValueError, match="layers must hold at least one layer, got none"):
        losses.spectral_penalty([], key=KEY)
    with pytest.raises(ValueError, match=r"fn must return one value for each example, \(3,\), got \(3, 2\)"):
        losses.gradient_penalty(lambda x: x, jnp.ones((3, 2)))
