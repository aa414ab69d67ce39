"""What holds for every corruption at small and odd sizes, and for a batch without images."""

import functools
import io

import jax
import jax.numpy as jnp
import numpy as np
import PIL.Image
import pytest

from ib_jax import corruptions
from ib_jax.corruptions import elastic, jpeg
from ib_jax.corruptions.constants import CONSTANTS
from ib_jax.corruptions.fog import plasma_over
from ib_jax.corruptions.motion import blur_along
from ib_jax.corruptions.pixelate import boxes, down_first

NAMES = (*corruptions.CORRUPTIONS, *corruptions.EXTRA_CORRUPTIONS)
LARGE_PROGRAMS = {"elastic_transform", "frost", "snow", "spatter"}
BY_COST = [pytest.param(name, marks=pytest.mark.standard) if name in LARGE_PROGRAMS else name for name in NAMES]
SIZES = [
    (1, 1),
    pytest.param(2, 3, marks=pytest.mark.standard),
    *(pytest.param(*size, marks=pytest.mark.slow) for size in ((1, 7), (5, 5), (15, 9))),
]
BRIGHT = 200
KEYS = jax.random.split(jax.random.key(0), 64)
RNG = np.random.default_rng(0)


def corrupted(name, height, width, severity=3, constants="cifar10", count=64):
    run = jax.jit(functools.partial(corruptions.corrupt, name=name, severity=severity, constants=constants))
    return run(KEYS[:count], jnp.full((count, height, width, 3), BRIGHT, jnp.uint8))


@pytest.mark.parametrize("height, width", SIZES)
@pytest.mark.parametrize("name", BY_COST)
def test_small_bright_images_stay_bright(name, height, width):
    """What is not a number comes out black, and so does a blur most of whose copies leave the image."""
    found = corrupted(name, height, width)
    assert found.shape == (len(KEYS), height, width, 3)
    assert found.dtype == jnp.uint8
    assert np.asarray(found).mean() > 120


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("error")
def test_every_severity_has_a_program_at_small_sizes(name):
    """Whose tables NumPy makes on the way, without a warning."""
    for constants, height, width in (("cifar10", 1, 1), ("imagenet", 1, 1), ("imagenet", 7, 2)):
        images = jax.ShapeDtypeStruct((2, height, width, 3), jnp.uint8)
        for severity in corruptions.SEVERITIES:
            run = functools.partial(corruptions.corrupt, name=name, severity=severity, constants=constants)
            assert jax.eval_shape(run, KEYS[:2], images) == images


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_batch_stays_empty(name):
    found = corrupted(name, 5, 4, count=0)
    assert (found.shape, found.dtype) == ((0, 5, 4, 3), jnp.uint8)
    run = functools.partial(getattr(corruptions, name), severity=5, constants="imagenet")
    assert jax.eval_shape(run, KEYS[:0], found) == jax.ShapeDtypeStruct((0, 5, 4, 3), jnp.uint8)


def test_an_empty_batch_behind_given_frost():
    textures, images = jnp.zeros((1, 9, 9, 3), jnp.uint8), jnp.zeros((0, 5, 4, 3), jnp.uint8)
    found = corruptions.corrupt(KEYS[:0], images, name="frost", severity=1, textures=textures)
    assert (found.shape, found.dtype) == ((0, 5, 4, 3), jnp.uint8)


def pixelated(image, share):
    """What `pixelate` does, by its tables in NumPy: uint8 [H, W]."""
    sides = image.shape
    new_sides = tuple(max(1, int(side * share)) for side in sides)
    for axis in (0, 1) if down_first(sides, new_sides) else (1, 0):
        inside, counts = boxes(sides[axis], new_sides[axis])
        image = np.moveaxis(np.moveaxis(image, axis, -1) @ inside.T.astype(int) / counts, -1, axis)
        image = np.floor(image + 0.5).astype(int)
    return image


def by_pillow(image, share):
    box, (height, width) = PIL.Image.Resampling.BOX, image.shape[:2]
    small = max(1, int(width * share)), max(1, int(height * share))
    return np.asarray(PIL.Image.fromarray(image).resize(small, box).resize((width, height), box))


SHARES = sorted({share for table in CONSTANTS.values() for share in table["pixelate"]})


def test_pixelate_takes_pillows_pixels_at_every_size():
    """A row and a column in one image: two sides at once, whose ends of boxes meet middles of pixels in many ways."""
    for size in [*range(1, 60), 224, 255, 299, 331, 384]:
        image = RNG.integers(0, 256, (size, 3), np.uint8)
        for share in SHARES:
            for turned in (image, image.T.copy()):
                np.testing.assert_array_equal(pixelated(turned, share), by_pillow(turned, share), f"{size} {share}")


@pytest.mark.parametrize("height, width, severity", [(1, 1, 5), (3, 40, 4), (25, 41, 3), (41, 9, 3)])
def test_pixelate_is_pillows_at_odd_sizes(height, width, severity):
    """The last is so tall that Pillow 13 goes down first."""
    image = RNG.integers(0, 256, (height, width, 3), np.uint8)
    run = jax.jit(functools.partial(corruptions.pixelate, severity=severity, constants="imagenet"))
    share = CONSTANTS["imagenet"]["pixelate"][severity - 1]
    np.testing.assert_array_equal(run(KEYS[:1], image[None])[0], by_pillow(image, share))


@pytest.mark.parametrize("height, width", [(1, 1), (7, 3), (2, 4), (3, 5), (9, 17)])
def test_jpeg_of_small_sizes_is_pillows(height, width):
    """libjpeg enlarges colour planes of one or two columns in another way than wider ones."""
    image, file = RNG.integers(0, 256, (height, width, 3), np.uint8), io.BytesIO()
    PIL.Image.fromarray(image).save(file, "JPEG", quality=50)
    found = jax.jit(jpeg.round_trip, static_argnums=1)(image[None], 50)[0]
    np.testing.assert_array_equal(found, np.asarray(PIL.Image.open(file)))


@pytest.mark.standard  # for its compiling
def test_frost_has_contrast_below_16_pixels():
    found = np.asarray(corrupted("frost", 12, 12, severity=1, count=8)).astype(float)
    assert (found.std((1, 2)).max(1) > 2).all()


def test_blur_of_small_images_keeps_their_light():
    found = jax.jit(blur_along, static_argnums=(2, 3))(jnp.ones((3, 1, 30, 1)), jnp.array([0.0, 50.0, 90.0]), 20, 15.0)
    np.testing.assert_allclose(found, 1.0, rtol=1e-5)


def test_one_point_of_plasma_is_not_always_the_least():
    points = np.asarray(plasma_over(KEYS, (1, 1), 1.5))[:, 0, 0]
    assert 0.2 < points.mean() < 0.8


def test_images_without_pixels_are_refused():
    with pytest.raises(ValueError, match=r"H and W at least 1, got \(2, 0, 5, 3\)"):
        corruptions.brightness(KEYS[:2], jnp.zeros((2, 0, 5, 3), jnp.uint8), severity=1)


def test_mirrors_of_a_single_pixel_are_that_pixel():
    with jax.debug_nans(True):  # a period of 0 pixels would divide zero by zero, which some devices take for pixel 0
        np.testing.assert_array_equal(elastic._mirror(jnp.array([-3.0, 0.0, 7.0]), 1, False), 0)
