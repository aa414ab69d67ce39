"""A `.npz` file of images and labels: what it becomes, and what is refused."""

import pathlib

import numpy as np
import pytest

from ib_jax import data
from ib_jax.data.own import HELD_OUT
from tests.data.own_data import GREY, HELD_ROWS, IMAGES, KEPT_ROWS, LABELS, NAMES, same, same_opened, saved

FLAT = GREY.reshape(20, -1)


@pytest.mark.parametrize("images", [IMAGES, GREY, GREY[..., None], GREY / 255, FLAT, FLAT / 255])
def test_npz_with_test_images(images, tmp_path):
    name = saved(tmp_path, x_train=images[:15], y_train=LABELS[:15, None], x_test=images[15:], y_test=LABELS[15:])
    loaded = data.load(name, num_validation=5, seed=3)
    rows = np.random.default_rng(3).permutation(15)
    expected = images[..., None] if images.ndim == 3 else images
    expected = expected.astype(np.float32) if expected.dtype == np.float64 else expected
    same(loaded.test, expected[15:], LABELS[15:])
    same(loaded.validation, expected[rows[-5:]], LABELS[rows[-5:]])
    same(loaded.train, expected[np.sort(rows[:-5])], LABELS[np.sort(rows[:-5])])
    assert (loaded.name, loaded.num_classes, loaded.class_names, loaded.test_split) == ("own.npz", 3, (), "test")
    assert loaded.train.inputs.dtype == expected.dtype
    same_opened(name, loaded, num_validation=5, seed=3)


@pytest.mark.parametrize("keys", [("x", "y"), ("images", "labels"), ("x_train", "y_train")])
@pytest.mark.parametrize("seed", [0, 7])
def test_of_data_without_test_images_the_same_fifth_is_held_out_whatever_the_seed(keys, seed, tmp_path):
    name = saved(tmp_path, **dict(zip(keys, (IMAGES, LABELS), strict=True)))
    loaded = data.load(pathlib.Path(name), seed=seed, num_validation=2)
    same(loaded.test, IMAGES[HELD_ROWS], LABELS[HELD_ROWS])
    assert loaded.test_split == HELD_OUT
    same_opened(name, loaded, seed=seed, num_validation=2)


@pytest.mark.parametrize("dtype", ["U", "S"])
def test_names_are_numbered_in_alphabetical_order_or_as_class_names_has_them(dtype, tmp_path):
    words = NAMES[LABELS].astype(dtype)
    loaded = data.load(saved(tmp_path, x=IMAGES, y=words))
    assert loaded.class_names == ("ant", "bee", "cat")
    same(loaded.train, IMAGES[KEPT_ROWS], LABELS[KEPT_ROWS])
    loaded = data.load(saved(tmp_path, x=IMAGES, y=words, class_names=np.array(["cat", "dog", "ant", "bee"])))
    assert (loaded.num_classes, loaded.class_names) == (4, ("cat", "dog", "ant", "bee"))
    same(loaded.train, IMAGES[KEPT_ROWS], np.array([2, 3, 0])[LABELS[KEPT_ROWS]])
    loaded = data.load(saved(tmp_path, x=IMAGES, y=LABELS, class_names=NAMES))
    assert loaded.class_names == ("ant", "bee", "cat")
    same(loaded.train, IMAGES[KEPT_ROWS], LABELS[KEPT_ROWS])


X, Y = {"x": IMAGES}, {"y": LABELS}
TESTED = {"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES, "y_test": LABELS}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": LABELS}, "has the arrays a; expected x_train, y_train, x_test and y_test; or x and y"),
        (X, "has the arrays x; expected"),
        ({"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES}, "has the arrays x_train, y_train, x_test; expected"),
        (Y | {"x": IMAGES[:, 0, 0, 0]}, r"x is uint8 \[20\]; expected \[N, H, W, C\], \[N, H, W\] or \[N, D\]"),
        (Y | {"x": np.moveaxis(IMAGES, 3, 1)}, r"x is uint8 \[20, 3, 6, 5\]; expected channels last; np.moveaxis"),
        (Y | {"x": IMAGES.astype(int)}, r"x is int64 .*; expected uint8 in 0..255, or floating point in \[0, 1\]"),
        (Y | {"x": IMAGES.astype(float)}, r"x is float64 .* with values in 0..255; expected"),
        (Y | {"x": IMAGES / 255 - 0.5}, r"values in -0.5..0.5; expected"),
        (Y | {"x": np.where(IMAGES > 200, np.nan, 0.5)}, r"values in nan..nan; expected"),
        (X | {"y": LABELS[:5]}, "x and y have 20 and 5 rows; expected one label for each image"),
        ({"x": IMAGES[:0], "y": np.zeros(0, int)}, "y has 0 classes; expected two at least"),
        (X | {"y": np.eye(3)[LABELS]}, r"y is float64 \[20, 3\]; .* y.argmax\(1\) makes numbers"),
        (X | {"y": LABELS.astype(float)}, r"y is float64 \[20\]; expected \[N\] whole numbers"),
        (X | {"y": LABELS - 1}, r"y has the label -1; expected 0..1"),
        (X | {"y": 2 * LABELS}, r"y has no label \[1\] below 4; expected 0..C-1, or class_names of all"),
        (X | {"y": 0 * LABELS}, "y has 1 classes; expected two at least"),
        (X | Y | {"class_names": NAMES[:2]}, "y has the label 2; expected 0..1|y has the label 2; expected ant, bee"),
        (X | Y | {"class_names": NAMES[[0, 1, 1]]}, "class_names has a name twice"),
        (X | {"y": NAMES[LABELS], "class_names": NAMES[:2]}, "y has the label cat; expected ant, bee"),
        (TESTED | {"y_test": LABELS + 1}, "y_test has the label 3; expected 0..2"),
        (TESTED | {"x_test": GREY}, r"x_test is uint8 \[20, 6, 5, 1\] and x_train uint8 \[20, 6, 5, 3\]"),
        (TESTED | {"x_test": IMAGES / 255}, r"x_test is float32 \[20, 6, 5, 3\] and x_train uint8"),
        (TESTED | {"x_test": IMAGES[:0], "y_test": LABELS[:0]}, "x_test and y_test have 0 and 0 rows"),
        (X | {"y": np.where(np.isin(np.arange(20), HELD_ROWS), 1, 0)}, "of which class 1 has too few images"),
    ],
)
def test_a_file_that_will_not_do_is_refused_by_what_is_wrong_in_it(arrays, message, tmp_path):
    with pytest.raises(ValueError, match=message) as found:
        data.load(saved(tmp_path, **arrays))
    assert "own.npz" in str(found.value)


def test_objects_and_damage_are_refused(tmp_path):
    with pytest.raises(data.DatasetCorruptError, match=r"own.npz is damaged .*allow_pickle.*np.array\(\[...\], str\)"):
        data.load(saved(tmp_path, x=IMAGES, y=NAMES[LABELS].astype(object)))
    (tmp_path / "own.npz").write_bytes(b"")
    with pytest.raises(data.DatasetCorruptError, match=r"own.npz is damaged \(empty\)"):
        data.load(tmp_path / "own.npz")
    with pytest.raises(FileNotFoundError, match=r"name is '.*none.npz', and there is no such file"):
        data.load(tmp_path / "none.npz")
