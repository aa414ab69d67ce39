"""The CNN-MLP: sizes by hand, the forward pass against SciPy, and the widths of the paper."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ib_jax import models
from tests.models.scipy_conv import drawn, strided_conv

RNG = np.random.default_rng(0)


@functools.cache
def small():
    """A small one, with what it says of two images of an odd side in training, and a gradient, by one program."""
    images, keys = jnp.asarray(RNG.uniform(size=(2, 7, 7, 3)), jnp.float32), jax.random.split(jax.random.key(0))
    encoder = models.ConvMLPEncoder(3, hidden=(6, 5), scale_shift=-3.0, channels=(4, 5))
    model = models.make_classifier(encoder, num_classes=2)
    params = drawn(model.init, images)

    def loss(params):
        encoding, statistics = model.encode_train(params, images, keys)
        assert statistics == {}
        return jnp.square(model.decode(params, encoding.mean + encoding.scale)).sum(), encoding

    gradient, encoding = jax.jit(jax.grad(loss, has_aux=True))(params)
    return images, params["encoder"], encoding, gradient


def test_it_is_the_paper_in_size():
    model = models.make_classifier(models.ConvMLPEncoder(256), num_classes=10)
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    convolutions = (9 * 3 + 1) * 32 + (9 * 32 + 1) * 64
    dense = (8 * 8 * 64 + 1) * 512 + 2 * 513 * 512 + 513 * 256 + 2 * 257 * 256
    head_and_decoder = 257 * 512 + 257 * 10
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == convolutions + dense + head_and_decoder


def test_stacked_widths():
    assert models.stacked_widths(3) == (512, 512, 512, 256, 256, 256)
    assert models.ConvMLPEncoder(2).hidden == models.stacked_widths(3)
    with pytest.raises(ValueError, match="num_layers must be at least 1, got 0"):
        models.stacked_widths(0)


def test_it_equals_scipy():
    """An odd side and then an even one: zeros are on both sides or at the end alone."""
    images, params, found, _ = small()
    hidden = 2.0 * np.float64(images) - 1.0
    for name in ("Conv_0", "Conv_1"):
        hidden = np.maximum(strided_conv(hidden, params[name], 2), 0.0)
    hidden = hidden.reshape(2, -1)
    for name in ("Dense_0", "Dense_1"):
        hidden = np.maximum(hidden @ np.float64(params[name]["kernel"]) + np.float64(params[name]["bias"]), 0.0)
    outputs = hidden @ np.float64(params["Dense_2"]["kernel"]) + np.float64(params["Dense_2"]["bias"])
    assert np.ptp(outputs) > 0.1
    np.testing.assert_allclose(found.mean, outputs[:, :3], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.scale, np.log1p(np.exp(outputs[:, 3:] - 3.0)), rtol=1e-4)


def test_gradients_are_finite_and_reach_every_parameter():
    for leaf in jax.tree.leaves(small()[-1]):
        assert np.isfinite(leaf).all()
        assert np.abs(leaf).max() > 0


def test_bfloat16_computes_in_it_and_answers_in_float32():
    encoder, images = models.ConvMLPEncoder(3, hidden=(4,), compute_dtype=jnp.bfloat16), jnp.zeros((2, 8, 8, 1))
    variables = jax.eval_shape(encoder.init, jax.random.key(0), images)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    assert jax.eval_shape(encoder.apply, variables, images).mean.dtype == jnp.float32
    text = str(jax.make_jaxpr(encoder.apply)(variables, images))
    products = [line for line in text.splitlines() if "conv_general_dilated[" in line or "dot_general[" in line]
    assert len(products) == 4
    assert all(":bf16[" in line for line in products)


def test_an_empty_batch():
    encoder = models.ConvMLPEncoder(2, hidden=(4,))
    variables = jax.eval_shape(encoder.init, jax.random.key(0), jnp.zeros((1, 8, 8, 1)))
    assert jax.eval_shape(encoder.apply, variables, jnp.zeros((0, 8, 8, 1))).mean.shape == (0, 2)
