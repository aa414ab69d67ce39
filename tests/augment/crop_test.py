"""Flips, crops, holes and resizing, against NumPy and Pillow."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from PIL import Image

from ib_jax import augment
from ib_jax.augment.crop import draw_box
from tests.augment.pictures import patches, wide


def applied(transform, count, image, seed=0):
    keys = jax.random.split(jax.random.key(seed), count)
    return np.asarray(jax.jit(augment.batched(transform))(keys, np.broadcast_to(image, (count, *image.shape))))


def boxes(count, height, width, **settings):
    draw = jax.jit(jax.vmap(lambda key: draw_box(key, height, width, **settings)))
    return jax.tree.map(np.asarray, draw(jax.random.split(jax.random.key(0), count)))


def test_flips_are_whole_and_as_frequent_as_asked():
    image = patches(1, 32)[0]
    found = applied(augment.random_flip(0.3), 2000, image)
    flipped = (found == image[:, ::-1]).all((1, 2, 3))
    np.testing.assert_array_equal((found == image).all((1, 2, 3)), ~flipped)
    assert abs(flipped.mean() - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 2000)


def test_padded_crops_are_windows_of_the_padded_image_with_equal_chances():
    image = patches(1, 32)[0][:9, :12]
    padded = np.full((13, 16, 3), (5, 6, 7), np.uint8)
    padded[2:-2, 2:-2] = image
    windows = np.stack([padded[top : top + 9, left : left + 12] for top in range(5) for left in range(5)])
    found = applied(augment.pad_crop(2, fill=(5, 6, 7)), 5000, image)
    which = (found[:, None] == windows).all((2, 3, 4))
    np.testing.assert_array_equal(which.sum(1), 1)
    assert scipy.stats.chisquare(which.sum(0)).pvalue > 1e-3


def test_holes_are_squares_about_centres_with_equal_chances():
    found = applied(augment.cutout(4, fill=9), 5000, np.zeros((6, 7, 3), np.uint8))
    holes = np.zeros((6, 7, 6, 7, 3), np.uint8)
    for row in range(6):
        for column in range(7):
            holes[row, column, max(0, row - 2) : row + 2, max(0, column - 2) : column + 2] = 9
    which = (found[:, None] == holes.reshape(42, 6, 7, 3)).all((2, 3, 4))
    np.testing.assert_array_equal(which.sum(1), 1)
    assert scipy.stats.chisquare(which.sum(0)).pvalue > 1e-3


@pytest.mark.parametrize("box", [None, (0, 5, 150, 60), (30, 40, 33, 90), (149, 210, 1, 1)])
@pytest.mark.parametrize("size", [(48, 40), (150, 211)])
def test_resizing_is_pillows_but_for_ties(box, size):
    top, left, height, width = box or (0, 0, 150, 211)
    part = Image.fromarray(wide()).crop((left, top, left + width, top + height))
    expected = np.asarray(part.resize(size[::-1], Image.Resampling.BILINEAR)).astype(int)
    found = augment.resize(jnp.asarray(wide()), size, box=None if box is None else augment.Box(*box))
    assert np.abs(np.asarray(found) - expected).max() <= 1
    # Ties go either way in Pillow, whose weights are rounded; without rounding there are none.
    channels = [channel.convert("F").resize(size[::-1], Image.Resampling.BILINEAR) for channel in part.split()]
    difference = np.asarray(found) - np.stack([np.asarray(channel) for channel in channels], -1)
    assert np.abs(difference).max() <= 1.001
    assert abs(difference.mean()) < 0.2


def test_center_crop_is_torchvisions_recipe():
    picture = Image.fromarray(wide())
    resized = np.asarray(picture.resize((int(211 * 64 / 150), 64), Image.Resampling.BILINEAR)).astype(int)
    found = augment.center_crop(jnp.asarray(wide()), 50, shorter_side=64)
    assert np.abs(np.asarray(found) - resized[7:57, 20:70]).max() <= 1


def test_boxes_lie_inside_and_are_spread_as_said():
    scale, ratio = (0.2, 0.6), (0.5, 2.0)
    box = boxes(4000, 400, 600, scale=scale, ratio=ratio)
    assert min(box.top.min(), box.left.min()) == 0
    assert (box.top + box.height).max() == 400
    assert (box.left + box.width).max() == 600
    share = box.height * box.width / (400 * 600)
    assert 0.199 < share.min() < 0.21
    assert 0.59 < share.max() < 0.601
    shape = box.width / box.height
    assert 0.49 < shape.min() < 0.52
    assert 1.9 < shape.max() < 2.02
    # Small boxes of any shape fit: among them log shape is uniform, and so is the place.
    small = share < 0.3
    log_shape = np.log(shape[small]) / np.log(4) + 0.5
    assert scipy.stats.kstest(log_shape, "uniform").pvalue > 1e-3
    place = (box.left + 0.5) / (600 - box.width + 1)
    assert scipy.stats.kstest(place, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(place, (box.top + 0.5) / (400 - box.height + 1))[0, 1]) < 0.07


def test_boxes_that_never_fit_leave_the_largest_middle_one():
    for (height, width), expected in {(20, 100): (0, 36, 20, 27), (100, 20): (36, 0, 27, 20)}.items():
        box = boxes(1, height, width, scale=(1.0, 1.0), ratio=(3 / 4, 4 / 3))
        assert tuple(int(field[0]) for field in box) == expected


def test_random_resized_crop_is_a_box_resized():
    image, transform = wide(), augment.random_resized_crop(24, scale=(0.1, 0.5))
    found = applied(transform, 6, image)
    drawn = boxes(6, 150, 211, scale=(0.1, 0.5), ratio=(3 / 4, 4 / 3))
    for crop, top, left, height, width in zip(found, *drawn, strict=True):
        part = Image.fromarray(image).crop((left, top, left + width, top + height))
        expected = np.asarray(part.resize((24, 24), Image.Resampling.BILINEAR)).astype(int)
        assert np.abs(crop - expected).max() <= 1


def test_composed_augmentations_have_keys_of_their_own():
    key, image = jax.random.key(9), patches(1, 32)[0]
    crop = jax.jit(augment.pad_crop(4))
    expected = crop(jax.random.fold_in(key, 1), crop(jax.random.fold_in(key, 0), image))
    np.testing.assert_array_equal(jax.jit(augment.compose(crop, crop))(key, image), expected)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: augment.random_flip(1.5), r"probability must be in \[0, 1\], got 1.5"),
        (lambda: augment.pad_crop(-1), "padding must be at least 0, got -1"),
        (lambda: augment.cutout(5), "size must be even and at least 0, got 5"),
        (lambda: augment.random_resized_crop(0), "size must be at least 1, got 0"),
        (lambda: augment.random_resized_crop(8, scale=(0.5, 1.5)), "scale must be 0 < least <= greatest <= 1"),
        (lambda: augment.random_resized_crop(8, ratio=(2.0, 1.0)), "ratio must be 0 < least <= greatest"),
        (
            lambda: augment.center_crop(jnp.zeros((9, 9, 3), jnp.uint8), 9, shorter_side=8),
            "between 1 and shorter_side = 8",
        ),
        (lambda: augment.resize(jnp.zeros((9, 9, 3), jnp.uint8), (0, 3)), "size must be at least 1 x 1"),
    ],
)
def test_wrong_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("make", [augment.random_flip, augment.pad_crop, augment.cutout, augment.auto_augment])
def test_wrong_images_are_refused(make):
    with pytest.raises(ValueError, match=r"image must be one image \[H, W, 3\], got shape \(8, 8\)"):
        make()(jax.random.key(0), jnp.zeros((8, 8), jnp.uint8))
