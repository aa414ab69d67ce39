"""Frost: an image behind a frozen pane."""

import jax
import jax.numpy as jnp

from ib_jax.corruptions import draws
from ib_jax.corruptions.constants import strength
from ib_jax.corruptions.fog import plasma_over
from ib_jax.corruptions.motion import blur_along
from ib_jax.corruptions.pixels import check_batch, cut_levels, split_keys
from ib_jax.keys import counter_key
from ib_jax.types import Array

PANES = (
    ((78, 149, 166), 20),
    ((201, 205, 214), 22),
    ((201, 205, 214), 22),
    ((138, 153, 165), 29),
    ((112, 123, 135), 43),
)
"""Mean level of each channel, and standard deviation, of the five photographs of the benchmark (measured)."""

NUM_DIRECTIONS = 3
"""Of the needles that a texture is made of."""


def frost(
    keys: Array, images: Array, *, severity: int, constants: str = "cifar10", textures: Array | None = None
) -> Array:
    r"""A frozen pane: :math:`a x + b F`, with F a piece of a picture of frost.

    The benchmark crops F from five photographs, which the library does not distribute. By default F is synthesised:
    needles in random directions over a slow fractal, with the mean colours and contrasts of those photographs. Results
    for frost are then similar to the benchmark's, not equal. Pass the photographs as `textures` if you have them.

    Args:
      keys: one PRNG key for each image, [B].
      images: uint8 [B, H, W, 3].
      severity: 1 to 5; the constants are a and b.
      constants: "cifar10" or "imagenet".
      textures: uint8 [N, h, w, 3] with h >= H and w >= W, RGB: each image gets a random piece of a random one. The
        benchmark shrinks its photographs to a fifth for CIFAR and leaves them as they are for ImageNet.

    Returns:
      uint8 [B, H, W, 3].

    Raises:
      ValueError: an argument is not as above.

    Source: Hendrycks and Dietterich 2019.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import corruptions
      >>> grey, white = jnp.full((1, 8, 8, 3), 100, jnp.uint8), jnp.full((1, 20, 20, 3), 200, jnp.uint8)
      >>> keys = jax.random.split(jax.random.key(0), 1)
      >>> run = jax.jit(corruptions.frost, static_argnames="severity")
      >>> int(run(keys, grey, severity=5, textures=white)[0, 0, 0, 0])  # 0.75 * 100 + 0.45 * 200
      165
    """
    check_batch(keys, images)
    height, width = images.shape[1:3]
    shares = strength("frost", severity, constants)
    if textures is None:
        return add_frost(images, made_up_frost(keys, height, width), *shares)
    if textures.ndim != 4 or textures.shape[-1] != 3 or not len(textures) or textures.dtype != jnp.uint8:
        raise ValueError(f"textures must be uint8 [N, h, w, 3], got {textures.dtype} {textures.shape}")
    if textures.shape[1] < height or textures.shape[2] < width:
        raise ValueError(
            f"textures must be at least as large as the images, {height} x {width}, got {textures.shape[1:3]}"
        )
    return add_frost(images, _cut_out(keys, textures, height, width), *shares)


def add_frost(images: Array, pieces: Array, image_share: float, frost_share: float) -> Array:
    """Images behind pieces of frost, both in levels, [B, H, W, 3]."""
    return cut_levels(image_share * images.astype(jnp.float32) + frost_share * pieces.astype(jnp.float32))


def _cut_out(keys: Array, textures: Array, height: int, width: int) -> Array:
    """A random piece of a random texture for each key: uint8 [B, H, W, 3]."""
    ends = jnp.array([len(textures), textures.shape[1] - height + 1, textures.shape[2] - width + 1], jnp.int32)

    def cut(key: Array) -> Array:
        which, top, left = jax.random.randint(key, (3,), 0, ends, jnp.int32)
        return jax.lax.dynamic_slice(textures, (which, top, left, jnp.int32(0)), (1, height, width, 3))[0]

    return jax.vmap(cut)(counter_key(keys))


def made_up_frost(keys: Array, height: int, width: int) -> Array:
    """Pictures of frost: float [B, H, W, 3], levels that may lie a little outside [0, 255].

    Source: our own; colours and contrasts are those of `PANES`.
    """
    pane_keys, needle_keys, angle_keys, slow_keys = split_keys(keys, 4)
    slow = plasma_over(slow_keys, (height, width), 1.3)[:, :height, :width]
    needles = draws.normal16(needle_keys, (NUM_DIRECTIONS, height, width))
    angles = draws.uniform(angle_keys, (NUM_DIRECTIONS,), 0.0, 360.0)
    reach = max(1, max(height, width) // 16)
    strokes = blur_along(needles.reshape(-1, height, width, 1), angles.reshape(-1), reach, 1.0 * reach)
    crystals = strokes.reshape(needles.shape).max(1)  # the brightest needle is the one in front
    relief = _standardise(0.8 * _standardise(slow) + _standardise(crystals))
    colours = jnp.array([colour for colour, _ in PANES], jnp.float32)
    contrasts = jnp.array([contrast for _, contrast in PANES], jnp.float32)
    panes = draws.integers(pane_keys, (), 0, len(PANES))
    return colours[panes][:, None, None] + (contrasts[panes][:, None, None] * relief)[..., None]


def _standardise(fields: Array) -> Array:
    """Fields with mean 0 and standard deviation 1; one without contrast, as of a single pixel, becomes 0."""
    centred = fields - fields.mean((1, 2), keepdims=True)
    spread = centred.std((1, 2), keepdims=True)
    return centred / jnp.where(spread > 0, spread, 1.0)
