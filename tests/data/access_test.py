"""Sources: over arrays, over parts of others, and over the records of prepared data sets."""

import concurrent.futures
import dataclasses
import json
import pickle

import numpy as np
import pytest

from ib_jax import data
from ib_jax.data import loading, raw_files
from ib_jax.data.access import EpochSubset, Subset
from ib_jax.data.dataset import hold_out
from ib_jax.data.records import Exact, Records
from ib_jax.data.source import load_splits
from tests.data.labelled import Column

NAMES = ["mnist", "fashion_mnist", "cifar10"]


@pytest.fixture
def prepared(make_archives, manual_copy, monkeypatch):
    """name -> (spec, data directory) of a small prepared data set that goes by that name."""

    def prepare(name):
        spec, files, _ = make_archives(name)
        monkeypatch.setitem(loading._SPECS, name, lambda: spec)
        data_dir = manual_copy(spec, files)
        load_splits(spec, data_dir)
        return spec, data_dir

    return prepare


def _assert_equal(source, split):
    assert len(source) == len(split.labels)
    whole = source.read_rows(np.arange(len(source)))
    for field, expected in zip(whole, split, strict=True):
        assert field.dtype == expected.dtype
        np.testing.assert_array_equal(field, expected)
    for row in (0, 7, len(source) - 1):
        inputs, label = source[row]
        np.testing.assert_array_equal(inputs, split.inputs[row])
        assert label == split.labels[row]
        assert label.dtype == np.int32


@pytest.mark.parametrize("num_validation", [0, 15])
@pytest.mark.parametrize("name", NAMES)
def test_the_rows_are_those_that_load_gives(name, num_validation, prepared):
    _, data_dir = prepared(name)
    options = {"data_dir": data_dir, "num_validation": num_validation, "seed": 2}
    _assert_equal(data.open_train(name, **options), data.load(name, **options).train)


@pytest.mark.parametrize("num_validation", [0, 400])
def test_the_digits_are_those_that_load_gives(num_validation):
    options = {"num_validation": num_validation, "seed": 5}
    _assert_equal(data.open_train("digits", **options), data.load("digits", **options).train)


def test_open_train_prepares_what_is_not_prepared(make_archives, manual_copy, monkeypatch):
    spec, files, expected = make_archives("mnist")
    monkeypatch.setitem(loading._SPECS, "mnist", lambda: spec)
    source = data.open_train("mnist", data_dir=manual_copy(spec, files))
    read = source.read_rows(np.arange(40))
    assert sorted(image.tobytes() for image in read.inputs) == sorted(image.tobytes() for image in expected["train"][0])


def test_rows_come_in_the_order_asked_for_and_more_than_once(prepared):
    _, data_dir = prepared("mnist")
    rows = np.array([31, 2, 2, 39, 0], np.int32)
    read = data.open_train("mnist", data_dir=data_dir).read_rows(rows)
    np.testing.assert_array_equal(read.inputs, data.load("mnist", data_dir=data_dir).train.inputs[rows])


def test_a_stream_of_records_is_that_of_the_arrays(prepared):
    _, data_dir = prepared("cifar10")
    options = {"data_dir": data_dir, "num_validation": 7}
    train = data.load("cifar10", **options).train
    settings = {"order": lambda epoch: np.random.default_rng(epoch).permutation(33), "batch_size": 4, "num_steps": 30}
    streams = [
        data.stream(source, **settings, num_threads=3)
        for source in (data.open_train("cifar10", **options), data.ArraySource(train))
    ]
    for records, arrays in zip(*streams, strict=True):
        np.testing.assert_array_equal(records.inputs, arrays.inputs)
        np.testing.assert_array_equal(records.labels, arrays.labels)


@pytest.mark.parametrize("num_validation", [0, 15])
def test_a_source_can_be_pickled_and_read_by_threads(prepared, num_validation):
    _, data_dir = prepared("mnist")
    source = data.open_train("mnist", data_dir=data_dir, num_validation=num_validation)
    whole = source.read_rows(np.arange(len(source)))
    copy = pickle.loads(pickle.dumps(source))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        examples = list(pool.map(copy.__getitem__, [*range(len(source))] * 5))
    np.testing.assert_array_equal(np.stack([inputs for inputs, _ in examples]), np.tile(whole.inputs, (5, 1, 1, 1)))
    np.testing.assert_array_equal([label for _, label in examples], np.tile(whole.labels, 5))


@pytest.mark.parametrize("row", [-1, 3])
def test_a_row_that_is_not_there_is_refused(row):
    arrays = data.ArraySource(data.Split(np.zeros((3, 2)), np.zeros(3, np.int32)))
    for source in (arrays, Subset(data.ArraySource(data.Split(np.zeros((9, 2)), np.zeros(9))), np.array([4, 0, 8]))):
        with pytest.raises(IndexError, match=f"row is {row}; expected 0 <= row < 3"):
            source[row]


def test_a_row_beyond_the_records_is_no_damage(prepared):
    _, data_dir = prepared("mnist")
    with pytest.raises(IndexError, match="row is 40; expected 0 <= row < 40"):
        data.open_train("mnist", data_dir=data_dir)[40]


def test_arrays_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="one label for each input, got 3 and 4"):
        data.ArraySource(data.Split(np.zeros((3, 2)), np.zeros(4, np.int32)))


def test_an_unknown_name_and_a_bad_number_are_refused():
    with pytest.raises(ValueError, match="name is 'svhn'; expected one of digits, mnist, fashion_mnist, cifar10"):
        data.open_train("svhn")
    for num_validation in (-1, 1437):
        with pytest.raises(ValueError, match=f"num_validation is {num_validation}; expected 0"):
            data.open_train("digits", num_validation=num_validation)


@pytest.mark.parametrize("name", NAMES)
def test_absent_and_offline(name, tmp_path, monkeypatch):
    monkeypatch.setattr(raw_files, "unreachable", lambda url: "no network")
    with pytest.raises(data.DatasetUnavailableError, match=rf"The data set {name} "):
        data.open_train(name, data_dir=tmp_path)


def test_a_damaged_shard_is_refused_with_folder_and_remedy(prepared):
    spec, data_dir = prepared("mnist")
    folder = spec.prepared_dir(data_dir)
    (shard,) = folder.glob("mnist-train.array_record*")
    shard.write_bytes(shard.read_bytes()[: shard.stat().st_size // 2])
    source = data.open_train("mnist", data_dir=data_dir)
    with pytest.raises(data.DatasetCorruptError, match=f"Delete {folder} and run again"):
        source[0]


def test_a_copy_with_fewer_images_is_refused(prepared):
    spec, data_dir = prepared("mnist")
    info_file = spec.prepared_dir(data_dir) / "dataset_info.json"
    info = json.loads(info_file.read_text())
    info["splits"][0]["shardLengths"] = ["39"]
    info_file.write_text(json.dumps(info))
    with pytest.raises(data.DatasetCorruptError, match=r"train split .* has 39 images, expected 40"):
        data.open_train("mnist", data_dir=data_dir)


def test_labels_out_of_range_are_refused_as_they_are_read(prepared):
    spec, data_dir = prepared("mnist")
    fewer = dataclasses.replace(spec, num_classes=1)
    records = Records(fewer, spec.prepared_dir(data_dir), "train", Exact(spec.image_shape))
    with pytest.raises(data.DatasetCorruptError, match=r"labels in .*, expected 0\.\.0"):
        records.read_rows(np.arange(40))


def by_label():
    """Inputs and labels whose [] does not go by position."""
    return data.Split(Column(np.arange(8).reshape(4, 2)), Column(np.arange(4, dtype=np.int32)))


def test_columns_with_an_index_are_read_by_position():
    source = data.ArraySource(by_label())
    plain = data.ArraySource(data.Split(*map(np.asarray, by_label())))
    rows = np.array([3, 0, 1])
    for one, other in (
        (source, plain),
        (data.Subset(source, Column(rows)), data.Subset(plain, rows)),
        (data.Subset(source, rows.tolist()), data.Subset(plain, rows)),
    ):
        for asked in (np.array([2, 0]), [2, 0], Column(np.array([2, 0]))):
            for field, expected in zip(one.read_rows(asked), other.read_rows(np.array([2, 0])), strict=True):
                np.testing.assert_array_equal(field, expected)
    for found, expected in zip(hold_out(by_label(), 2, seed=1), hold_out(plain.examples, 2, seed=1), strict=True):
        np.testing.assert_array_equal(found.inputs, expected.inputs)
        np.testing.assert_array_equal(found.labels, expected.labels)


def test_a_mask_is_no_rows():
    source = data.ArraySource(data.Split(np.arange(4), np.arange(4, dtype=np.int32)))
    mask = np.array([True, False, True, False])
    for take in (source.read_rows, lambda rows: data.Subset(source, rows), lambda rows: EpochSubset(None, rows)):
        with pytest.raises(
            TypeError, match=r"rows must be int \[n\], got bool \[4\]; np.flatnonzero makes rows of a mask"
        ):
            take(mask)


def test_a_memory_map_is_not_read_as_a_whole(tmp_path):
    np.save(tmp_path / "inputs.npy", np.arange(8).reshape(4, 2))
    inputs = np.load(tmp_path / "inputs.npy", mmap_mode="r")
    source = data.ArraySource(data.Split(inputs, np.arange(4, dtype=np.int32)))
    assert source.examples.inputs is inputs


def test_no_rows_have_the_shape_of_any():
    class Single:
        def __init__(self, size):
            self.size = size

        def __len__(self):
            return self.size

        def __getitem__(self, row):
            return data.Split(np.full((2, 3), row, np.uint8), np.int32(row))

    inputs, labels = data.Subset(Single(5), []).read_rows([])
    assert (inputs.shape, inputs.dtype, labels.shape, labels.dtype) == ((0, 2, 3), np.uint8, (0,), np.int32)
    with pytest.raises(ValueError, match="source has no examples"):
        data.Subset(Single(0), []).read_rows([])
