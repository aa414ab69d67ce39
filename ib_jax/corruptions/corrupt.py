"""All corruptions under one call."""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax

from ib_jax.corruptions.blur import defocus_blur, gaussian_blur, zoom_blur
from ib_jax.corruptions.colour import brightness, contrast, saturate
from ib_jax.corruptions.constants import strength
from ib_jax.corruptions.elastic import elastic_transform
from ib_jax.corruptions.fog import fog
from ib_jax.corruptions.frost import frost
from ib_jax.corruptions.glass import glass_blur
from ib_jax.corruptions.jpeg import jpeg_compression
from ib_jax.corruptions.motion import motion_blur
from ib_jax.corruptions.noise import gaussian_noise, impulse_noise, shot_noise, speckle_noise
from ib_jax.corruptions.pixelate import pixelate
from ib_jax.corruptions.pixels import check_batch
from ib_jax.corruptions.snow import snow
from ib_jax.corruptions.spatter import spatter
from ib_jax.types import Array

PIXELS_AT_ONCE = 2**18
"""On a CPU; in floats with three channels, 3 MB."""

IN_ROWS = ("defocus_blur", "motion_blur")
"""Those that are one pass over many shifts of an image. On a CPU such a pass is two to five times as fast if its loop
ends with channels beside pixels in one axis and not with three channels; others lose by that."""

FUNCTIONS: dict[str, Any] = {
    function.__name__: function
    for function in (
        *(gaussian_noise, shot_noise, impulse_noise),
        *(defocus_blur, glass_blur, motion_blur, zoom_blur),
        *(snow, frost, fog, brightness),
        *(contrast, elastic_transform, pixelate, jpeg_compression),
        *(speckle_noise, gaussian_blur, spatter, saturate),
    )
}


def corrupt(
    keys: Array,
    images: Array,
    *,
    name: str,
    severity: int,
    constants: str = "cifar10",
    textures: Array | None = None,
) -> Array:
    """Applies one of the common corruptions to a batch of images, at one of five severities.

    Pure and jittable, with `name`, `severity` and `constants` static. The result for an image depends only on the image
    and its own key, not on its neighbours in the batch.

    Args:
      keys: one PRNG key for each image, [B], as of `jax.random.split` or `losses.per_example_keys`.
      images: uint8 [B, H, W, 3], RGB, H and W at least 1; B may be 0.
      name: of `CORRUPTIONS` or `EXTRA_CORRUPTIONS`.
      severity: 1 (weakest) to 5.
      constants: "cifar10", made for 32 x 32 pixels, or "imagenet", for 224 x 224.
      textures: uint8 [N, h, w, 3], photographs, only for "frost"; without them frost is synthesised.

    Returns:
      uint8 [B, H, W, 3].

    Raises:
      ValueError: an argument is not as above.

    Source: Hendrycks and Dietterich, Benchmarking Neural Network Robustness to Common Corruptions and Perturbations,
      2019.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import corruptions
      >>> keys, images = jax.random.split(jax.random.key(0), 2), jnp.full((2, 8, 8, 3), 100, jnp.uint8)
      >>> corruptions.corrupt(keys, images, name="brightness", severity=5)[0, 0, 0]
      Array([176, 176, 176], dtype=uint8)
    """
    strength(name, severity, constants)  # checks the name before anything else
    check_batch(keys, images)
    more = {}
    if textures is not None:
        if name != "frost":
            raise ValueError(f"textures are for frost alone, got some for {name}")
        more["textures"] = textures
    function = functools.partial(FUNCTIONS[name], severity=severity, constants=constants, **more)
    return _in_pieces(function, keys, images, in_rows=name in IN_ROWS)


def _in_pieces(function: Callable[[Array, Array], Array], keys: Array, images: Array, *, in_rows: bool) -> Array:
    """Processes a large batch in pieces on a CPU, one after another, so that each piece fits into the caches.

    Images are corrupted independently, so the result is the same.
    """
    num_images, most = len(images), max(1, PIXELS_AT_ONCE // math.prod(images.shape[1:3]))
    if jax.default_backend() != "cpu" or num_images <= most:
        return function(keys, images)
    piece = max(size for size in range(1, most + 1) if num_images % size == 0)
    stacked = keys.reshape(-1, piece), images.reshape(-1, piece, *images.shape[1:])
    shape = (piece, images.shape[1], -1) if in_rows else (piece, *images.shape[1:])
    return jax.lax.map(lambda piece: function(*piece).reshape(shape), stacked).reshape(images.shape)
