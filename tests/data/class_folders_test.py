"""A folder of class folders: what it becomes, and what is refused."""

import pathlib

import numpy as np
import pytest
from PIL import Image

from ib_jax import data
from ib_jax.data.own import HELD_OUT
from tests.data.own_data import GREY, IMAGES, LABELS, NAMES, put, same, same_opened


@pytest.mark.parametrize("split", ["test", "validation", None])
def test_a_folder_of_class_folders(split, tmp_path):
    put(tmp_path / "train" if split else tmp_path, IMAGES[:15], LABELS[:15])
    if split:
        put(tmp_path / split, IMAGES[15:], LABELS[15:])
    (tmp_path / ".hidden").write_text("", encoding="utf-8")
    loaded = data.load(tmp_path, num_validation=2)
    order = np.argsort(LABELS[:15], kind="stable")  # by class, then by name
    if split:
        by_class = 15 + np.argsort(LABELS[15:], kind="stable")
        same(loaded.test, IMAGES[by_class], LABELS[by_class])
        assert loaded.test_split == split
    else:
        rows = order[np.random.default_rng(0).permutation(15)[-3:]]
        same(loaded.test, IMAGES[rows], LABELS[rows])
        assert loaded.test_split == HELD_OUT
    assert (loaded.name, loaded.num_classes, loaded.class_names) == (f"{tmp_path.name}/", 3, ("ant", "bee", "cat"))
    assert len(loaded.train.labels) == (13 if split else 10)
    same_opened(tmp_path, loaded, num_validation=2)


def test_a_folder_beside_is_named_with_a_slash_for_a_data_set_may_have_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "digits", IMAGES, LABELS)
    assert data.load("digits/").num_classes == data.load(pathlib.Path("digits")).num_classes == 3
    assert data.load("digits").num_classes == 10
    put(tmp_path / "pets", IMAGES, LABELS)
    with pytest.raises(
        ValueError, match=r"name is 'pets'; expected one of digits, .* or a .npz file, a folder of class folders"
    ):
        data.load("pets")


def test_grey_images_have_one_channel_and_beside_colour_three(tmp_path):
    put(tmp_path, GREY, LABELS)
    assert data.load(tmp_path).train.inputs.shape == (16, 6, 5, 1)
    Image.fromarray(IMAGES[0]).convert("RGBA").save(tmp_path / "ant" / "zzz.png")
    Image.fromarray(IMAGES[1]).convert("P").save(tmp_path / "ant" / "zzzz.png")
    loaded = data.load(tmp_path)
    whole = np.concatenate([loaded.train.inputs, loaded.test.inputs])
    assert whole.shape == (22, 6, 5, 3)
    grey = {image[..., None].repeat(3, -1).tobytes() for image in GREY}
    assert grey | {IMAGES[0].tobytes()} <= {image.tobytes() for image in whole}


def refused_folders():
    deep = Image.fromarray(np.full((6, 5), 1000, np.uint16))
    yield "size", lambda f: Image.new("RGB", (7, 5)).save(f / "cat/x.png"), "cat/x.png is 7 x 5 pixels and .*ant/000"
    yield "deep", lambda f: deep.save(f / "cat/x.png"), r"cat/x.png has more than eight bits .*\(mode I"
    yield "text", lambda f: (f / "cat/x.txt").write_text("x", encoding="utf-8"), "cat/x.txt is damaged .*Unidentified"
    yield "empty file", lambda f: (f / "cat/x.png").write_bytes(b""), r"cat/x.png is damaged \(empty\)"
    yield "cut off", lambda f: cut(f / "cat/002.png"), "cat/002.png is damaged .*truncated"
    yield "no images", lambda f: (f / "dog").mkdir(), "dog has no images as the folder of a class"
    yield "a file beside", lambda f: (f / "x.txt").write_text("", encoding="utf-8"), "x.txt is a file beside class"
    yield "deeper", lambda f: (f / "cat/more").mkdir(), "more is a folder in the folder of a class"
    yield "one class", lambda f: put(f / "train", IMAGES, 0 * LABELS), "train has 1 class folders; expected two"
    yield "test alone", lambda f: [put(f / s, IMAGES, LABELS, n) for s, n in SPLITS], "bee is of no class of .*train"


SPLITS = (("train", ["ant", "cat", "dog"]), ("test", NAMES))


def cut(path):
    path.write_bytes(path.read_bytes()[:-40])


@pytest.mark.parametrize(("_", "change", "message"), list(refused_folders()))
def test_a_folder_that_will_not_do_is_refused_by_the_file(_, change, message, tmp_path):
    change(put(tmp_path, IMAGES, LABELS))
    with pytest.raises(ValueError, match=message):
        data.load(tmp_path)


def test_no_folder_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"name is '.*none', which is not there; give"):
        data.load(tmp_path / "none")
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(NotADirectoryError, match="which is a file; give a folder"):
        data.load(tmp_path / "file")
