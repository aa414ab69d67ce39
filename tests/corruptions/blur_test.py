import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from ib_jax import corruptions
from ib_jax.corruptions import blur, glass, motion, separable
from ib_jax.corruptions.constants import strength
from tests.corruptions.pictures import assert_levels_of, extremes, photographs

IMAGES = np.concatenate([photographs(24, 2), extremes(24)[2:4]])
KEYS = jax.random.split(jax.random.key(0), len(IMAGES))
compiled = functools.partial(jax.jit, static_argnames=("severity", "constants"))
blur_along = jax.jit(motion.blur_along, static_argnums=(2, 3))
RNG = np.random.default_rng(0)


@pytest.mark.parametrize("severity", [1, 5])
def test_gaussian_blur(severity):
    sigma = strength("gaussian_blur", severity, "imagenet")
    expected = [scipy.ndimage.gaussian_filter(image / 255, (sigma, sigma, 0), mode="nearest") for image in IMAGES]
    assert_levels_of(
        compiled(corruptions.gaussian_blur)(KEYS, IMAGES, severity=severity, constants="imagenet"), np.stack(expected)
    )


@pytest.mark.parametrize("constants, severity", [("cifar10", 1), ("cifar10", 5), ("imagenet", 4)])
def test_defocus_blur(constants, severity):
    """The disk by its definition, with the rim smoothed by hand."""
    radius, smoothing = strength("defocus_blur", severity, constants)
    reach, side = np.arange(-8, 9), np.exp(-1 / (2 * smoothing**2))
    sharp = np.array([[float(x**2 + y**2 <= radius**2) for x in reach] for y in reach])
    taps = np.array([side, 1, side]) / (1 + 2 * side)
    kernel = scipy.ndimage.correlate(sharp / sharp.sum(), np.outer(taps, taps), mode="mirror")
    expected = np.stack([scipy.ndimage.correlate(image / 255, kernel[..., None], mode="mirror") for image in IMAGES])
    assert_levels_of(compiled(corruptions.defocus_blur)(KEYS, IMAGES, severity=severity, constants=constants), expected)


@pytest.mark.parametrize("severity", [2, 5])
def test_defocus_blur_of_large_images(severity):
    """Sums of boxes in place of matrix products; the sides differ, and so do the images."""
    images = np.concatenate([photographs(70, 1), extremes(70)])[:, : blur.SUMS_FROM]
    kernel = blur.disk(*strength("defocus_blur", severity, "imagenet"))
    expected = np.stack([scipy.ndimage.correlate(image / 255, kernel[..., None], mode="mirror") for image in images])
    run = compiled(corruptions.defocus_blur)
    found = run(jax.random.split(jax.random.key(0), len(images)), images, severity=severity, constants="imagenet")
    assert_levels_of(found, expected)


def test_large_disk_has_its_area():
    kernel = blur.disk(10, 0.5)
    assert kernel.shape == (21, 21)
    assert kernel.sum() == pytest.approx(1.0108, abs=1e-4)  # mirrored at its own border, as in the benchmark
    assert 1 / kernel.max() == pytest.approx(np.pi * 100, rel=0.03)


@pytest.mark.parametrize("constants, severity", [("cifar10", 1), ("imagenet", 5)])
def test_zoom_blur(constants, severity):
    end, step = strength("zoom_blur", severity, constants)
    factors, values = np.arange(1, end, step), IMAGES / 255
    total = values.copy()
    for factor in factors:
        side = int(np.ceil(24 / factor))
        first = (24 - side) // 2
        middle = values[:, first : first + side, first : first + side]
        zoomed = np.stack([scipy.ndimage.zoom(image, (factor, factor, 1), order=1) for image in middle])
        trim = (zoomed.shape[1] - 24) // 2
        total += zoomed[:, trim : trim + 24, trim : trim + 24]
    assert_levels_of(
        compiled(corruptions.zoom_blur)(KEYS, IMAGES, severity=severity, constants=constants),
        total / (len(factors) + 1),
    )


def test_any_kernel_as_a_sum_of_products():
    kernel, image = RNG.normal(size=(5, 7)), RNG.normal(size=(1, 9, 12, 2))
    found = separable.apply(separable.convolution((9, 12), kernel), jnp.asarray(image, jnp.float32))
    expected = scipy.ndimage.correlate(image[0], kernel[..., None], mode="mirror")
    np.testing.assert_allclose(found[0], expected, atol=1e-4)


@pytest.mark.parametrize("angle", [0.0, 37.0, -100.0])
def test_motion_blur_pixel_by_pixel(angle):
    radius, sigma, (height, width) = 4, 2.0, (10, 12)
    image = RNG.uniform(0, 255, (height, width, 1))
    weights = [np.exp(-(i**2) / (2 * sigma**2)) for i in range(2 * radius + 1)]
    expected = np.zeros_like(image)
    for y in range(height):
        for x in range(width):
            for i, weight in enumerate(weights):
                down, right = (
                    np.ceil(i * move - 0.5) for move in (np.sin(np.deg2rad(angle)), np.cos(np.deg2rad(angle)))
                )
                place = int(np.clip(y + down, 0, height - 1)), int(np.clip(x + right, 0, width - 1))
                expected[y, x] += weight / sum(weights) * image[place]
    found = blur_along(jnp.asarray(image[None], jnp.float32), jnp.array([angle]), radius, sigma)
    np.testing.assert_allclose(found[0], expected, rtol=1e-5)


def test_motion_blur_leaves_out_what_leaves_the_image():
    found = blur_along(jnp.ones((1, 8, 30, 1)), jnp.array([90.0]), 6, 5.0)
    weights = np.exp(-(np.arange(13) ** 2) / 50)
    np.testing.assert_allclose(found, weights[:8].sum() / weights.sum(), rtol=1e-5)


@pytest.mark.parametrize("reach", [1, 2, 4])
def test_shuffled_pixels_are_those_of_the_sequential_loop(reach):
    """The benchmark's loop, with its swap of views, which is none."""
    images, moves = (
        RNG.integers(0, 256, (3, 14, 17, 3)),
        RNG.integers(-reach, reach, (3, 2, 14 - 2 * reach, 17 - 2 * reach, 2)),
    )
    expected = images.copy()
    for image, move in zip(expected, moves, strict=True):
        for one_round in move:
            for h in range(14 - reach, reach, -1):
                for w in range(17 - reach, reach, -1):
                    down, right = one_round[h - reach - 1, w - reach - 1]
                    image[h, w] = image[h + down, w + right]
    found = jax.jit(lambda images, moves: glass.shuffle_nearby(images, moves, reach))(
        jnp.asarray(images), jnp.asarray(moves)
    )
    np.testing.assert_array_equal(found, expected)
