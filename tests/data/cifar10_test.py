import gzip

import numpy as np
import pytest

from ib_jax.data import DatasetCorruptError
from ib_jax.data.cifar10 import cifar10_spec, parse_batch, read_raw

ARCHIVE = "cifar-10-binary.tar.gz"


@pytest.fixture
def members(make_archives, make_cifar10_members):
    _, _, splits = make_archives("cifar10")
    return make_cifar10_members(splits)


@pytest.fixture
def read(tmp_path):
    def read_bytes(data):
        (tmp_path / ARCHIVE).write_bytes(data)
        return read_raw({ARCHIVE: tmp_path / ARCHIVE})

    return read_bytes


def test_records_are_label_then_colour_planes_row_by_row():
    planes = np.arange(3 * 32 * 32).reshape(3, 32, 32) % 251
    batch = parse_batch(bytes([9]) + planes.astype(np.uint8).tobytes())
    assert batch.labels.tolist() == [9]
    assert batch.inputs.shape == (1, 32, 32, 3)
    for row, column, channel in ((0, 0, 0), (0, 1, 0), (1, 0, 0), (5, 7, 1), (31, 31, 2)):
        assert batch.inputs[0, row, column, channel] == (channel * 1024 + row * 32 + column) % 251


@pytest.mark.parametrize("length", [0, 1, 3072, 3074])
def test_a_broken_batch_is_refused(length):
    with pytest.raises(DatasetCorruptError, match=rf"has {length} bytes, expected a positive multiple of 3073"):
        parse_batch(bytes(length))


def test_the_archive_is_read_in_the_order_of_its_batches(make_archives, read):
    _, files, splits = make_archives("cifar10")
    raw = read(files[ARCHIVE])
    assert raw.label_names == tuple(f"class{index}" for index in range(10))
    for name, expected in splits.items():
        np.testing.assert_array_equal(raw.splits[name].inputs, expected.inputs)
        np.testing.assert_array_equal(raw.splits[name].labels, expected.labels)


def test_the_order_of_the_members_does_not_matter(make_archives, members, make_tar_gz, read):
    _, _, splits = make_archives("cifar10")
    raw = read(make_tar_gz(dict(reversed(members.items()))))
    np.testing.assert_array_equal(raw.splits["train"].inputs, splits["train"].inputs)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_archive_is_refused(make_archives, read, share):
    data = make_archives("cifar10")[1][ARCHIVE]
    with pytest.raises(DatasetCorruptError, match=ARCHIVE):
        read(data[: int(share * len(data))])


def test_an_archive_cut_before_compression_is_refused(make_archives, read):
    data = gzip.decompress(make_archives("cifar10")[1][ARCHIVE])
    with pytest.raises(DatasetCorruptError, match=ARCHIVE):
        read(gzip.compress(data[: len(data) // 2]))


def test_a_missing_batch_is_refused_by_name(members, make_tar_gz, read):
    del members["cifar-10-batches-bin/data_batch_3.bin"]
    with pytest.raises(DatasetCorruptError, match=r"lacks cifar-10-batches-bin/data_batch_3\.bin"):
        read(make_tar_gz(members))


def test_a_short_list_of_classes_is_refused(members, make_tar_gz, read):
    members["cifar-10-batches-bin/batches.meta.txt"] = b"cat\ndog\n"
    with pytest.raises(DatasetCorruptError, match="names 2 classes, expected 10"):
        read(make_tar_gz(members))


def test_the_official_archive_is_known():
    spec = cifar10_spec()
    (file,) = spec.files
    assert file.name == ARCHIVE
    assert file.num_bytes > 10**8
    assert spec.split_sizes == {"train": 50_000, "test": 10_000}
