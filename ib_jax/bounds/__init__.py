"""Variational bounds and the objectives they are compared with: pure functions of apply-fns and a batch.

Each takes ``(key, inputs, labels, *, encode_fn, decode_fn, ...)`` and returns `BoundTerms`, per example and in nats.
Only `consistent_ceb` takes no `decode_fn`. The apply-fns may close over the parameters of any framework. Every bound is
called as in these examples.

Example, a plain function of parameters:
  >>> import jax, jax.numpy as jnp
  >>> from ib_jax import DiagGaussian, bounds, losses
  >>> key, x, y = jax.random.key(0), jnp.ones((8, 4)), jnp.zeros(8, int)
  >>> @jax.jit
  ... @jax.grad
  ... def plain_grad(params):
  ...     encode_fn = lambda x: DiagGaussian(x @ params["enc"], jnp.ones((8, 2)))
  ...     return bounds.vib(key, x, y, encode_fn=encode_fn, decode_fn=lambda z: z @ params["dec"],
  ...                       prior=losses.standard_normal(2), beta=1e-3).loss.mean()
  >>> plain_grad({"enc": jnp.ones((4, 2)), "dec": jnp.ones((2, 3))})["enc"].shape
  (4, 2)

Example, Equinox modules:
  >>> import equinox as eqx
  >>> @eqx.filter_jit
  ... @eqx.filter_grad
  ... def equinox_grad(enc, dec):
  ...     encode_fn = lambda x: DiagGaussian(jax.vmap(enc)(x), jnp.ones((8, 2)))
  ...     return bounds.ceb(key, x, y, encode_fn=encode_fn, decode_fn=jnp.vectorize(dec, signature="(d)->(c)"), rho=2.0,
  ...                       backward=DiagGaussian(jnp.eye(3, 2), jnp.ones((3, 2)))).loss.mean()
  >>> equinox_grad(eqx.nn.Linear(4, 2, key=key), eqx.nn.Linear(2, 3, key=key)).weight.shape
  (2, 4)

Example, Flax NNX modules:
  >>> from flax import nnx
  >>> @nnx.jit
  ... @nnx.grad
  ... def nnx_grad(enc, dec):
  ...     encode_fn = lambda x: DiagGaussian(enc(x), jnp.ones((8, 2)))
  ...     return bounds.vub(key, x, y, encode_fn=encode_fn, decode_fn=dec, prior=losses.standard_normal(2), beta=1e-3,
  ...                       label_entropy=losses.entropy(jnp.zeros(3))).loss.mean()
  >>> nnx_grad(nnx.Linear(4, 2, rngs=nnx.Rngs(0)), nnx.Linear(2, 3, rngs=nnx.Rngs(1)))["kernel"].shape
  (4, 2)
"""

from ib_jax.bounds.ceb import ceb
from ib_jax.bounds.confidence_penalty import confidence_penalty
from ib_jax.bounds.consistent_ceb import consistent_ceb
from ib_jax.bounds.cross_entropy import cross_entropy
from ib_jax.bounds.label_smoothing import label_smoothing
from ib_jax.bounds.vib import vib
from ib_jax.bounds.vub import vub

__all__ = ["ceb", "confidence_penalty", "consistent_ceb", "cross_entropy", "label_smoothing", "vib", "vub"]
