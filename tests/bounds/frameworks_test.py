"""The bounds know no framework: the same jitted call with Equinox, Flax NNX and plain functions."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from ib_jax import DiagGaussian, bounds, losses

INPUTS = jax.random.uniform(jax.random.key(0), (5, 4))
LABELS = jnp.array([0, 1, 2, 1, 0])
PRIOR = losses.standard_normal(2)


def gaussian(outputs):
    mean, rho = jnp.split(outputs, 2, -1)
    return DiagGaussian(mean, jax.nn.softplus(rho))


def plain_terms(kernel, bias, out_kernel, out_bias):
    return bounds.vib(
        jax.random.key(1), INPUTS, LABELS, prior=PRIOR, beta=0.1,
        encode_fn=lambda x: gaussian(x @ kernel + bias), decode_fn=lambda z: z @ out_kernel + out_bias,
    )  # fmt: skip


def check(terms, gradient, plain):
    for got, expected in zip(jax.tree.leaves(terms), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5)
    leaves = jax.tree.leaves(gradient)
    assert len(leaves) == 4
    assert all(np.isfinite(leaf).all() and np.any(leaf != 0) for leaf in leaves)


def test_vib_with_equinox():
    encoder, decoder = (eqx.nn.Linear(*sizes, key=jax.random.key(i)) for i, sizes in enumerate([(4, 4), (2, 3)]))

    @eqx.filter_jit
    def loss(models):
        encoder, decoder = models
        terms = bounds.vib(
            jax.random.key(1), INPUTS, LABELS, prior=PRIOR, beta=0.1,
            encode_fn=lambda x: gaussian(jax.vmap(encoder)(x)), decode_fn=jnp.vectorize(decoder, signature="(d)->(c)"),
        )  # fmt: skip
        return terms.loss.mean(), terms

    (_, terms), gradient = eqx.filter_value_and_grad(loss, has_aux=True)((encoder, decoder))
    plain = plain_terms(encoder.weight.T, encoder.bias, decoder.weight.T, decoder.bias)
    check(terms, eqx.filter(gradient, eqx.is_array), plain)


def test_vib_with_flax_nnx():
    encoder, decoder = nnx.Linear(4, 4, rngs=nnx.Rngs(0)), nnx.Linear(2, 3, rngs=nnx.Rngs(1))

    @nnx.jit
    def loss(encoder, decoder):
        terms = bounds.vib(
            jax.random.key(1), INPUTS, LABELS, prior=PRIOR, beta=0.1,
            encode_fn=lambda x: gaussian(encoder(x)), decode_fn=decoder,
        )  # fmt: skip
        return terms.loss.mean(), terms

    (_, terms), gradient = nnx.value_and_grad(loss, argnums=(0, 1), has_aux=True)(encoder, decoder)
    plain = plain_terms(encoder.kernel[...], encoder.bias[...], decoder.kernel[...], decoder.bias[...])
    check(terms, gradient, plain)
