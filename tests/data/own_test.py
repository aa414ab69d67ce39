"""What all forms of data of one's own have in common."""

import re

import numpy as np
import pytest

from ib_jax import data
from tests.data.own_data import IMAGES, LABELS, NAMES, put, saved


def test_the_same_data_have_the_same_checksum_however_they_are_stored(tmp_path):
    order = np.argsort(LABELS, kind="stable")
    arrays = {"x": IMAGES[order], "y": LABELS[order], "class_names": NAMES}
    np.savez_compressed(tmp_path / "other.npz", **arrays)
    folder = put(tmp_path / "folder", IMAGES, LABELS)
    names = (saved(tmp_path, **arrays), tmp_path / "other.npz", folder)
    found = {data.load(name, num_validation=n, num_train=n, seed=n).checksum for name in names for n in (0, 2)}
    assert len(found) == 1
    changed = IMAGES.copy()
    changed[0, 0, 0, 0] ^= 1
    turned = {"x": IMAGES[order].reshape(20, 5, 6, 3)}
    for other in ({"x": changed}, {"y": LABELS[::-1]}, {"class_names": NAMES[::-1]}, turned):
        assert data.load(saved(tmp_path, **arrays | other)).checksum != data.load(names[1]).checksum


def test_an_image_size_is_refused_for_images_that_have_one(tmp_path):
    with pytest.raises(ValueError, match=r"image_size is 4; .*own.npz has images of 6 x 5 pixels, so leave it out"):
        data.open_split(saved(tmp_path, x=IMAGES, y=LABELS), "test", image_size=4)
    with pytest.raises(ValueError, match=re.escape("split is 'extra'; ")):
        data.open_split(saved(tmp_path, x=IMAGES, y=LABELS), "extra")
    with pytest.raises(ValueError, match="num_validation is 16; expected 0 <= num_validation < 16"):
        data.load(saved(tmp_path, x=IMAGES, y=LABELS), num_validation=16)


def test_a_bucket_is_refused():
    with pytest.raises(ValueError, match=r"name must be a folder or file of this machine, got 'gs://b/x.npz'"):
        data.load("gs://b/x.npz")
