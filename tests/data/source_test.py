import dataclasses
import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ib_jax.data import DatasetCorruptError, DatasetUnavailableError, raw_files
from ib_jax.data.source import load_splits, resolve_data_dir

NAMES = ["mnist", "fashion_mnist", "cifar10"]


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    monkeypatch.setattr(raw_files, "unreachable", lambda url: "no network in tests")


@pytest.fixture
def prepared(make_archives, manual_copy):
    """A prepared MNIST-like data set: spec, data directory, and the folder of the copy."""
    spec, files, _ = make_archives("mnist")
    data_dir = manual_copy(spec, files)
    load_splits(spec, data_dir)
    return spec, data_dir, spec.prepared_dir(data_dir)


def _sorted_examples(split):
    return sorted((image.tobytes(), int(label)) for image, label in zip(*split, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_prepared_from_the_manual_folder_and_read_back_bit_for_bit(make_archives, manual_copy, capfd, name):
    spec, files, expected = make_archives(name)
    data_dir = manual_copy(spec, files)
    first = load_splits(spec, data_dir)
    assert capfd.readouterr() == ("", "")
    assert first.keys() == expected.keys()
    for split_name, split in first.items():
        assert split.inputs.shape == expected[split_name].inputs.shape
        assert split.inputs.dtype == np.uint8
        assert split.labels.dtype == np.int32
        # tensorflow-datasets shuffles what it writes, always in the same way.
        assert _sorted_examples(split) == _sorted_examples(expected[split_name])
    again = load_splits(spec, data_dir)
    for split_name, split in first.items():
        np.testing.assert_array_equal(again[split_name].inputs, split.inputs)
        np.testing.assert_array_equal(again[split_name].labels, split.labels)


@pytest.mark.parametrize("name", NAMES)
def test_the_copy_is_what_tensorflow_datasets_expects(make_archives, manual_copy, name):
    import tensorflow_datasets as tfds

    spec, files, _ = make_archives(name)
    data_dir = manual_copy(spec, files)
    loaded = load_splits(spec, data_dir)
    # Through the stock builder, which knows nothing of ours.
    source = tfds.data_source(name, split="test", data_dir=data_dir, download=False)
    np.testing.assert_array_equal(np.stack([record["image"] for record in source]), loaded["test"].inputs)
    assert [record["label"] for record in source] == loaded["test"].labels.tolist()
    if name == "cifar10":
        assert sorted(record["id"] for record in source) == [b"test_%05d" % index for index in range(12)]
        labels = spec.prepared_dir(data_dir) / "label.labels.txt"
        assert labels.read_text().split() == [f"class{index}" for index in range(10)]


def test_a_prepared_copy_needs_no_raw_files(prepared, monkeypatch):
    spec, data_dir, _ = prepared
    for path in (data_dir / "downloads" / "manual" / "mnist").iterdir():
        path.unlink()
    assert len(load_splits(spec, data_dir)["train"].labels) == 40


def _assert_nothing_prepared(data_dir: Path) -> None:
    assert [path for path in data_dir.rglob("*") if "array_record" in path.name or path.suffix == ".json"] == []
    assert [path for path in data_dir.rglob("*") if "incomplete" in path.name] == []


def test_a_wrong_checksum_leaves_nothing_behind(make_archives, manual_copy):
    spec, files, _ = make_archives("mnist")
    name = "t10k-images-idx3-ubyte.gz"
    data_dir = manual_copy(spec, {**files, name: files[name][:-1]})
    with pytest.raises(DatasetCorruptError, match=name):
        load_splits(spec, data_dir)
    _assert_nothing_prepared(data_dir)


def test_a_truncated_raw_file_leaves_nothing_behind(make_archives, manual_copy, reseal):
    spec, files, _ = make_archives("mnist")
    name = "train-images-idx3-ubyte.gz"
    files[name] = gzip.compress(gzip.decompress(files[name])[:-1])
    data_dir = manual_copy(spec, files)
    with pytest.raises(DatasetCorruptError, match="expected exactly"):
        load_splits(reseal(spec, files), data_dir)
    _assert_nothing_prepared(data_dir)


def test_raw_files_of_another_size_are_refused_before_anything_is_written(make_archives, manual_copy):
    spec, files, _ = make_archives("cifar10")
    data_dir = manual_copy(spec, files)
    larger = dataclasses.replace(spec, split_sizes={"train": 40, "test": 13})
    with pytest.raises(DatasetCorruptError, match=r"\(12, 32, 32, 3\), expected \(13, 32, 32, 3\)"):
        load_splits(larger, data_dir)
    _assert_nothing_prepared(data_dir)


def test_raw_labels_out_of_range_are_refused(make_archives, manual_copy, reseal, make_idx):
    spec, files, _ = make_archives("mnist")
    files["t10k-labels-idx1-ubyte.gz"] = gzip.compress(make_idx(np.arange(12)))
    data_dir = manual_copy(spec, files)
    with pytest.raises(DatasetCorruptError, match=r"labels in 0\.\.11, expected 0\.\.9"):
        load_splits(reseal(spec, files), data_dir)
    _assert_nothing_prepared(data_dir)


def test_a_failure_while_writing_leaves_nothing_behind_and_the_next_run_succeeds(
    make_archives, manual_copy, monkeypatch
):
    spec, files, _ = make_archives("mnist")
    data_dir = manual_copy(spec, files)
    calls = []

    def disk_full(pixels):
        calls.append(pixels)
        if len(calls) > 45:  # in the second split
            raise OSError("No space left on device")
        return original(pixels)

    original = Image.fromarray
    monkeypatch.setattr(Image, "fromarray", disk_full)
    with pytest.raises(OSError, match="No space left on device"):
        load_splits(spec, data_dir)
    _assert_nothing_prepared(data_dir)
    monkeypatch.setattr(Image, "fromarray", original)
    assert len(load_splits(spec, data_dir)["test"].labels) == 12


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
        lambda path: path.write_bytes(path.read_bytes()[:-100]),
        lambda path: path.write_bytes(b""),
        lambda path: path.unlink(),
    ],
    ids=["half", "a little short", "empty", "gone"],
)
def test_a_damaged_shard_is_refused_with_folder_and_remedy(prepared, damage):
    spec, data_dir, folder = prepared
    (shard,) = folder.glob("mnist-train.array_record*")
    damage(shard)
    with pytest.raises(DatasetCorruptError) as caught:
        load_splits(spec, data_dir)
    assert f"Delete {folder} and run again" in str(caught.value)


def test_damaged_metadata_is_refused(prepared):
    spec, data_dir, folder = prepared
    (folder / "dataset_info.json").write_text("{")
    with pytest.raises(DatasetCorruptError, match="Delete"):
        load_splits(spec, data_dir)


def test_metadata_that_promise_fewer_images_are_refused(prepared):
    spec, data_dir, folder = prepared
    info = json.loads((folder / "dataset_info.json").read_text())
    info["splits"][0]["shardLengths"] = ["39"]
    (folder / "dataset_info.json").write_text(json.dumps(info))
    with pytest.raises(DatasetCorruptError, match=r"image shape \(39, 28, 28, 1\), expected \(40, 28, 28, 1\)"):
        load_splits(spec, data_dir)


def test_a_missing_split_is_refused(prepared):
    spec, data_dir, folder = prepared
    info = json.loads((folder / "dataset_info.json").read_text())
    info["splits"].pop()
    (folder / "dataset_info.json").write_text(json.dumps(info))
    with pytest.raises(DatasetCorruptError, match=r"lacks \['test'\]"):
        load_splits(spec, data_dir)


def test_images_of_another_shape_are_refused(prepared):
    spec, data_dir, _ = prepared
    with pytest.raises(DatasetCorruptError, match=r"expected uint8 \(14, 14\)"):
        load_splits(dataclasses.replace(spec, image_shape=(14, 14, 1)), data_dir)


def test_a_folder_without_metadata_is_not_taken_for_a_copy(make_archives, manual_copy):
    spec, files, _ = make_archives("mnist")
    data_dir = manual_copy(spec, files)
    folder = spec.prepared_dir(data_dir)
    folder.mkdir(parents=True)
    with pytest.raises(DatasetCorruptError, match="not a whole prepared copy"):
        load_splits(spec, data_dir)


def test_a_copy_that_needs_tensorflow_is_refused_as_such(prepared):
    spec, data_dir, folder = prepared
    info = json.loads((folder / "dataset_info.json").read_text())
    info["fileFormat"] = "tfrecord"
    (folder / "dataset_info.json").write_text(json.dumps(info))
    with pytest.raises(DatasetUnavailableError, match="is in tfrecord format, and only array_record"):
        load_splits(spec, data_dir)


def test_the_data_directory_is_chosen_as_tensorflow_datasets_does(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    assert resolve_data_dir(None) == tmp_path / "tensorflow_datasets"
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "elsewhere"))
    assert resolve_data_dir(None) == tmp_path / "elsewhere"
    assert resolve_data_dir(tmp_path / "given") == tmp_path / "given"
    assert resolve_data_dir("~/given") == tmp_path / "given"
