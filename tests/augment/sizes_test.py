"""Small and odd sizes, tall ones, and batches without images."""

import jax
import jax.numpy as jnp
import numpy as np
import PIL
import pytest
from PIL import Image

from ib_jax import augment
from ib_jax.augment import batch, operations

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (90, 70, 3), np.uint8)
AUGMENTS = {
    "random_flip": augment.random_flip(),
    "pad_crop": augment.pad_crop(2),
    "cutout": augment.cutout(4),
    "random_resized_crop": augment.random_resized_crop(6),
    "auto_augment": augment.auto_augment(),
}
needs_pillow_13 = pytest.mark.skipif(int(PIL.__version__.split(".")[0]) < 13, reason="Pillow 13 has a new order")


def by_pillow(image, size):
    return np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))


def assert_in_pillows_order(found, image, size):
    """In the wrong order a fifth of the levels is one off; in the right one ties alone are, as the compiler adds up."""
    height, width = image.shape[:2]
    across_first = by_pillow(by_pillow(image, (height, size[1])), size)
    down_first = by_pillow(by_pillow(image, (size[0], width)), size)
    differ = lambda expected: float((np.asarray(found) != expected).mean())
    pillow = by_pillow(image, size)
    assert (pillow == across_first).all() or (pillow == down_first).all()
    if (across_first != down_first).any():
        assert differ(pillow) < max(differ(across_first), differ(down_first)) / 2, image.shape
    assert np.abs(np.asarray(found, int) - pillow).max() <= 2


@needs_pillow_13
def test_the_order_of_the_passes_is_pillows():
    """Parts where the height loses about twice as many pixels as the width, and others; all in one program."""
    size = (20, 24)
    at_the_limit = [(20 + 2 * lost + more, 24 + lost) for lost in (3, 9, 20, 31) for more in (-1, 0, 1)]
    others = [(21, 24), (20, 24), (19, 11), (21, 3), (90, 70), (90, 1), (1, 70), (1, 1), (90, 24), (33, 25)]
    for height, width in at_the_limit + others:
        found = augment.resize(NOISE, size, box=augment.Box(0, 0, height, width))
        assert_in_pillows_order(found, NOISE[:height, :width], size)


@needs_pillow_13
@pytest.mark.parametrize("shape, size", [((90, 40), (32, 32)), ((41, 40), (31, 83))])
def test_a_whole_image_goes_in_the_same_order(shape, size):
    image = NOISE[: shape[0], : shape[1]].copy()
    assert_in_pillows_order(augment.resize(image, size), image, size)


@pytest.mark.parametrize("one_after_another", [True, False])
@pytest.mark.parametrize("name", AUGMENTS)
def test_an_empty_batch_stays_empty(name, one_after_another, monkeypatch):
    monkeypatch.setattr(batch, "one_after_another", lambda platform: one_after_another)
    keys, images = jax.random.split(jax.random.key(0), 2)[:0], jnp.zeros((0, 9, 7, 3), jnp.uint8)
    found = augment.batched(AUGMENTS[name])(keys, images)
    assert (found.shape, found.dtype) == ((0, *((6, 6) if name == "random_resized_crop" else (9, 7)), 3), jnp.uint8)


def test_every_factory_is_tried_with_an_empty_batch():
    others = {"batched", "compose", "center_crop", "draw_sub_policy", "resize"}
    functions = {name for name in augment.__all__ if name.islower() and callable(getattr(augment, name))}
    assert functions - others == set(AUGMENTS)


@pytest.mark.parametrize("operation", operations.__all__)
def test_an_empty_batch_of_each_operation(operation):
    """Images [B, H, W, 3] go through `jax.vmap`."""
    arguments = {"cut_out": (2, jnp.zeros(2)), "invert": (), "auto_contrast": (), "equalize": ()}.get(operation, (1,))
    function = jax.vmap(lambda image: getattr(operations, operation)(image, *arguments))
    found = jax.eval_shape(function, jax.ShapeDtypeStruct((0, 5, 4, 3), jnp.uint8))
    assert found == jax.ShapeDtypeStruct((0, 5, 4, 3), jnp.uint8)


@pytest.mark.parametrize("height, width", [(1, 1), (1, 9), (9, 1)])
@pytest.mark.parametrize("ratio", [(0.1, 0.2), (5.0, 9.0)])
def test_crops_of_thin_images_keep_a_pixel(height, width, ratio):
    crop = augment.random_resized_crop(3, scale=(1.0, 1.0), ratio=ratio)
    np.testing.assert_array_equal(crop(jax.random.key(0), jnp.full((height, width, 3), 200, jnp.uint8)), 200)


def test_images_without_pixels_are_refused():
    with pytest.raises(ValueError, match="image must have at least 1 x 1 pixels, got 0 x 4"):
        augment.resize(jnp.zeros((0, 4, 3), jnp.uint8), (2, 2))
