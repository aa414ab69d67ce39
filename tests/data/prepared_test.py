"""Sets that tensorflow-datasets has prepared, by name: which splits and features are taken, and what is refused."""

import subprocess
import sys

import pytest

from ib_jax import data
from ib_jax.data.own import HELD_OUT
from tests.data.own_data import IMAGES, LABELS, NAMES, examples, prepare, same_opened


@pytest.mark.parametrize("split", ["test", "validation", None])
def test_a_prepared_set_of_tensorflow_datasets(split, tmp_path):
    splits = {"train": examples(), "test" if split == "test" else "extra": examples(IMAGES[:3], LABELS[:3])}
    prepare(tmp_path, splits | ({"validation": examples(IMAGES[3:7], LABELS[3:7])} if split else {}))
    loaded = data.load("tfds:own_set", data_dir=tmp_path, num_validation=2, seed=1)
    assert (loaded.name, loaded.num_classes, loaded.class_names) == ("tfds:own_set", 3, ("ant", "bee", "cat"))
    assert loaded.test_split == (split or HELD_OUT)
    assert len(loaded.test.labels) == {"test": 3, "validation": 4, None: 4}[split]
    known = {image.tobytes(): label for image, label in zip(IMAGES, LABELS, strict=True)}
    for images, labels in (loaded.train, loaded.validation, loaded.test):
        assert [known[image.tobytes()] for image in images] == labels.tolist()
    same_opened("tfds:own_set", loaded, data_dir=tmp_path, num_validation=2, seed=1)
    assert data.load("tfds:own_set:1.2.0", data_dir=tmp_path).test_split == (split or HELD_OUT)


def test_the_features_are_those_of_supervised_pairs_or_the_only_ones(tmp_path):
    import tensorflow_datasets as tfds

    image, two, three = tfds.features.Image(shape=(6, 5, 3)), *(tfds.features.ClassLabel(num_classes=n) for n in (2, 3))
    rows = [{"photo": row["image"], "fine": row["label"], "coarse": int(row["label"] > 0)} for row in examples()]
    kinds = {"photo": image, "fine": three, "coarse": two}
    prepare(tmp_path / "pairs", {"train": rows}, supervised=("photo", "fine"), **kinds)
    assert data.load("tfds:own_set", data_dir=tmp_path / "pairs").num_classes == 3
    prepare(tmp_path / "two", {"train": rows}, **kinds)
    with pytest.raises(ValueError, match=r"'tfds:own_set', which has 2 features ClassLabel \(coarse, fine\); expected"):
        data.load("tfds:own_set", data_dir=tmp_path / "two")
    rows = [{"photo": row["photo"], "fine": row["fine"]} for row in rows]
    prepare(tmp_path / "one", {"train": rows}, photo=image, fine=three)
    assert data.load("tfds:own_set", data_dir=tmp_path / "one").num_classes == 3
    prepare(tmp_path / "none", {"train": [{"fine": 1}]}, fine=three)
    with pytest.raises(ValueError, match="which has no feature Image; expected a set of images with one label each"):
        data.load("tfds:own_set", data_dir=tmp_path / "none")


def test_sets_that_will_not_do_are_refused(tmp_path):
    import tensorflow_datasets as tfds

    many = {"image": tfds.features.Image(), "label": tfds.features.ClassLabel(names=NAMES)}
    prepare(tmp_path / "many", {"train": examples()}, **many)
    with pytest.raises(ValueError, match="own_set has images of many sizes, which make no arrays"):
        data.load("tfds:own_set", data_dir=tmp_path / "many")
    opened = data.open_split("tfds:own_set", "test", data_dir=tmp_path / "many", image_size=4)
    assert (len(opened), opened[0].inputs.shape) == (4, (4, 4, 3))
    prepare(tmp_path / "hidden", {"train": examples(), "test": [{**row, "label": -1} for row in examples()]})
    opened = data.open_split("tfds:own_set", "test", data_dir=tmp_path / "hidden")
    for read in (lambda: data.load("tfds:own_set", data_dir=tmp_path / "hidden"), lambda: opened[0]):
        with pytest.raises(ValueError, match=r"own_set keeps the labels of its test split back .* held out for test"):
            read()
    prepare(tmp_path / "extra", {"extra": examples()})
    with pytest.raises(ValueError, match="'tfds:own_set', which has no split train, but extra"):
        data.load("tfds:own_set", data_dir=tmp_path / "extra")
    for name, message in {
        "tfds:no_such_set": "neither tensorflow-datasets nor .* has no_such_set",
        "tfds:a b": "expected tfds:NAME, tfds:NAME/CONFIG, or either with :VERSION",
        "tfds:emnist/none": "emnist has the configurations byclass, bymerge, balanced",
        "tfds:cifar100/none": "cifar100 has the configurations none",
    }.items():
        with pytest.raises(ValueError, match=message):
            data.load(name, data_dir=tmp_path)
    for name, command in {"svhn_cropped": "svhn_cropped", "emnist": "emnist/byclass"}.items():
        with pytest.raises(data.DatasetUnavailableError, match=f"tfds build {command} --file_format=array_record"):
            data.load(f"tfds:{name}", data_dir=tmp_path)


def test_a_damaged_copy_is_told(tmp_path):
    prepare(tmp_path, {"train": examples()})
    folder = tmp_path / "own_set" / "1.2.0"
    (folder / "dataset_info.json").write_text("{", encoding="utf-8")
    with pytest.raises(data.DatasetCorruptError, match=r"own_set: the prepared copy in .* could not be read"):
        data.load("tfds:own_set", data_dir=tmp_path)
    (folder / "dataset_info.json").unlink()
    with pytest.raises(data.DatasetCorruptError, match=r"own_set/1.2.0 is there, but not a whole prepared copy"):
        data.load("tfds:own_set", data_dir=tmp_path)


@pytest.mark.standard
def test_a_prepared_set_is_read_without_tensorflow(tmp_path):
    prepare(tmp_path, {"train": examples()})
    code = (
        "import sys; from ib_jax import data; loaded = data.load('tfds:own_set', data_dir=sys.argv[1])\n"
        "assert len(loaded.test.labels) == 4 and 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
