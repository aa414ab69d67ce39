"""Noise, independent for each pixel and channel."""

import functools

import jax.numpy as jnp
import numpy as np
import scipy.stats

from ib_jax.corruptions import draws
from ib_jax.corruptions.constants import strength
from ib_jax.corruptions.pixels import check_batch, to_levels, to_unit
from ib_jax.types import Array


def gaussian_noise(keys: Array, images: Array, *, severity: int, constants: str = "cifar10") -> Array:
    r"""Normal noise, as of a sensor in poor light: :math:`x + c \epsilon`, :math:`\epsilon \sim N(0, 1)`.

    Args:
      keys: one PRNG key for each image, [B].
      images: uint8 [B, H, W, 3].
      severity: 1 to 5; c is the standard deviation as a share of white.
      constants: "cifar10" or "imagenet".

    Returns:
      uint8 [B, H, W, 3].

    Raises:
      ValueError: an argument is not as above.

    Source: Hendrycks and Dietterich 2019.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import corruptions
      >>> images = jnp.full((2, 8, 8, 3), 128, jnp.uint8)
      >>> keys = jax.random.split(jax.random.key(0), 2)
      >>> run = jax.jit(corruptions.gaussian_noise, static_argnames="severity")
      >>> noisy = run(keys, images, severity=5)
      >>> print(f"{noisy.std() / 255:.2f}")
      0.10
    """
    check_batch(keys, images)
    scale = strength("gaussian_noise", severity, constants)
    return add_noise(images, scale * draws.normal16(keys, images.shape[1:]))


def add_noise(images: Array, noise: Array) -> Array:
    """Images with noise added; `noise` is float [B, H, W, 3], as shares of white."""
    return to_levels(to_unit(images) + noise)


def speckle_noise(keys: Array, images: Array, *, severity: int, constants: str = "cifar10") -> Array:
    r"""Normal noise in proportion to the brightness: :math:`x + c x \epsilon`, :math:`\epsilon \sim N(0, 1)`.

    Args:
      keys: one PRNG key for each image, [B].
      images: uint8 [B, H, W, 3].
      severity: 1 to 5; c is the standard deviation as a share of the level.
      constants: "cifar10" or "imagenet".

    Returns:
      uint8 [B, H, W, 3]; black stays black.

    Raises:
      ValueError: an argument is not as above.

    Source: Hendrycks and Dietterich 2019.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import corruptions
      >>> black = jnp.zeros((1, 8, 8, 3), jnp.uint8)
      >>> keys = jax.random.split(jax.random.key(0), 1)
      >>> run = jax.jit(corruptions.speckle_noise, static_argnames="severity")
      >>> int(run(keys, black, severity=5).max())
      0
    """
    check_batch(keys, images)
    scale = strength("speckle_noise", severity, constants)
    return add_noise(images, scale * draws.normal16(keys, images.shape[1:]) * to_unit(images))


def shot_noise(keys: Array, images: Array, *, severity: int, constants: str = "cifar10") -> Array:
    r"""The noise of counting photons: :math:`\mathrm{Poisson}(c x) / c`.

    Args:
      keys: one PRNG key for each image, [B].
      images: uint8 [B, H, W, 3].
      severity: 1 to 5; c is the mean number of photons of white.
      constants: "cifar10" or "imagenet".

    Returns:
      uint8 [B, H, W, 3]; black stays black.

    Raises:
      ValueError: an argument is not as above.

    Source: Hendrycks and Dietterich 2019.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import corruptions
      >>> images = jnp.full((2, 8, 8, 3), 128, jnp.uint8)
      >>> keys = jax.random.split(jax.random.key(0), 2)
      >>> run = jax.jit(corruptions.shot_noise, static_argnames="severity")
      >>> noisy = run(keys, images, severity=5)
      >>> print(f"{noisy.std() / 128:.2f}")  # 1 / sqrt(50 / 2), or nearly
      0.20
    """
    check_batch(keys, images)
    photons = strength("shot_noise", severity, constants)
    return count_to_levels(draws.discrete(keys, images, count_probabilities(photons)), photons)


@functools.lru_cache(maxsize=16)
def count_probabilities(photons: int) -> np.ndarray:
    """The probabilities of photon counts at each level: float64 [256, photons + 1]. The last column is for counts of
    `photons` or more, which give white."""
    rates = np.arange(256)[:, None] / 255.0 * photons
    below = scipy.stats.poisson.pmf(np.arange(photons), rates)
    return np.concatenate([below, scipy.stats.poisson.sf(photons - 1, rates)], 1)


def count_to_levels(counts: Array, photons: int) -> Array:
    """Counts of photons, int [B, H, W, 3], to levels uint8: white for `photons` and more."""
    levels = np.uint8(np.arange(photons + 1) / photons * 255)  # as the benchmark cuts it off, in float64
    return jnp.asarray(levels)[jnp.minimum(counts, photons)]


def impulse_noise(keys: Array, images: Array, *, severity: int, constants: str = "cifar10") -> Array:
    """Salt and pepper: a share c of all channel values turns black or white, with the same probability.

    Args:
      keys: one PRNG key for each image, [B].
      images: uint8 [B, H, W, 3].
      severity: 1 to 5; c is the probability of a change.
      constants: "cifar10" or "imagenet".

    Returns:
      uint8 [B, H, W, 3].

    Raises:
      ValueError: an argument is not as above.

    Source: Hendrycks and Dietterich 2019.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import corruptions
      >>> images = jnp.full((9, 16, 16, 3), 128, jnp.uint8)
      >>> keys = jax.random.split(jax.random.key(0), 9)
      >>> run = jax.jit(corruptions.impulse_noise, static_argnames="severity")
      >>> noisy = run(keys, images, severity=5)
      >>> print(f"{(noisy == 0).mean():.2f} {(noisy == 255).mean():.2f}")
      0.04 0.04
    """
    check_batch(keys, images)
    amount = round(strength("impulse_noise", severity, constants) * 2**15)
    words = draws.words16(keys, images.shape[1:])
    return salt_and_pepper(images, words < 2 * amount, words < amount)


def salt_and_pepper(images: Array, changed: Array, salted: Array) -> Array:
    """Images whose `changed` values are white where `salted` and black elsewhere; both bool [B, H, W, 3]."""
    extreme = jnp.where(salted, 255, 0).astype(jnp.uint8)
    return jnp.where(changed, extreme, images)
