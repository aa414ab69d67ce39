"""The crops against NumPy's own resampling and against torchvision."""

import io

import numpy as np
import pytest
import scipy.stats
from PIL import Image

from ib_jax.data.crops import CentreCrop, RandomCrop, crop_box

SIZES = [(50, 37), (37, 50), (40, 40), (300, 260), (21, 20), (90, 30), (13, 70)]


def resampled(pixels, box, width, height):
    """`box` of an image scaled to width x height, by a triangle over two new pixels, or over two old ones if larger."""

    def weights(start, stop, new, old):
        scale = (stop - start) / new
        centres = start + (np.arange(new) + 0.5) * scale
        distances = np.abs(np.arange(old) + 0.5 - centres[:, None]) / max(scale, 1.0)
        triangle = np.maximum(0.0, 1.0 - distances)
        return triangle / triangle.sum(1, keepdims=True)

    left, top, right, bottom = box
    rows, columns = weights(top, bottom, height, pixels.shape[0]), weights(left, right, width, pixels.shape[1])
    return np.stack([rows @ plane @ columns.T for plane in np.moveaxis(pixels.astype(np.float64), -1, 0)], -1)


@pytest.fixture(scope="module")
def transforms():
    try:
        import torchvision.transforms
    except (ImportError, RuntimeError) as error:  # RuntimeError where it is of another build than torch
        pytest.skip(f"no torchvision: {error}")
    return torchvision.transforms


def decoded(encoded):
    return np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB"))


@pytest.mark.parametrize("image_size", [16, 28])
@pytest.mark.parametrize("width, height", SIZES)
def test_the_centre_is_that_of_naive_resampling(width, height, image_size, make_photo, encode_image):
    encoded = encode_image(make_photo(np.random.default_rng(0), width, height))
    shortest = round(image_size * 256 / 224)
    new_width, new_height = (int(shortest * side / min(width, height)) for side in (width, height))
    whole = resampled(decoded(encoded), (0, 0, width, height), new_width, new_height)
    left, top = round((new_width - image_size) / 2), round((new_height - image_size) / 2)
    expected = whole[top : top + image_size, left : left + image_size]
    found = CentreCrop(image_size)(encoded, 0)
    assert found.dtype == np.uint8
    assert found.shape == CentreCrop(image_size).image_shape == (image_size, image_size, 3)
    assert np.abs(found - expected).max() <= 1.01  # Pillow rounds twice, to whole numbers


@pytest.mark.parametrize("image_size, resize", [(16, 18), (224, 256)])
@pytest.mark.parametrize("width, height", [*SIZES, (500, 375), (333, 501)])
def test_the_centre_is_torchvisions_bit_for_bit(
    width, height, image_size, resize, make_photo, encode_image, transforms
):
    encoded = encode_image(make_photo(np.random.default_rng(1), width, height))
    peer = transforms.Compose([transforms.Resize(resize), transforms.CenterCrop(image_size)])
    expected = peer(Image.open(io.BytesIO(encoded)).convert("RGB"))
    np.testing.assert_array_equal(CentreCrop(image_size)(encoded, 0), np.asarray(expected))


@pytest.mark.parametrize("row", range(4))
@pytest.mark.parametrize("width, height", SIZES)
def test_the_random_crop_is_its_box_resampled(width, height, row, make_photo, encode_image):
    encoded = encode_image(make_photo(np.random.default_rng(0), width, height))
    image_size = max(width, height)  # enlarged, so that no shortcut is taken
    box = crop_box(width, height, seed=3, epoch=2, row=row)
    expected = resampled(decoded(encoded), box, image_size, image_size)
    found = RandomCrop(image_size, seed=3, epoch=2)(encoded, row)
    assert np.abs(found - expected).max() <= 1.01


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("width, height, image_size", [(400, 300, 64), (401, 303, 33), (641, 479, 24)])
def test_the_shortcut_of_jpeg_keeps_the_place_of_every_pixel(width, height, image_size, mode, encode_image):
    # Values that tell the place: red rises from left to right, green from top to bottom.
    red, green = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    planes = np.stack([red, green, np.full_like(red, 90)], -1)
    image = Image.fromarray(planes.round().astype(np.uint8)).convert(mode)
    encoded = encode_image(image)
    pixels, shortcuts = decoded(encoded), 0
    for row in range(6):
        box = crop_box(width, height, seed=0, epoch=0, row=row)
        shortcuts += min(box[2] - box[0], box[3] - box[1]) >= 2 * image_size
        expected = resampled(pixels, box, image_size, image_size)
        found = RandomCrop(image_size, seed=0, epoch=0)(encoded, row)
        # A pixel of the original is 255 / 300 of a level.
        assert np.abs(found - expected).max() < 3.0
        assert np.abs(found - expected).mean() < 0.75
    assert shortcuts >= 3


def test_evaluation_takes_no_shortcut(encode_image):
    encoded = encode_image(Image.effect_noise((800, 600), 80))
    expected = Image.open(io.BytesIO(encoded)).convert("RGB").resize((49, 37), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(CentreCrop(32)(encoded, 0), np.asarray(expected)[2:34, 8:40])


def many_boxes(width, height, number=4000):
    return np.array([crop_box(width, height, seed=1, epoch=0, row=row) for row in range(number)])


def test_the_parts_lie_inside_and_vary():
    for width, height in ((500, 375), (33, 700), (1, 1), (2, 1), (5000, 3)):
        left, top, right, bottom = many_boxes(width, height, 300).T
        assert left.min() >= 0
        assert top.min() >= 0
        assert right.max() <= width
        assert bottom.max() <= height
        assert (right - left).min() >= 1
        assert (bottom - top).min() >= 1
    boxes = many_boxes(500, 375)
    assert len(np.unique(boxes, axis=0)) > 3900
    assert boxes[:, 0].min() == 0
    assert boxes[:, 3].max() == 375


def test_area_ratio_and_place_are_uniform():
    side = 2000
    left, top, right, bottom = many_boxes(side, side).T
    width, height = right - left, bottom - top
    # Below half of the area every ratio fits, so that nothing is drawn anew, which would favour some.
    small = width * height < side**2 / 2
    share, ratio = (width * height / side**2)[small], np.log(width / height)[small]
    assert small.sum() > 1500
    uniform = {
        "area": (share - 0.08) / 0.42,
        "ratio": ratio / (2 * np.log(4 / 3)) + 0.5,
        "left": left[small] / (side - width[small]),
        "top": top[small] / (side - height[small]),
    }
    for name, values in uniform.items():
        assert scipy.stats.kstest(values, "uniform").pvalue > 1e-3, name
    correlations = np.corrcoef(list(uniform.values())) - np.eye(4)
    assert np.abs(correlations).max() < 4 / np.sqrt(small.sum())


def test_the_draws_are_distributed_as_torchvisions(transforms):
    pytest.importorskip("torch").manual_seed(0)
    image = Image.new("RGB", (500, 375))
    draw = transforms.RandomResizedCrop.get_params
    peer = np.array([draw(image, (0.08, 1.0), (3 / 4, 4 / 3)) for _ in range(4000)])  # top, left, height, width
    left, top, right, bottom = many_boxes(500, 375).T
    found = {"top": top, "left": left, "height": bottom - top, "width": right - left}
    expected = dict(zip(found, peer.T, strict=True))
    for values in (found, expected):
        values["area"] = values["height"] * values["width"]
        values["ratio"] = values["width"] / values["height"]
        values["bottom"] = values["top"] + values["height"]
        values["right"] = values["left"] + values["width"]
    for name, values in found.items():
        assert scipy.stats.ks_2samp(values, expected[name]).pvalue > 1e-3, name


@pytest.mark.parametrize("width, height", [(5000, 40), (40, 5000), (3, 700)])
def test_where_nothing_fits_the_middle_is_taken_as_in_torchvision(width, height, transforms):
    top, left, part_height, part_width = transforms.RandomResizedCrop.get_params(
        Image.new("L", (width, height)), (0.9, 1.0), (3 / 4, 4 / 3)
    )
    for row in range(5):
        assert crop_box(width, height, seed=0, epoch=0, row=row) == (left, top, left + part_width, top + part_height)


def test_seed_epoch_and_row_each_change_the_draw():
    place = {"seed": 5, "epoch": 6, "row": 7}
    boxes = {crop_box(500, 375, **(place | change)) for change in ({}, {"seed": 6}, {"epoch": 7}, {"row": 8})}
    assert len(boxes) == 4
    assert len({crop_box(500, 375, seed=a, epoch=b, row=c) for a in (1, 2) for b in (1, 2) for c in (1, 2)}) == 8


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: CentreCrop(0), "image_size must be at least 1, got 0"),
        (lambda: RandomCrop(0, seed=0, epoch=0), "image_size must be at least 1, got 0"),
        (lambda: RandomCrop(8, seed=-1, epoch=0), "seed must be at least 0, got -1"),
        (lambda: RandomCrop(8, seed=0, epoch=-2), "epoch must be at least 0, got -2"),
    ],
)
def test_bad_numbers_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
