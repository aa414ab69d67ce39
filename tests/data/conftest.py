"""Small synthetic archives in the official formats, with the checksums and sizes to go with them."""

import dataclasses
import gzip
import hashlib
import io
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ib_jax.data import cifar10, mnist
from ib_jax.data.dataset import Split
from ib_jax.data.spec import ImageSpec, RawFile

SIZES = {"train": 40, "test": 12}
LABEL_NAMES = [f"class{index}" for index in range(10)]
MakeArchives = Callable[[str], tuple[ImageSpec, dict[str, bytes], dict[str, Split]]]


def idx_bytes(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


def tar_gz(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def _splits(rng: np.random.Generator, shape: tuple[int, int, int]) -> dict[str, Split]:
    return {
        name: Split(rng.integers(0, 256, (size, *shape), np.uint8), rng.integers(0, 10, size, np.int32))
        for name, size in SIZES.items()
    }


def _mnist_files(splits: dict[str, Split]) -> dict[str, bytes]:
    files = {}
    for prefix, split in (("train", splits["train"]), ("t10k", splits["test"])):
        files[f"{prefix}-images-idx3-ubyte.gz"] = gzip.compress(idx_bytes(split.inputs[..., 0]))
        files[f"{prefix}-labels-idx1-ubyte.gz"] = gzip.compress(idx_bytes(split.labels))
    return files


def cifar10_members(splits: dict[str, Split]) -> dict[str, bytes]:
    def records(split: Split) -> np.ndarray:
        # Written pixel by pixel, unlike the reader's transpose.
        rows = [
            [label, *(image[row, column, channel] for channel in range(3) for row in range(32) for column in range(32))]
            for image, label in zip(split.inputs, split.labels, strict=True)
        ]
        return np.array(rows, np.uint8)

    members = {"cifar-10-batches-bin/batches.meta.txt": ("\n".join(LABEL_NAMES) + "\n\n").encode()}
    for index, batch in enumerate(np.split(records(splits["train"]), 5), start=1):
        members[f"cifar-10-batches-bin/data_batch_{index}.bin"] = batch.tobytes()
    members["cifar-10-batches-bin/test_batch.bin"] = records(splits["test"]).tobytes()
    return members


def with_files(spec: ImageSpec, files: dict[str, bytes]) -> ImageSpec:
    """The spec with these files as the official ones."""
    urls = {file.name: file.url for file in spec.files}
    raw = (RawFile(name, urls[name], len(data), hashlib.sha256(data).hexdigest()) for name, data in files.items())
    return dataclasses.replace(spec, files=tuple(raw))


def put(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)


@pytest.fixture
def make_archives() -> MakeArchives:
    """name -> (spec, raw files, what they hold)."""

    def make(name: str) -> tuple[ImageSpec, dict[str, bytes], dict[str, Split]]:
        specs = {"mnist": mnist.mnist_spec, "fashion_mnist": mnist.fashion_mnist_spec, "cifar10": cifar10.cifar10_spec}
        spec = dataclasses.replace(specs[name](), split_sizes=SIZES)
        splits = _splits(np.random.default_rng(len(name)), spec.image_shape)
        if name == "cifar10":
            files = {"cifar-10-binary.tar.gz": tar_gz(cifar10_members(splits))}
        else:
            files = _mnist_files(splits)
        return with_files(spec, files), files, splits

    return make


@pytest.fixture
def manual_copy(tmp_path: Path) -> Callable[[ImageSpec, dict[str, bytes]], Path]:
    """Puts raw files into the manual folder of a fresh data directory, and returns that directory."""

    def copy(spec: ImageSpec, files: dict[str, bytes]) -> Path:
        put(tmp_path / "downloads" / "manual" / spec.name, files)
        return tmp_path

    return copy


@pytest.fixture
def reseal() -> Callable[[ImageSpec, dict[str, bytes]], ImageSpec]:
    """Makes changed raw files the official ones, so that they get past the checksums to the reader."""
    return with_files


@pytest.fixture
def make_tar_gz() -> Callable[[dict[str, bytes]], bytes]:
    return tar_gz


@pytest.fixture
def make_cifar10_members() -> Callable[[dict[str, Split]], dict[str, bytes]]:
    return cifar10_members


@pytest.fixture
def make_idx() -> Callable[[np.ndarray], bytes]:
    return idx_bytes
