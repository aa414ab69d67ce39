"""Reparameterised samples, with a key for each example so that no example's noise depends on its neighbours."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from ib_jax.keys import counter_key, example_keys, from_words
from ib_jax.losses.gaussian import gaussian_entropy, lower
from ib_jax.losses.precision import one_rank, wide_dtype, widened
from ib_jax.types import AnyGaussian, Array, Gaussian, LogitsFn


def per_example_keys(key: Array, batch_size: int) -> Array:
    """One PRNG key for each example of a batch.

    Args:
      key: one key (example i gets `fold_in(key, i)`), or already one for each example, which is returned as it is if
        it is one of threefry. Of JAX's other kinds ("rbg"), whose numbers change with the neighbours, the threefry keys
        that stand for them come back; keys of the older kind, uint32 [2] or [B, 2], are accepted.
      batch_size: B >= 0.

    Returns:
      Threefry keys [B].

    Raises:
      ValueError: `key` is no key, or an array of keys of another length.

    Example:
      >>> import jax
      >>> from ib_jax import losses
      >>> losses.per_example_keys(jax.random.key(0), 3).shape
      (3,)
    """
    key = counter_key(key)
    if key.ndim == 0:
        return example_keys(key, jnp.arange(batch_size, dtype=jnp.uint32))
    if key.shape != (batch_size,):
        raise ValueError(f"key must be one key or one for each of the {batch_size} examples, got shape {key.shape}")
    return key


def choose_keys(keys: Array, rows: np.ndarray) -> Array:
    """Some of the keys, chosen on the host, so that a new number of rows compiles no program.

    Args:
      keys: threefry keys [B], as of `per_example_keys`; not traced.
      rows: int [n], which.

    Returns:
      Keys [n].

    Example:
      >>> import jax, numpy as np
      >>> from ib_jax import losses
      >>> losses.choose_keys(jax.random.split(jax.random.key(0), 3), np.array([2, 0])).shape
      (2,)
    """
    return from_words(np.asarray(jax.random.key_data(keys))[rows])


def sample(key: Array, dist: AnyGaussian, num_samples: int = 1) -> Array:
    r"""Reparameterised samples :math:`z = \mu + L \epsilon`, :math:`\epsilon \sim N(0, I)`.

    Gradients flow to mean and scale. Sample s of example i is a function of its own key, mean and scale alone: it is
    the same in any batch, and the first of twelve samples is the one sample of `num_samples=1`.

    Args:
      key: one key, or one for each example ([B]).
      dist: DiagGaussian with fields [B, D], or Gaussian with fields [B, D] and [B, D, D].
      num_samples: S >= 1.

    Returns:
      float [S, B, D]; float32 for inputs of lower precision.

    Raises:
      ValueError: `num_samples` is less than 1, or `key` has another length than the batch.
      AssertionError: the fields of `dist` have other shapes.

    Source: Kingma and Welling, Auto-Encoding Variational Bayes, 2014.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import DiagGaussian, losses
      >>> losses.sample(jax.random.key(0), DiagGaussian(jnp.zeros((5, 2)), jnp.ones((5, 2))), 12).shape
      (12, 5, 2)
    """
    return draw(key, dist, num_samples)[0]


def sample_with_log_prob(key: Array, dist: AnyGaussian, num_samples: int = 1) -> tuple[Array, Array]:
    r"""Reparameterised samples as of `sample`, and their log-density under the Gaussian they come from.

    .. math:: \log p(z) = -\tfrac12 \|\epsilon\|_2^2 - \log \det L - \tfrac D2 \log 2\pi

    The density is computed from the noise: from z it would be lost to rounding where a scale is much smaller than a
    mean (:math:`z - \mu` has an error of :math:`10^{-7} |\mu|`).

    Args:
      key: one key, or one for each example ([B]).
      dist: DiagGaussian with fields [B, D], or Gaussian with fields [B, D] and [B, D, D].
      num_samples: S >= 1.

    Returns:
      (samples float [S, B, D], log-density float [S, B], in nats); float32 for inputs of lower precision.

    Raises:
      ValueError: `num_samples` is less than 1, or `key` has another length than the batch.
      AssertionError: the fields of `dist` have other shapes.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import DiagGaussian, losses
      >>> dist = DiagGaussian(jnp.ones((1, 2)), jnp.full((1, 2), 1e-6))
      >>> _, log_density = losses.sample_with_log_prob(jax.random.key(0), dist, 10_000)
      >>> print(f"{-log_density.mean():.1f} {losses.gaussian_entropy(dist)[0]:.1f}")  # both are H(Z)
      -24.8 -24.8
    """
    samples, noise = draw(key, dist, num_samples)
    return samples, density_of_noise(dist, noise)


def draw(key: Array, dist: AnyGaussian, num_samples: int) -> tuple[Array, Array]:
    """Samples as of `sample`, and the standard normal noise that they are made of, both [S, B, D]."""
    if num_samples < 1:
        raise ValueError(f"num_samples must be at least 1, got {num_samples}")
    check_encoding(dist)
    dtype = wide_dtype(*dist)
    batch_size, latent_dim = dist.mean.shape
    keys = per_example_keys(key, batch_size)
    noise = jax.vmap(lambda k: jax.random.normal(k, (num_samples, latent_dim), dtype), out_axes=1)(keys)
    return reparameterise(dist, noise), noise


def reparameterise(dist: AnyGaussian, noise: Array) -> Array:
    r"""Standard normal noise made into samples, :math:`z = \mu + L \epsilon`.

    Args:
      dist: DiagGaussian with fields [B, D], or Gaussian with fields [B, D] and [B, D, D].
      noise: float [S, B, D].

    Returns:
      float [S, B, D]; float32 for inputs of lower precision.

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax import Gaussian, losses
      >>> dist = Gaussian(jnp.zeros((1, 2)), jnp.array([[[1.0, 0.0], [0.5, 2.0]]]))
      >>> losses.reparameterise(dist, jnp.ones((1, 1, 2)))
      Array([[[1. , 2.5]]], dtype=float32)
    """
    mean, scale, noise = widened(*dist, noise)
    if isinstance(dist, Gaussian):
        spread = jnp.einsum("bij,sbj->sbi", lower(Gaussian(mean, scale)), noise)
    else:
        spread = jnp.multiply(*one_rank(scale, noise))
    return jnp.add(*one_rank(mean, spread))


def check_encoding(dist: AnyGaussian) -> None:
    """AssertionError unless the fields have the shapes [B, D], or [B, D] and [B, D, D]."""
    chex.assert_rank(dist.mean, 2)
    batch_size, latent_dim = dist.mean.shape
    full = isinstance(dist, Gaussian)
    chex.assert_shape(dist[1], (batch_size, latent_dim, latent_dim) if full else (batch_size, latent_dim))


def density_of_noise(dist: AnyGaussian, noise: Array) -> Array:
    """The log-density [S, B] of the samples that `draw` made of this noise, in nats."""
    return -gaussian_entropy(dist)[None] - 0.5 * (jnp.square(noise) - 1.0).sum(-1)


def sample_keys(keys: Array, num_samples: int) -> Array:
    """A key for each sample of each example, from the example's own.

    Args:
      keys: one key for each example, [B].
      num_samples: S >= 1.

    Returns:
      keys [S, B].

    Raises:
      ValueError: `num_samples` is less than 1.

    Example:
      >>> import jax
      >>> from ib_jax import losses
      >>> losses.sample_keys(losses.per_example_keys(jax.random.key(0), 3), 12).shape
      (12, 3)
    """
    if num_samples < 1:
        raise ValueError(f"num_samples must be at least 1, got {num_samples}")
    return jax.vmap(lambda key: jax.random.split(key, num_samples), out_axes=1)(counter_key(keys))


def at_least_one(keys: Array, inputs: Array) -> tuple[Any, Any]:
    """What a model is traced with: its arguments, or one example in place of an empty batch.

    Args:
      keys: one key for each example, [B].
      inputs: float [B, ...].

    Returns:
      (keys, inputs) as they are; for an empty batch, each a `jax.ShapeDtypeStruct` of one example.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import losses
      >>> keys = losses.per_example_keys(jax.random.key(0), 0)
      >>> flat = lambda keys, x: x.reshape(len(x), -1)
      >>> jax.eval_shape(flat, *losses.at_least_one(keys, jnp.zeros((0, 2, 3)))).shape
      (1, 6)
    """
    if inputs.shape[0]:
        return keys, inputs
    keys_of_one, inputs_of_one = (jax.ShapeDtypeStruct((1, *a.shape[1:]), a.dtype) for a in (keys, inputs))
    return keys_of_one, inputs_of_one


def sampled_logits(keys: Array, logits_fn: LogitsFn, inputs: Array, num_samples: int) -> Array:
    """Logits at samples of a stochastic classifier.

    Args:
      keys: one key for each example, [B].
      logits_fn: (keys [B], inputs [B, ...]) -> logits [B, C].
      inputs: float [B, ...].
      num_samples: S >= 1.

    Returns:
      float [S, B, C]; of an empty batch the model is not asked.

    Raises:
      ValueError: `num_samples` is less than 1.

    Example:
      >>> import jax
      >>> from ib_jax import losses
      >>> keys = losses.per_example_keys(jax.random.key(0), 2)
      >>> losses.sampled_logits(keys, lambda keys, x: x, jax.numpy.zeros((2, 3)), 12).shape
      (12, 2, 3)
    """
    sampled = sample_keys(keys, num_samples)
    if not inputs.shape[0]:
        one = jax.eval_shape(logits_fn, *at_least_one(keys, inputs))
        return jnp.zeros((num_samples, 0, *one.shape[1:]), one.dtype)
    if num_samples == 1:  # without a vmap, which convolutions would pay for
        return logits_fn(sampled[0], inputs)[None]
    return jax.vmap(logits_fn, (0, None))(sampled, inputs)
