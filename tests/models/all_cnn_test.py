"""All-CNN-C: the published size, the forward pass against SciPy, the average and the last layer commute."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ib_jax import models
from tests.models.scipy_conv import drawn, strided_conv

RNG = np.random.default_rng(0)
CONVOLUTIONS = [(96, 3, 1), (96, 3, 1), (96, 3, 2), (192, 3, 1), (192, 3, 1), (192, 3, 2), (192, 3, 1), (192, 1, 1)]


@functools.cache
def small():
    """A classifier of 1/24 of the width, with what it says of two images and a gradient, by one program."""
    images = jnp.asarray(RNG.uniform(size=(2, 9, 9, 3)), jnp.float32)
    model = models.make_classifier(models.AllConvEncoder(1 / 24), num_classes=3)
    params = drawn(model.init, images)

    def loss(params):
        encoding = model.encode(params, images)
        logits = model.decode(params, encoding.mean)
        return jnp.square(logits).sum(), (encoding, logits)

    gradient, answers = jax.jit(jax.grad(loss, has_aux=True))(params)
    return images, params, answers, gradient


@pytest.mark.parametrize(("side", "depth"), [(32, 3), (28, 1), (8, 1)])
def test_it_is_the_published_network_in_size(side, depth):
    model = models.make_classifier(models.AllConvEncoder(), num_classes=10)
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, side, side, depth)))
    inputs = [depth] + [channels for channels, _, _ in CONVOLUTIONS]
    wanted = sum(
        (kernel**2 * before + 1) * after for before, (after, kernel, _) in zip(inputs[:-1], CONVOLUTIONS, strict=True)
    )
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == wanted + 193 * 10


def test_it_equals_scipy_and_the_decoder_is_its_last_convolution():
    images, params, (encoding, logits), _ = small()
    hidden = 2.0 * np.float64(images) - 1.0
    for index, (_, _, stride) in enumerate(CONVOLUTIONS):
        hidden = np.maximum(strided_conv(hidden, params["encoder"][f"Conv_{index}"], stride), 0.0)
    assert hidden.shape == (2, 3, 3, 8)  # 9 -> 5 -> 3
    np.testing.assert_allclose(encoding.mean, hidden.mean((1, 2)), rtol=2e-4)
    np.testing.assert_array_equal(encoding.scale, 0.0)
    decoder = params["decoder"]["Dense_0"]
    last = {"kernel": np.asarray(decoder["kernel"])[None, None], "bias": decoder["bias"]}
    np.testing.assert_allclose(logits, strided_conv(hidden, last, 1).mean((1, 2)), rtol=2e-4, atol=1e-4)


def test_gradients_are_finite_and_reach_every_parameter():
    for leaf in jax.tree.leaves(small()[-1]):
        assert np.isfinite(leaf).all()
        assert np.abs(leaf).max() > 0


def test_the_code_is_the_features_or_a_layer_on_them():
    shape = lambda **kwargs: jax.eval_shape(
        models.AllConvEncoder(0.25, **kwargs).init_with_output, jax.random.key(0), jnp.zeros((2, 28, 28, 1))
    )[0]
    assert shape().mean.shape == (2, models.AllConvEncoder(0.25).code_dim) == (2, 48)
    assert shape(latent_dim=7, scale="learned").scale.shape == (2, 7)
    with pytest.raises(ValueError, match="latent_dim must be positive for a learned scale"):
        shape(scale="learned")
    with pytest.raises(ValueError, match=r"width must leave at least one of 96 channels, got 0\.001"):
        jax.eval_shape(models.AllConvEncoder(0.001).init, jax.random.key(0), jnp.zeros((1, 8, 8, 1)))


def test_bfloat16_computes_in_it_and_answers_in_float32():
    encoder, images = models.AllConvEncoder(0.25, compute_dtype=jnp.bfloat16), jnp.zeros((2, 8, 8, 1))
    variables = jax.eval_shape(encoder.init, jax.random.key(0), images)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    assert jax.eval_shape(encoder.apply, variables, images).mean.dtype == jnp.float32
    text = str(jax.make_jaxpr(encoder.apply)(variables, images))
    products = [line for line in text.splitlines() if "conv_general_dilated[" in line]
    assert len(products) == 8
    assert all(":bf16[" in line for line in products)
