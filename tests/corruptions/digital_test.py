import colorsys
import functools
import io

import jax
import jax.numpy as jnp
import numpy as np
import PIL.Image
import pytest
import scipy.ndimage

from ib_jax import corruptions
from ib_jax.corruptions import elastic, jpeg
from ib_jax.corruptions.constants import strength
from tests.corruptions.pictures import assert_levels_of, extremes, photographs

IMAGES = np.concatenate([photographs(32, 3), extremes(32)])
compiled = functools.partial(jax.jit, static_argnames=("severity", "constants"))
round_trip = jax.jit(jpeg.round_trip, static_argnums=1)
KEYS = jax.random.split(jax.random.key(0), len(IMAGES))
RNG = np.random.default_rng(0)


def through_pillow(images, quality):
    found = []
    for image in images:
        file = io.BytesIO()
        PIL.Image.fromarray(image).save(file, "JPEG", quality=quality)
        found.append(np.asarray(PIL.Image.open(file)))
    return np.stack(found)


@pytest.mark.parametrize("quality", [80, 7])
def test_jpeg_is_pillows_bit_for_bit(quality):
    np.testing.assert_array_equal(round_trip(jnp.asarray(IMAGES), quality), through_pillow(IMAGES, quality))


@pytest.mark.parametrize("height, width", [(33, 47), pytest.param(224, 224, marks=pytest.mark.slow)])
def test_jpeg_of_other_sizes(height, width):
    images = np.concatenate(
        [photographs(224, 1)[:, :height, :width], RNG.integers(0, 256, (1, height, width, 3), np.uint8)]
    )
    for quality in (50,) if height < 100 else (25, 18, 15, 10, 7):
        np.testing.assert_array_equal(round_trip(jnp.asarray(images), quality), through_pillow(images, quality))


@pytest.mark.parametrize(
    "constants, severity, height, width",
    [("cifar10", 1, 32, 28), ("cifar10", 4, 32, 28), ("imagenet", 2, 29, 29), ("imagenet", 5, 32, 28)],
)
def test_pixelate_is_pillows_bit_for_bit(constants, severity, height, width):
    """From 29 to 14 pixels a box ends in the middle of a pixel."""
    share, box = strength("pixelate", severity, constants), PIL.Image.Resampling.BOX
    images, small = IMAGES[:, :height, :width], (int(width * share), int(height * share))
    expected = [PIL.Image.fromarray(image).resize(small, box).resize((width, height), box) for image in images]
    found = compiled(corruptions.pixelate)(KEYS, jnp.asarray(images), severity=severity, constants=constants)
    np.testing.assert_array_equal(found, np.stack(expected))


def through_hsv(image, change):
    pixels = [colorsys.hsv_to_rgb(*change(*colorsys.rgb_to_hsv(*pixel))) for pixel in image.reshape(-1, 3) / 255]
    return np.reshape(pixels, image.shape)


@pytest.mark.parametrize("constants, severity", [("cifar10", 1), ("imagenet", 5)])
def test_brightness(constants, severity):
    more = strength("brightness", severity, constants)
    expected = np.stack([through_hsv(image, lambda h, s, v: (h, s, min(v + more, 1))) for image in IMAGES])
    assert_levels_of(compiled(corruptions.brightness)(KEYS, IMAGES, severity=severity, constants=constants), expected)


@pytest.mark.parametrize("constants, severity", [("cifar10", 1), ("imagenet", 4), ("imagenet", 5)])
def test_saturate(constants, severity):
    """Grey is red as far as the constant colours it, as hue zero is."""
    factor, more = strength("saturate", severity, constants)
    change = lambda h, s, v: (h, min(s * factor + more, 1), v)
    expected = np.stack([through_hsv(image, change) for image in IMAGES])
    assert_levels_of(compiled(corruptions.saturate)(KEYS, IMAGES, severity=severity, constants=constants), expected)


def test_contrast():
    values = IMAGES / 255
    mean = values.mean((1, 2), keepdims=True)
    assert_levels_of(compiled(corruptions.contrast)(KEYS, IMAGES, severity=3), (values - mean) * 0.4 + mean)


def test_displacement():
    values, moves = RNG.uniform(size=(2, 12, 15, 3)), RNG.uniform(-5, 5, (2, 12, 15, 2))
    found = jax.jit(elastic.displace)(jnp.asarray(values, jnp.float32), jnp.asarray(moves, jnp.float32))
    for image, move, ours in zip(values, moves, found, strict=True):
        places = np.mgrid[:12, :15] + move[..., ::-1].transpose(2, 0, 1)
        for channel in range(3):
            expected = scipy.ndimage.map_coordinates(image[..., channel], places, order=1, mode="reflect")
            np.testing.assert_allclose(ours[..., channel], expected, atol=1e-5)


def test_affine_map():
    """The three points end where they should, and SciPy agrees on the pixels."""
    height, width = 12, 16
    values, moves = RNG.uniform(size=(3, height, width, 1)), RNG.uniform(-2, 2, (3, 3, 2))
    moves[0] = 0
    maps = np.asarray(jax.jit(elastic.affine_maps, static_argnums=0)((height, width), jnp.asarray(moves, jnp.float32)))
    points = np.array([[10, 12], [10, 4], [2, 4]])  # (x, y) about (H / 2, W / 2), the axes mixed up as in the benchmark
    back = np.einsum("bij,bpj->bpi", maps, np.concatenate([points + moves, np.ones((3, 3, 1))], -1))
    np.testing.assert_allclose(back, np.broadcast_to(points, back.shape), atol=1e-4)
    found = jax.jit(elastic.apply_affine)(jnp.asarray(values, jnp.float32), maps)
    np.testing.assert_allclose(found[0], values[0], atol=1e-5)
    for image, matrix, ours in zip(values, maps, found, strict=True):
        turned = matrix[::-1, [1, 0, 2]]  # SciPy has rows first
        expected = scipy.ndimage.affine_transform(image[..., 0], turned[:, :2], turned[:, 2], order=1, mode="mirror")
        np.testing.assert_allclose(ours[..., 0], expected, atol=1e-4)


def test_elastic_moves_have_the_size_they_should():
    """Smoothed uniform noise: size / (sigma sqrt(12 pi)) for a wide filter, away from the borders."""
    size, sigma = 32 * 0.08, 32 * 0.06
    smooth = elastic.separable.gaussian((32, 32), sigma, "reflect", 3.0)
    noise = RNG.uniform(-1, 1, (200, 32, 32, 1))
    moves = size * np.asarray(elastic.separable.apply(smooth, jnp.asarray(noise, jnp.float32)))[:, 8:-8, 8:-8]
    assert moves.std() == pytest.approx(size / (sigma * np.sqrt(12 * np.pi)), rel=0.03)
