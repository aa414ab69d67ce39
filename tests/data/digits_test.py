import numpy as np
import pytest
from sklearn import datasets

from ib_jax.data import DatasetCorruptError, digits, load


def test_shapes_types_and_range():
    data = load("digits")
    assert data.name == "digits"
    assert data.num_classes == 10
    assert data.validation is None
    for split, size in ((data.train, 1437), (data.test, 360)):
        assert split.inputs.shape == (size, 8, 8, 1)
        assert split.inputs.dtype == np.float32
        assert split.labels.shape == (size,)
        assert split.labels.dtype == np.int32
        assert split.inputs.min() == 0.0
        assert split.inputs.max() == 1.0
        assert set(split.labels) == set(range(10))


def test_every_image_is_there_once_with_its_own_label():
    data = load("digits")
    pixels, classes = datasets.load_digits(return_X_y=True)
    ours = [
        (*(split.inputs.reshape(-1, 64) * 16)[index].astype(int), split.labels[index])
        for split in (data.train, data.test)
        for index in range(len(split.labels))
    ]
    theirs = [(*image.astype(int), label) for image, label in zip(pixels, classes, strict=True)]
    assert sorted(ours) == sorted(theirs)


def test_the_split_is_stratified():
    data = load("digits")
    counts = np.bincount(data.test.labels)
    totals = counts + np.bincount(data.train.labels)
    assert np.abs(counts - totals / 5).max() < 1.0


def test_the_split_never_changes():
    first, again = load("digits"), load("digits", seed=7)
    np.testing.assert_array_equal(first.test.inputs, again.test.inputs)
    # The first image of each class in the original order is the 0th to 9th; only that of class 0 leads a fifth.
    pixels, _ = datasets.load_digits(return_X_y=True)
    np.testing.assert_array_equal(first.test.inputs[0].ravel() * 16, pixels[0])
    np.testing.assert_array_equal(first.train.inputs[0].ravel() * 16, pixels[1])


def test_validation_comes_out_of_the_training_images():
    whole, held = load("digits"), load("digits", num_validation=400, seed=1)
    assert held.validation is not None
    assert len(held.train.labels) == 1037
    np.testing.assert_array_equal(held.test.inputs, whole.test.inputs)
    rejoined = np.concatenate([held.train.inputs, held.validation.inputs]).reshape(-1, 64)
    assert sorted(map(tuple, rejoined)) == sorted(map(tuple, whole.train.inputs.reshape(-1, 64)))


def test_other_content_is_refused(monkeypatch):
    monkeypatch.setattr(datasets, "load_digits", lambda return_X_y: (np.zeros((1797, 64)), np.zeros(1797, int)))
    with pytest.raises(DatasetCorruptError, match="expected"):
        digits.load_splits()
