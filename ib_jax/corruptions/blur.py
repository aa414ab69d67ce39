"""Blurs that are the same for every image: Gaussian, out of focus, zooming."""

import functools

import jax.numpy as jnp
import numpy as np
import scipy.ndimage

from ib_jax.corruptions import separable
from ib_jax.corruptions.constants import strength
from ib_jax.corruptions.pixels import check_batch, to_levels, to_unit
from ib_jax.types import Array

SUMS_FROM = 64
"""Pixels of the shorter side: on smaller images the filter is a matrix product, which costs less there."""


def gaussian_blur(keys: Array, images: Array, *, severity: int, constants: str = "cifar10") -> Array:
    """A Gaussian filter, cut off at four standard deviations, with the border pixels repeated.

    Args:
      keys: one PRNG key for each image, [B]; not used.
      images: uint8 [B, H, W, 3].
      severity: 1 to 5; its constant is the standard deviation in pixels.
      constants: "cifar10" or "imagenet".

    Returns:
      uint8 [B, H, W, 3].

    Raises:
      ValueError: an argument is not as above.

    Source: Hendrycks and Dietterich 2019.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import corruptions
      >>> dot = jnp.zeros((1, 9, 9, 3), jnp.uint8).at[:, 4, 4].set(255)
      >>> keys = jax.random.split(jax.random.key(0), 1)
      >>> run = jax.jit(corruptions.gaussian_blur, static_argnames="severity")
      >>> int(run(keys, dot, severity=5)[0, 4, 4, 0])
      40
    """
    check_batch(keys, images)
    sigma = strength("gaussian_blur", severity, constants)
    return to_levels(separable.apply(separable.gaussian(_plane(images), sigma), to_unit(images)))


def defocus_blur(keys: Array, images: Array, *, severity: int, constants: str = "cifar10") -> Array:
    """A lens out of focus: the mean over a disk whose rim is smoothed.

    Args:
      keys: one PRNG key for each image, [B]; not used.
      images: uint8 [B, H, W, 3], mirrored at the border.
      severity: 1 to 5; the constants are the disk's radius and the standard deviation of its smoothing, in pixels.
      constants: "cifar10" or "imagenet".

    Returns:
      uint8 [B, H, W, 3].

    Raises:
      ValueError: an argument is not as above.

    Source: Hendrycks and Dietterich 2019.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import corruptions
      >>> dot = jnp.zeros((1, 9, 9, 3), jnp.uint8).at[:, 4, 4].set(255)
      >>> keys = jax.random.split(jax.random.key(0), 1)
      >>> run = jax.jit(corruptions.defocus_blur, static_argnames="severity")
      >>> blurred = run(keys, dot, severity=5)
      >>> int((blurred[0, :, :, 0] == 28).sum())  # 255 / 9: radius 1.5 is a square of three pixels
      9
    """
    check_batch(keys, images)
    radius, smoothing = strength("defocus_blur", severity, constants)
    if min(_plane(images)) >= SUMS_FROM:
        return to_levels(sum_of_boxes(images, _used_disk(radius, smoothing)) / 255.0)
    return to_levels(separable.apply(_defocus(_plane(images), radius, smoothing), to_unit(images)))


@functools.lru_cache(maxsize=16)
def _defocus(shape: tuple[int, int], radius: float, smoothing: float) -> separable.Operators:
    return separable.convolution(shape, _used_disk(radius, smoothing))


def _used_disk(radius: float, smoothing: float) -> np.ndarray:
    """The disk without its outer zeros: even a small one is drawn on 17 x 17 pixels."""
    kernel = disk(radius, smoothing)
    used = np.abs(np.arange(len(kernel)) - len(kernel) // 2) <= int(radius) + len(_smoothing_taps(radius, 1.0)) // 2
    return kernel[np.ix_(used, used)]


def sum_of_boxes(images: Array, kernel: np.ndarray) -> Array:
    r"""A filter by a kernel of few levels, :math:`\sum_y \sum_d (k_{y,d} - k_{y,d+1})\, S_d`, mirrored at the border.

    :math:`S_d` is the sum of the :math:`2 d + 1` pixels centred on one in a row, a whole number. Within the disk a row
    of the kernel is constant, so most differences are zero and skipped.

    Args:
      images: uint8 [B, H, W, C], both sides longer than half the kernel.
      kernel: float [2 R + 1, 2 R + 1], R at most 127, symmetric horizontally and vertically.

    Returns:
      float [B, H, W, C], in levels.
    """
    height, width, channels = images.shape[1:]
    reach = len(kernel) // 2
    padded = jnp.pad(images, ((0, 0), (reach, reach), (reach, reach), (0, 0)), mode="reflect")
    # Merge width and channels into one axis, because the CPU is slow at loops of length three.
    rows = padded.reshape(len(images), height + 2 * reach, -1).astype(jnp.uint16)
    moved = [rows[..., channels * i : channels * (i + width)] for i in range(2 * reach + 1)]
    boxes = [moved[reach]]
    for d in range(1, reach + 1):
        boxes.append(boxes[-1] + moved[reach - d] + moved[reach + d])
    total = jnp.zeros((len(images), height, channels * width), jnp.float32)
    for y in range(reach + 1):
        steps = -np.diff(kernel[reach + y, reach:], append=0.0)
        terms = [
            np.float32(step) * box.astype(jnp.float32)
            for step, box in zip(steps, boxes, strict=True)
            if abs(step) > 1e-7 * kernel.max()
        ]
        if terms:
            row = sum(terms[1:], terms[0])
            for shift in {y, -y}:
                total += row[:, reach + shift : reach + shift + height]
    return total.reshape(images.shape)


def disk(radius: float, smoothing: float) -> np.ndarray:
    """The kernel of a lens out of focus, float64 [K, K]: a disk that sums to one, its rim smoothed by a Gaussian.

    K is 17 up to radius 8 and 2 radius + 1 above; the Gaussian has three taps or five.
    """
    reach = 8 if radius <= 8 else int(radius)
    squares = np.arange(-reach, reach + 1) ** 2
    sharp = (squares[:, None] + squares <= radius**2).astype(np.float64)
    taps = _smoothing_taps(radius, smoothing)
    smooth = scipy.ndimage.correlate1d(sharp / sharp.sum(), taps, axis=0, mode="mirror")
    return scipy.ndimage.correlate1d(smooth, taps, axis=1, mode="mirror")


def _smoothing_taps(radius: float, smoothing: float) -> np.ndarray:
    reach = 1 if radius <= 8 else 2
    taps = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2.0 * smoothing**2))
    return taps / taps.sum()


def zoom_blur(keys: Array, images: Array, *, severity: int, constants: str = "cifar10") -> Array:
    r"""A camera that moves towards its object: :math:`(x + \sum_f \mathrm{zoom}_f(x)) / (n + 1)` over n zoom factors.

    Args:
      keys: one PRNG key for each image, [B]; not used.
      images: uint8 [B, H, W, 3].
      severity: 1 to 5; the constants are the end and the step of the factors, which begin at 1.
      constants: "cifar10" or "imagenet".

    Returns:
      uint8 [B, H, W, 3].

    Raises:
      ValueError: an argument is not as above.

    Source: Hendrycks and Dietterich 2019.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import corruptions
      >>> grey = jnp.full((1, 16, 16, 3), 128, jnp.uint8)
      >>> keys = jax.random.split(jax.random.key(0), 1)
      >>> run = jax.jit(corruptions.zoom_blur, static_argnames="severity")
      >>> int(run(keys, grey, severity=5)[0, 8, 8, 0])
      128
    """
    check_batch(keys, images)
    end, step = strength("zoom_blur", severity, constants)
    factors = tuple(np.arange(1, end, step).tolist())
    values = to_unit(images)
    zoomed = separable.apply(separable.zoom(_plane(images), factors), values)
    return to_levels((values + zoomed) / (len(factors) + 1))


def _plane(images: Array) -> tuple[int, int]:
    return images.shape[1], images.shape[2]
