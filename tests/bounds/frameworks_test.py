"""The bounds know no framework: each, jitted, with Equinox and Flax NNX equals the same with plain functions."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from ib_jax import DiagGaussian, bounds, losses

KEY = jax.random.key(1)
INPUTS = jax.random.uniform(jax.random.key(0), (5, 4))
LABELS = jnp.array([0, 1, 2, 1, 0])
NORMAL = losses.standard_normal(2)
TABLE = DiagGaussian(jnp.array([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]]), jnp.ones((3, 2)))
BOUNDS = {
    "vib": functools.partial(bounds.vib, prior=NORMAL, beta=0.1),
    "vub": functools.partial(bounds.vub, prior=NORMAL, beta=0.1, label_entropy=1.0),
    "ceb": functools.partial(bounds.ceb, backward=TABLE, rho=1.0),
    "consistent_ceb": functools.partial(bounds.consistent_ceb, backward=TABLE, rho=1.0),
    "cross_entropy": bounds.cross_entropy,
    "label_smoothing": bounds.label_smoothing,
    "confidence_penalty": bounds.confidence_penalty,
}


def gaussian(outputs):
    mean, rho = jnp.split(outputs, 2, -1)
    return DiagGaussian(mean, jax.nn.softplus(rho))


def terms_of(name, encode_fn, decode_fn):
    decoder = {} if name == "consistent_ceb" else {"decode_fn": decode_fn}
    terms = BOUNDS[name](KEY, INPUTS, LABELS, encode_fn=encode_fn, **decoder)
    return terms.loss.mean(), terms


@functools.partial(jax.jit, static_argnums=0)
def plain(name, weights):
    kernel, bias, out_kernel, out_bias = weights

    def loss(weights):
        kernel, bias, out_kernel, out_bias = weights
        return terms_of(
            name, lambda x: gaussian(x @ kernel + bias[None]), lambda z: z @ out_kernel + out_bias[None, None]
        )

    return jax.value_and_grad(loss, has_aux=True)((kernel, bias, out_kernel, out_bias))


def check(name, got, weights):
    """`got` and the plain function: the terms, and the gradient of encoder and decoder."""
    (_, terms), gradient = got
    (_, expected), plain_gradient = plain(name, weights)
    for leaf, other in zip(
        jax.tree.leaves((terms, gradient)), jax.tree.leaves((expected, plain_gradient)), strict=True
    ):
        np.testing.assert_allclose(leaf, other, rtol=1e-4, atol=1e-6)
    assert all((leaf != 0).any() for leaf in gradient[:2])
    assert all((leaf != 0).any() == (name != "consistent_ceb") for leaf in gradient[2:])


def test_every_bound_is_listed():
    assert set(BOUNDS) == set(bounds.__all__)


@pytest.mark.parametrize("name", BOUNDS)
def test_equinox(name):
    encoder, decoder = (eqx.nn.Linear(*sizes, key=jax.random.key(i)) for i, sizes in enumerate([(4, 4), (2, 3)]))

    @eqx.filter_jit
    def loss(models):
        encoder, decoder = models
        decode_fn = jnp.vectorize(decoder, signature="(d)->(c)")
        return terms_of(name, lambda x: gaussian(jax.vmap(encoder)(x)), decode_fn)

    terms, gradient = eqx.filter_value_and_grad(loss, has_aux=True)((encoder, decoder))
    flat = [leaf for model in gradient for leaf in (model.weight.T, model.bias)]
    check(name, (terms, flat), (encoder.weight.T, encoder.bias, decoder.weight.T, decoder.bias))


@pytest.mark.parametrize("name", BOUNDS)
def test_flax_nnx(name):
    encoder, decoder = nnx.Linear(4, 4, rngs=nnx.Rngs(0)), nnx.Linear(2, 3, rngs=nnx.Rngs(1))

    @nnx.jit
    def loss(encoder, decoder):
        return terms_of(name, lambda x: gaussian(encoder(x)), decoder)

    terms, gradient = nnx.value_and_grad(loss, argnums=(0, 1), has_aux=True)(encoder, decoder)
    flat = [model[part][...] for model in gradient for part in ("kernel", "bias")]
    weights = encoder.kernel[...], encoder.bias[...], decoder.kernel[...], decoder.bias[...]
    check(name, (terms, flat), weights)
