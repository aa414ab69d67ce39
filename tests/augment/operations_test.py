"""Every operation against Pillow's, to the last bit, on real pictures and at the edges."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ib_jax import data
from ib_jax.augment import operations
from tests.augment.pictures import by_pillow, patches, wide

FACTORS = [0.0, 0.5, 1.0, 1.3, 2.0, 7.0, -0.4, *(0.1 + 0.18 * level for level in range(11)), *np.linspace(0.1, 1.9, 19)]
SHEARS = [sign * bins for sign in (1, -1) for bins in (*(0.03 * np.arange(11)), *np.linspace(0, 0.3, 10), 1.7)]
AMOUNTS = {
    "shear_x": SHEARS,
    "shear_y": SHEARS,
    "translate_x": [0, 1, -9, 14, 31, -40, 2.5],
    "translate_y": [0, 1, -9, 14, 31, -40, 2.5],
    "rotate": [*range(-30, 31, 3), *(30 / 9 * np.arange(10)), 12.3, 45, 90, 180, -270],
    "brightness": FACTORS,
    "color": FACTORS,
    "contrast": FACTORS,
    "sharpness": FACTORS,
    "posterize": range(1, 9),
    "solarize": [0, 1, 128, 256, *(256 - int(25.6 * level) for level in range(11)), *np.linspace(255, 0, 10)],
    "invert": [None],
    "auto_contrast": [None],
    "equalize": [None],
}
WITHOUT_PILLOW = {"solarize_add", "cut_out"}
FILL = (125, 122, 113)


def ours(operation, image, amount):
    arguments = [] if amount is None else [amount]
    function = getattr(operations, operation)
    fill = {"fill": FILL} if "fill" in inspect.signature(function).parameters else {}
    return np.asarray(function(jnp.asarray(image), *arguments, **fill))


def check(operation, images):
    for amount in AMOUNTS[operation]:
        for image in images:
            expected = by_pillow(operation, image, amount, FILL)
            np.testing.assert_array_equal(ours(operation, image, amount), expected, f"{operation} {amount}")


def test_every_operation_has_an_oracle():
    assert set(operations.__all__) == set(AMOUNTS) | WITHOUT_PILLOW


@pytest.mark.parametrize("operation", AMOUNTS)
def test_equal_to_pillow(operation):
    check(operation, [*patches(6, 32), wide()])


@pytest.mark.parametrize("operation", AMOUNTS)
def test_equal_to_pillow_on_a_few_levels(operation):
    """Pictures with one level, two levels, one odd pixel, and only the extremes."""
    flat = np.full((32, 32, 3), 77, np.uint8)
    odd = flat.copy()
    odd[3, 4] = (78, 0, 255)
    halves = np.where(np.arange(32)[:, None, None] < 16, 10, 250) * np.ones((32, 32, 3), int)
    check(operation, [flat, odd, halves.astype(np.uint8), 255 * (patches(1, 32)[0] > 100).astype(np.uint8)])


@pytest.mark.parametrize("operation", ["sharpness", "equalize", "auto_contrast", "contrast", "rotate"])
def test_equal_to_pillow_on_tiny_pictures(operation):
    for shape in ((1, 1), (3, 5)):
        image = patches(1, 32)[0][: shape[0], : shape[1]]
        for amount in AMOUNTS[operation][:3]:
            np.testing.assert_array_equal(ours(operation, image, amount), by_pillow(operation, image, amount, FILL))


def test_auto_contrast_for_many_pairs_of_extremes():
    """Pillow's float64 comes out one level low for some; a picture holds all levels between two extremes."""
    low, high = np.meshgrid(np.arange(256), np.arange(256), indexing="ij")
    pairs = np.stack([low[low < high], high[low < high]], 1)
    rng = np.random.default_rng(0)
    low, high = pairs[rng.permutation(len(pairs))[:6000]].reshape(-1, 1, 3, 2).transpose(3, 0, 1, 2)
    levels = low + np.floor(np.linspace(0, 1, 256)[:, None] * (high - low))
    images = levels.astype(np.uint8).reshape(-1, 16, 16, 3)
    found = np.asarray(jax.vmap(operations.auto_contrast)(images))
    expected = np.stack([by_pillow("auto_contrast", image, None) for image in images])
    np.testing.assert_array_equal(found, expected)
    assert 0.1 < (found.max((1, 2)) == 254).mean() < 0.2  # else nothing was tested


def test_traced_amounts_are_as_good_within_float32():
    images = patches(8, 32)
    for operation in ("shear_x", "rotate", "color"):
        function = jax.jit(jax.vmap(getattr(operations, operation), (0, None)))
        for amount in (0.27, 0.73):
            found = np.asarray(function(images, amount))
            expected = np.stack([by_pillow(operation, image, amount) for image in images])
            assert (found != expected).mean() < 1e-3


def test_operations_that_pillow_lacks():
    image = patches(1, 32)[0]
    expected = np.where(image < 128, np.minimum(image.astype(int) + 77, 255), image)
    np.testing.assert_array_equal(operations.solarize_add(image, 77), expected)
    for size, centre, rows, columns in ((8, (0.5, 0.25), (12, 20), (4, 12)), (10, (0.0, 0.99), (0, 5), (26, 32))):
        expected = image.copy()
        expected[slice(*rows), slice(*columns)] = FILL
        found = operations.cut_out(jnp.asarray(image), size, jnp.array(centre), fill=FILL)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("operation", operations.__all__)
def test_wrong_images_are_refused(operation):
    function = getattr(operations, operation)
    arguments = {"cut_out": (2, jnp.zeros(2)), "invert": (), "auto_contrast": (), "equalize": ()}.get(operation, (1,))
    with pytest.raises(
        ValueError, match=r"image must be one image \[H, W, 3\], got shape \(2, 4, 4, 3\); augment.batched"
    ):
        function(jnp.zeros((2, 4, 4, 3), jnp.uint8), *arguments)
    with pytest.raises(ValueError, match=r"image must be uint8 in .*, got float(32|64)"):
        function(jnp.zeros((4, 4, 3)), *arguments)
    with pytest.raises(ValueError, match=r"got shape \(4, 4, 1\)"):
        function(jnp.zeros((4, 4, 1), jnp.uint8), *arguments)


def test_wrong_fills_are_refused():
    image = jnp.zeros((4, 4, 3), jnp.uint8)
    for fill in (256, -1, (1, 2), 0.5):
        with pytest.raises(ValueError, match="fill must be one level or three"):
            operations.rotate(image, 3, fill=fill)


def test_too_many_pixels_are_refused():
    with pytest.raises(ValueError, match="at most 4194304 pixels, got 2049 x 2048"):
        jax.eval_shape(operations.contrast, jax.ShapeDtypeStruct((2049, 2048, 3), jnp.uint8), 1.0)


@pytest.mark.slow
@pytest.mark.parametrize("operation", AMOUNTS)
def test_equal_to_pillow_on_cifar10(operation):
    try:
        source = data.open_train("cifar10")
    except data.DatasetUnavailableError as error:
        pytest.skip(str(error))
    check(operation, [np.asarray(source[row][0]) for row in range(0, 50_000, 250)])
