"""Linear filters as sums of matrix products: rows and columns apart, with the border inside the matrices.

A filter of the plane is a sum of R products of a filter along the rows and one along the columns: R = 1 for a Gaussian,
one for each factor of a zoom, a few for the disk of a defocused lens. SciPy computes the matrices once on the host, so
any border rule is as exact as SciPy's, and the device only multiplies matrices.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.ndimage

from ib_jax.types import Array


class Operators(NamedTuple):
    r"""A sum of R separable operators on images X of H x W, :math:`\sum_r A_r X B_r^\top` with rows A and columns B.

    Attributes:
      rows: float64 [R, H', H].
      columns: float64 [R, W', W].
    """

    rows: np.ndarray
    columns: np.ndarray


def apply(operators: Operators, images: Array) -> Array:
    """The operators' sum, channel by channel.

    Args:
      operators: R products.
      images: float [B, H, W, C].

    Returns:
      float [B, H', W', C].
    """
    precision = jax.lax.Precision.HIGHEST  # GPUs and TPUs would round to fewer bits than an image has
    planes = images.transpose(0, 3, 1, 2)  # matrix products want the channels out of the way
    num_products, height, width = len(operators.rows), *images.shape[1:3]
    if 2 * num_products * (height + width) >= height * width:  # for small images one large product is less work
        whole = jnp.asarray(np.einsum("roh,rpw->hwop", *operators).reshape(height * width, -1), jnp.float32)
        flat = jnp.matmul(planes.reshape(-1, height * width), whole, precision=precision)
        new_shape = operators.rows.shape[1], operators.columns.shape[1]
        return flat.reshape(*planes.shape[:2], *new_shape).transpose(0, 2, 3, 1)
    rows, columns = (jnp.asarray(matrices, jnp.float32) for matrices in operators)
    stacked = jnp.einsum("bchw,rpw->bchrp", planes, columns, precision=precision)
    return jnp.einsum("bchrp,roh->bcpo", stacked, rows, precision=precision).transpose(0, 3, 2, 1)


@functools.lru_cache(maxsize=64)
def gaussian(
    shape: tuple[int, int], sigma: float | tuple[float, float], mode: str = "nearest", truncate: float = 4.0
) -> Operators:
    """A Gaussian filter.

    Args:
      shape: (H, W).
      sigma: standard deviation in pixels, of both axes or of each; below 1e-15 the filter changes nothing.
      mode: what lies beyond the border, in SciPy's words: "nearest" repeats the last pixel, "reflect" mirrors it, too.
      truncate: the filter is cut off at so many standard deviations.

    Returns:
      Operators with R = 1.
    """
    sigmas = sigma if isinstance(sigma, tuple) else (sigma, sigma)

    def along(size: int, width: float) -> np.ndarray:
        identity = np.eye(size)
        if width <= 1e-15:
            return identity
        return scipy.ndimage.gaussian_filter1d(identity, width, axis=0, mode=mode, truncate=truncate)

    return Operators(*(along(size, width)[None] for size, width in zip(shape, sigmas, strict=True)))


@functools.lru_cache(maxsize=64)
def zoom(shape: tuple[int, int], factors: tuple[float, ...]) -> Operators:
    """The sum of zooms into the middle of an image, each by linear interpolation.

    A zoom by f takes the middle ceil(size / f) pixels of each side, stretches them by f and trims what is more than the
    size.

    Args:
      shape: (H, W).
      factors: R zoom factors, at least 1.

    Returns:
      Operators with H' = H and W' = W.
    """

    def along(size: int, factor: float) -> np.ndarray:
        cropped = int(np.ceil(size / factor))
        first = (size - cropped) // 2
        stretched = scipy.ndimage.zoom(np.eye(size)[first : first + cropped], (factor, 1), order=1)
        trim = (len(stretched) - size) // 2
        return stretched[trim : trim + size]

    return Operators(*(np.stack([along(size, factor) for factor in factors]) for size in shape))


def convolution(shape: tuple[int, int], kernel: np.ndarray) -> Operators:
    """A filter by any small kernel, mirrored at the border without repeating the last pixel.

    Args:
      shape: (H, W).
      kernel: float [K, L], both odd; correlated, not flipped.

    Returns:
      Operators with as many products as the kernel has singular values above 1e-7 of the largest.
    """
    left, values, right = np.linalg.svd(np.asarray(kernel, np.float64))
    kept = values > 1e-7 * values[0]
    down, across = (left[:, : len(values)] * values).T[kept], right[: len(values)][kept]

    def along(size: int, taps: np.ndarray) -> np.ndarray:
        radius = len(taps) // 2
        padded = np.pad(np.eye(size), ((radius, radius), (0, 0)), mode="reflect")
        return np.stack([tap * padded[i : i + size] for i, tap in enumerate(taps)]).sum(0)

    return Operators(
        np.stack([along(shape[0], taps) for taps in down]), np.stack([along(shape[1], taps) for taps in across])
    )
