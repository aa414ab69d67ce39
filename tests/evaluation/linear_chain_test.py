"""The linear layers found in a network, against its parameters and its Jacobian; and what is no chain."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ib_jax import evaluation, losses, models, promotion

KEY = jax.random.key(0)
IMAGE = (6, 5, 2)


def matrices(fn, shape=IMAGE):
    """Of each layer, by its Jacobian."""
    found = evaluation.linear_chain(fn, shape)
    sizes = [int(np.prod(layer.input_shape)) for layer in found]
    jacobians = [jax.jit(jax.jacobian(layer.linear_fn))(jnp.zeros(layer.input_shape)) for layer in found]
    return [np.asarray(jacobian).reshape(-1, size) for jacobian, size in zip(jacobians, sizes, strict=True)]


def drawn(shapes):
    """Parameters, all of them positive."""
    draw = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: jnp.asarray(draw.uniform(0.5, 1.5, leaf.shape), jnp.float32), shapes)


def test_the_layers_of_the_mlp_encoder():
    model = models.mlp_classifier(latent_dim=2, num_classes=3, hidden=(7, 4))
    params = drawn(jax.eval_shape(model.init, KEY, jnp.zeros((1, *IMAGE))))
    layers = jax.tree.leaves(params, is_leaf=lambda x: "kernel" in x)
    kernels = sorted((np.asarray(layer["kernel"]).T for layer in layers), key=lambda kernel: -kernel.size)[:3]
    got = matrices(lambda x: model.encode(params, x))
    assert len(got) == 3
    np.testing.assert_allclose(got[0], 2 * kernels[0], rtol=1e-6)  # the map 2 x - 1 counts
    np.testing.assert_allclose(got[1], kernels[1], rtol=1e-6)
    np.testing.assert_allclose(got[2], kernels[2], rtol=1e-6)
    mean = matrices(lambda x: model.encode(params, x).mean)[2]
    scale = matrices(lambda x: model.encode(params, x).scale)[2]
    np.testing.assert_allclose(mean, kernels[2][:2], rtol=1e-6)
    np.testing.assert_allclose(scale, kernels[2][2:], rtol=1e-6)


class Convolutions(nn.Module):
    activation: str = "relu"

    @nn.compact
    def __call__(self, x):
        act = {"relu": nn.relu, "softplus": nn.softplus, "tanh": nn.tanh, "none": lambda x: x}[self.activation]
        x = act(nn.Conv(4, (3, 3), 2)(2.0 * x - 1.0))
        with promotion.of_others():
            x = nn.BatchNorm(use_running_average=True)(nn.avg_pool(x, (2, 2)))
        x = act(nn.Conv(3, (2, 2), padding="VALID")(x))
        return nn.Dense(5)(x.reshape(x.shape[0], -1) / 3.0), jnp.ones(7)


def convolutions(activation):
    net = Convolutions(activation)
    params = drawn(jax.eval_shape(net.init, KEY, jnp.zeros((1, *IMAGE))))
    return net, params


def test_a_network_without_activations_is_one_layer_its_jacobian():
    net, params = convolutions("none")
    fn = lambda x: net.apply(params, x)
    (got,) = matrices(fn)
    jacobian = jax.jit(jax.jacobian(lambda x: fn(x[None])[0][0]))(jnp.zeros(IMAGE))
    np.testing.assert_allclose(got, jacobian.reshape(5, -1), rtol=1e-4)


@pytest.mark.parametrize("activation", ["relu", "softplus", "tanh"])
def test_the_layers_make_the_jacobian_of_a_network(activation):
    net, params = convolutions(activation)
    fn = lambda x: net.apply(params, x)[0]
    first, second, third = matrices(fn)
    assert (first.shape, second.shape, third.shape) == ((36, 60), (3, 36), (5, 3))
    # Where all units are active (of relu), or nearly, the Jacobian is the product; elsewhere it is no larger.
    x = jnp.ones((1, *IMAGE)) * 3.0
    jacobian = np.asarray(jax.jit(jax.jacobian(fn))(x)).reshape(5, -1)
    product = third @ second @ first
    if activation == "tanh":
        assert np.linalg.norm(jacobian, 2) < np.linalg.norm(product, 2)
    else:
        np.testing.assert_allclose(jacobian, product, rtol=1e-3)


def test_the_encoder_lies_between_the_bounds():
    net, params = convolutions("relu")
    fn = lambda x: net.apply(params, x)[0]
    bounds = evaluation.lipschitz_bounds(evaluation.linear_chain(fn, IMAGE))
    lower = evaluation.lipschitz_ascent(KEY, fn, jnp.ones((2, *IMAGE)), num_steps=30).max()
    assert 0.5 * bounds.averaged < lower <= bounds.averaged * (1 + 1e-5) <= bounds.product * (1 + 2e-5)


def test_a_penalty_on_the_chain_has_a_gradient_in_the_parameters():
    net, params = convolutions("relu")

    def penalty(params):
        chain = evaluation.linear_chain(lambda x: net.apply(params, x), IMAGE)
        return losses.spectral_penalty(chain, num_steps=30, key=KEY)

    value, gradient = jax.jit(jax.value_and_grad(penalty))(params)
    norms = evaluation.lipschitz_bounds(evaluation.linear_chain(lambda x: net.apply(params, x), IMAGE)).norms
    np.testing.assert_allclose(value, np.square(norms).sum(), rtol=1e-3)
    # Of the last layer alone the norm is proportional to its kernel: d |W|^2 / d W . W = 2 |W|^2.
    along = np.vdot(gradient["params"]["Dense_0"]["kernel"], params["params"]["Dense_0"]["kernel"])
    np.testing.assert_allclose(along, 2 * norms[-1] ** 2, rtol=1e-3)
    assert not gradient["params"]["Dense_0"]["bias"].any()


W = jnp.asarray(np.random.default_rng(0).normal(size=(3, 3)), jnp.float32)


@pytest.mark.parametrize(
    "fn, message",
    [
        (lambda x: x + jax.nn.relu(x), "'add' joins two branches"),
        (lambda x: x @ W + x @ W.T, "one layer's output goes into two others"),
        (lambda x: (x @ W, jax.nn.relu(x) @ W), "one layer's output goes into two others"),
        (lambda x: (jax.nn.relu(x), x @ W), "an output is not of the last layer"),
        (lambda x: jnp.broadcast_to(x @ W, (2, 3)), "a coordinate is used twice"),
        (lambda x: (x @ W,) * 2, "a coordinate is used twice"),
        (lambda x: jnp.concatenate([x, -x], -1) @ jnp.ones((6, 1)), "joins two branches|goes into two"),
        (lambda x: (x @ W) / jnp.linalg.norm(x @ W), "joins two branches|goes into two"),
        (
            lambda x: nn.LayerNorm().apply({"params": {"scale": jnp.ones(3), "bias": jnp.ones(3)}}, x),
            "'square' is neither|joins two branches",
        ),
        (lambda x: nn.max_pool((x @ W)[..., None], (2,)), "'reduce_window_max'"),
        (lambda x: jnp.abs(x) @ W, "'abs' is neither"),
        (lambda x: jax.nn.gelu(x @ W), "is neither|joins two branches"),
        (lambda x: jax.nn.silu(x @ W), "joins two branches"),
        (lambda x: 1.0 / (x @ W), "'div' is neither"),
        (lambda x: (x @ W) ** 2, "is neither|joins two branches"),
        (lambda x: x.astype(jnp.bfloat16) @ W.astype(jnp.bfloat16), "conversion to bfloat16 rounds"),
        (lambda x: jax.nn.relu(x), "it has no linear layer"),
        (lambda x: jnp.ones(3), "it has no linear layer"),
        (lambda x: (), "fn must return at least one array"),
    ],
)
def test_what_is_no_plain_chain_is_refused(fn, message):
    with pytest.raises(ValueError, match=message):
        evaluation.linear_chain(fn, (3,))


def test_signs_and_orders_are_kept():
    fn = lambda x: (1.0 - jnp.flip(jax.nn.relu(x @ W), -1)) / 2.0
    first, second = matrices(fn, (3,))
    np.testing.assert_allclose(first, W.T, rtol=1e-6)
    np.testing.assert_allclose(second, -0.5 * np.eye(3)[::-1])
