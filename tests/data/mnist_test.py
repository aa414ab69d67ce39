import gzip

import numpy as np
import pytest

from ib_jax.data import DatasetCorruptError
from ib_jax.data.mnist import fashion_mnist_spec, mnist_spec, parse_idx, read_idx

HEADER = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3])  # two images of 1 x 3
WHOLE = HEADER + bytes([1, 2, 3, 250, 251, 252])


def test_handmade_images():
    images = parse_idx(WHOLE, 3)
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images, [[[1, 2, 3]], [[250, 251, 252]]])


def test_sizes_are_big_endian():
    assert parse_idx(bytes([0, 0, 8, 1, 0, 0, 1, 0]) + bytes(256), 1).shape == (256,)


@pytest.mark.parametrize("data", [WHOLE[:-1], WHOLE + b"\0"], ids=["short", "long"])
def test_another_length_is_refused(data):
    with pytest.raises(DatasetCorruptError, match=rf"images: has {len(data)} bytes, expected exactly 22"):
        parse_idx(data, 3, where="images")


@pytest.mark.parametrize("length", [4, 7, 15])
def test_a_broken_header_is_refused(length):
    with pytest.raises(DatasetCorruptError, match=f"after {length} of 16 bytes"):
        parse_idx(WHOLE[:length], 3)


@pytest.mark.parametrize("magic", [b"", b"\0\0\x08", b"\0\0\x08\x01", b"\0\0\x0d\x03", b"\x01\0\x08\x03", b"\x89PNG"])
def test_another_magic_number_is_refused(magic):
    with pytest.raises(DatasetCorruptError, match=rf"0x{magic.hex()}, expected 0x00000803"):
        parse_idx(magic + WHOLE[4:] if len(magic) == 4 else magic, 3)


def test_absurd_dimensions_are_refused():
    with pytest.raises(DatasetCorruptError, match="expected exactly"):
        parse_idx(bytes([0, 0, 8, 3]) + b"\xff" * 12 + bytes(6), 3)


def test_a_compressed_file_is_read(tmp_path):
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(WHOLE))
    assert read_idx(path, 3).shape == (2, 1, 3)


@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: data[:-3], lambda data: b"no gzip", lambda data: b""]
)
def test_a_broken_compressed_file_is_refused_by_name(tmp_path, damage):
    path = tmp_path / "images.gz"
    path.write_bytes(damage(gzip.compress(WHOLE)))
    with pytest.raises(DatasetCorruptError, match=r"images\.gz"):
        read_idx(path, 3)


@pytest.mark.parametrize("spec", [mnist_spec(), fashion_mnist_spec()], ids=lambda spec: spec.name)
def test_the_official_files_are_known(spec):
    assert {file.name for file in spec.files} == {
        f"{split}-{kind}-ubyte.gz" for split in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")
    }
    assert all(len(file.sha256) == 64 and file.url.endswith(file.name) and file.num_bytes > 0 for file in spec.files)
    assert spec.split_sizes == {"train": 60_000, "test": 10_000}
