"""JPEG compression: the image after a round trip, without writing a file.

Entropy coding is lossless, so it is skipped. The rest follows the encoder and decoder of libjpeg, which Pillow uses,
bit for bit: fixed-point colour conversion, colour planes of half the size, the 8 x 8 cosine transform in whole numbers,
quantisation, and back, with the decoder's triangle filter for the colour planes.

Source: ITU-T Recommendation T.81, 1992, Annexes A and K (transform and tables); JFIF 1.02 (colours).
"""

import jax.numpy as jnp
import numpy as np

from ib_jax.corruptions.constants import strength
from ib_jax.corruptions.pixels import check_batch
from ib_jax.types import Array

LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
"""Quantisation of brightness at quality 50 (T.81, Table K.1)."""

CHROMINANCE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99, 99, 99, 99, 99, 99, 99, 99),) * 4,
)
"""Quantisation of colour at quality 50 (T.81, Table K.2)."""


def jpeg_compression(keys: Array, images: Array, *, severity: int, constants: str = "cifar10") -> Array:
    """JPEG compression as in Pillow: 4:2:0 subsampling, standard tables, no optimisation.

    Args:
      keys: one PRNG key for each image, [B]; not used.
      images: uint8 [B, H, W, 3].
      severity: 1 to 5; its constant is the quality, 1 to 100.
      constants: "cifar10" or "imagenet".

    Returns:
      uint8 [B, H, W, 3].

    Raises:
      ValueError: an argument is not as above.

    Source: Hendrycks and Dietterich 2019.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import corruptions
      >>> grey = jnp.full((1, 8, 8, 3), 128, jnp.uint8)
      >>> keys = jax.random.split(jax.random.key(0), 1)
      >>> run = jax.jit(corruptions.jpeg_compression, static_argnames="severity")
      >>> int(run(keys, grey, severity=5)[0, 4, 4, 0])
      128
    """
    check_batch(keys, images)
    return round_trip(images, strength("jpeg_compression", severity, constants))


def round_trip(images: Array, quality: int) -> Array:
    """Images after JPEG compression and back, uint8 [B, H, W, 3]; quality from 1 to 100."""
    height, width = images.shape[1:3]
    red, green, blue = (images[..., channel].astype(jnp.int32) for channel in range(3))
    half, centre = 1 << 15, (128 << 16) + (1 << 15) - 1
    luma = (19595 * red + 38470 * green + 7471 * blue + half) >> 16
    colours = (
        (32768 * blue - 11059 * red - 21709 * green + centre) >> 16,
        (32768 * red - 27439 * green - 5329 * blue + centre) >> 16,
    )
    luma = _code_plane(_extend(luma, 8), quality_table(LUMINANCE, quality))[:, :height, :width]
    blueness, redness = (
        _enlarge(_code_plane(_halve(plane), quality_table(CHROMINANCE, quality)), height, width) - 128
        for plane in colours
    )
    channels = (
        luma + ((91881 * redness + half) >> 16),
        luma + ((-22554 * blueness - 46802 * redness + half) >> 16),
        luma + ((116130 * blueness + half) >> 16),
    )
    return jnp.clip(jnp.stack(channels, -1), 0, 255).astype(jnp.uint8)


def quality_table(table: tuple[tuple[int, ...], ...], quality: int) -> np.ndarray:
    """The quantisation at a quality from 1 to 100: int [8, 8]."""
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.clip((np.array(table) * percent + 50) // 100, 1, 255)


def _extend(plane: Array, multiple: int, rows_too: bool = True) -> Array:
    """A plane [B, h, w] with its last column (and row) repeated up to a multiple."""
    down, right = (-size % multiple for size in plane.shape[1:])
    return jnp.pad(plane, ((0, 0), (0, down * rows_too), (0, right)), mode="edge")


def _halve(plane: Array) -> Array:
    """A colour plane [B, H, W] at half the size: means over squares, rounded up and down in turn, in whole blocks."""
    plane = _extend(_extend(plane, 16, rows_too=False), 2)
    total = plane[:, ::2, ::2] + plane[:, ::2, 1::2] + plane[:, 1::2, ::2] + plane[:, 1::2, 1::2]
    return _extend((total + 1 + jnp.arange(total.shape[2], dtype=jnp.int32)[None, None] % 2) >> 2, 8)


def _enlarge(plane: Array, height: int, width: int) -> Array:
    """A colour plane at twice the size, [B, H, W]: three quarters of the nearest pixel, one of the next, each way.

    Without the next pixel, as in libjpeg, if the plane has at most two columns.
    """
    plane = plane[:, : -(-height // 2), : -(-width // 2)]
    if plane.shape[2] <= 2:
        return plane.repeat(2, 1).repeat(2, 2)[:, :height, :width]
    padded = jnp.pad(plane, ((0, 0), (1, 1), (1, 1)), mode="edge")
    tall = [3 * padded[:, 1:-1] + other for other in (padded[:, :-2], padded[:, 2:])]
    wide = [
        jnp.stack([(3 * row[..., 1:-1] + row[..., :-2] + 8) >> 4, (3 * row[..., 1:-1] + row[..., 2:] + 7) >> 4], -1)
        for row in tall
    ]
    num_images, rows, columns = plane.shape
    return jnp.stack(wide, 2).reshape(num_images, 2 * rows, 2 * columns)[:, :height, :width]


def _code_plane(plane: Array, table: np.ndarray) -> Array:
    """A plane of levels, int [B, h, w] with whole blocks, after the cosine transform, quantisation and back."""
    num_images, height, width = plane.shape
    blocks = plane.reshape(num_images, height // 8, 8, width // 8, 8).transpose(2, 4, 0, 1, 3).reshape(8, 8, -1)
    matrix = cosine_matrix()
    rows = _transform(blocks - 128, matrix, axis=1, shift=11)  # leaves two bits more
    eighths = _transform(rows, matrix, axis=0, shift=15)  # eight times the coefficients
    steps = jnp.asarray(table[..., None], jnp.float32)
    # Rounded half away from zero. Half a unit more than needed makes up for rounded reciprocals.
    sizes = jnp.floor((jnp.abs(eighths).astype(jnp.float32) + 4.0 * steps + 0.5) / (8.0 * steps)).astype(jnp.int32)
    coefficients = jnp.where(eighths < 0, -sizes, sizes) * table[..., None].astype(np.int32)
    columns = _transform(coefficients, matrix.T, axis=0, shift=11)
    levels = jnp.clip(_transform(columns, matrix.T, axis=1, shift=18) + 128, 0, 255)
    split = levels.reshape(8, 8, num_images, height // 8, width // 8)
    return split.transpose(2, 3, 0, 4, 1).reshape(num_images, height, width)


def _transform(blocks: Array, matrix: np.ndarray, axis: int, shift: int) -> Array:
    """A matrix of whole numbers times int [8, 8, N] along an axis, divided by 2^shift and rounded half up."""
    subscripts = ("ki,ijn->kjn", "kj,ijn->ikn")[axis]
    return (jnp.einsum(subscripts, jnp.asarray(matrix, jnp.int32), blocks) + (1 << (shift - 1))) >> shift


def cosine_matrix() -> np.ndarray:
    """The cosine transform of eight values times 8192 sqrt(8), as libjpeg has it: int [8, 8], a row for each frequency.

    Its factors are sums of rounded ones, so some are one off the nearest whole number.
    """
    first_half = [
        [8192, 8192, 8192, 8192],
        [11363, 9633, 6437, 2260],
        [10703, 4433, -4433, -10703],
        [9633, -2259, -11362, -6436],
        [8192, -8192, -8192, 8192],
        [6437, -11362, 2261, 9633],
        [4433, -10704, 10704, -4433],
        [2260, -6436, 9633, -11363],
    ]
    # Even frequencies are symmetric, odd ones antisymmetric.
    return np.array([row + [(-1) ** i * value for value in row[::-1]] for i, row in enumerate(first_half)])
