"""Small synthetic archives in the official formats, with the checksums and sizes to go with them."""

import dataclasses
import gzip
import hashlib
import io
import struct
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from ib_jax.data import cifar10, loading, mnist
from ib_jax.data.dataset import Split
from ib_jax.data.imagenet import imagenet_spec
from ib_jax.data.quiet import no_progress_bars
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


@pytest.fixture(scope="session")
def make_imagenet_copy() -> Callable[..., None]:
    """Prepares examples {split: [(file name, label, encoded image)]} as the official builder of that name would."""

    def make(
        data_dir: Path, name: str, splits: dict[str, list[tuple[str, int, bytes]]], config: str | None = None
    ) -> None:
        import tensorflow_datasets as tfds

        official = tfds.builder_cls(name)

        class Prepared(official, skip_registration=True):
            """The official builder but for where its examples come from."""

            def _split_generators(self, dl_manager: object) -> dict:
                del dl_manager
                return {split: self._generate_examples(examples) for split, examples in splits.items()}

            def _generate_examples(self, examples: list) -> Iterator:
                for file_name, label, encoded in examples:
                    # An open file, whose bytes go into the record as they are.
                    yield file_name, {"file_name": file_name, "image": io.BytesIO(encoded), "label": label}

        Prepared.name = name
        with no_progress_bars():
            Prepared(data_dir=data_dir, config=config, file_format="array_record").download_and_prepare()

    return make


def photo(rng: np.random.Generator, width: int, height: int, mode: str = "RGB") -> Image.Image:
    """An image without sharp edges, so that JPEG changes little."""
    coarse = rng.integers(0, 256, (6, 6, 3), np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).convert(mode)


def encode(image: Image.Image, file_format: str = "jpeg") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format)
    return buffer.getvalue()


def imagenet_examples(split: str, size: int) -> list[tuple[str, int, bytes]]:
    """Images as ImageNet has them: of many sizes, some grey, some CMYK, one a PNG by the name of a JPEG."""
    rng = np.random.default_rng(size)
    shapes = [(50, 37), (37, 50), (40, 40), (300, 260), (21, 20), (90, 30), (13, 70)]
    modes = ["RGB", "RGB", "RGB", "L", "RGB", "CMYK", "RGB", "RGB", "RGB"]
    examples = []
    for index in range(size):
        image = photo(rng, *shapes[index % len(shapes)], modes[index % len(modes)])
        encoded = encode(image, "png" if index == 4 else "jpeg")
        examples.append((f"{split}_{index:08d}.JPEG", (index * 37 + 963) % 1000, encoded))
    return examples


class ImageNet(NamedTuple):
    """A small copy of ImageNet: where it lies, its spec, and by its rows (file name, label, encoded image)."""

    data_dir: Path
    spec: ImageSpec
    rows: dict[str, list[tuple[str, int, bytes]]]


@pytest.fixture(scope="session")
def imagenet_copy(tmp_path_factory: pytest.TempPathFactory, make_imagenet_copy: Callable[..., None]) -> ImageNet:
    import tensorflow_datasets as tfds

    data_dir = tmp_path_factory.mktemp("imagenet")
    examples = {"train": imagenet_examples("train", 26), "validation": imagenet_examples("validation", 23)}
    make_imagenet_copy(data_dir, "imagenet2012", examples)
    spec = dataclasses.replace(imagenet_spec(), split_sizes={"train": 26, "validation": 23})
    # tensorflow-datasets shuffles what it writes; the names tell which is which, read here without our reader.
    rows = {}
    for split, written in examples.items():
        by_name = {example[0]: example for example in written}
        stored = tfds.data_source(
            "imagenet2012", split=split, data_dir=data_dir, decoders={"image": tfds.decode.SkipDecoding()}
        )
        rows[split] = [by_name[record["file_name"].decode()] for record in stored]
    return ImageNet(data_dir, spec, rows)


@pytest.fixture
def imagenet(imagenet_copy: ImageNet, monkeypatch: pytest.MonkeyPatch) -> ImageNet:
    """The small copy, which goes by the name of imagenet2012."""
    monkeypatch.setitem(loading._STREAMED, "imagenet2012", lambda: imagenet_copy.spec)
    return imagenet_copy


@pytest.fixture(scope="session")
def make_photo() -> Callable[..., Image.Image]:
    return photo


@pytest.fixture(scope="session")
def encode_image() -> Callable[..., bytes]:
    return encode
