"""The table of bad inputs: paths, environments and copies of data sets."""

import dataclasses
import os
import pathlib
import pwd
import resource
from unittest import mock

import numpy as np

from ib_jax import data
from ib_jax.data import cifar10, mnist, source
from ib_jax.files import DamagedFileError
from tests.bad_input import Case, refused, table
from tests.data import conftest

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 1\n"
MOUNT = "mount the bucket"
TFDS = ("data_dir=", "TFDS_DATA_DIR")
ADVICE = ("Delete DIR/mnist/3.0.1 and run again",)


def at_home(call, **environment):
    """Calls where the user has no home, and with these variables of the environment."""

    def without(folder):
        kept = {name: value for name, value in os.environ.items() if name not in ("HOME", "TFDS_DATA_DIR")}
        nobody = mock.patch.object(pwd, "getpwuid", side_effect=KeyError("uid not found"))
        with nobody, mock.patch.dict(os.environ, kept | environment, clear=True):
            call(folder)

    return without


def official(name):
    """Makes a small data set whose raw files lie in the manual folder: its spec, and the files."""

    def make(folder):
        spec = {"mnist": mnist.mnist_spec, "cifar10": cifar10.cifar10_spec}[name]()
        splits = conftest._splits(np.random.default_rng(0), spec.image_shape)
        spec = dataclasses.replace(spec, split_sizes=conftest.SIZES)
        files = conftest._mnist_files(splits)
        if name == "cifar10":
            files = {"cifar-10-binary.tar.gz": conftest.tar_gz(conftest.cifar10_members(splits))}
        spec = conftest.with_files(spec, files)
        conftest.put(folder / "downloads/manual" / name, files)
        return spec, files

    return make


def copy_with(file, damage):
    """Prepares a small MNIST, damages a file of the copy, and loads it."""

    def load(folder):
        spec, _ = official("mnist")(folder)
        source.load_splits(spec, folder)
        path = spec.prepared_dir(folder) / file
        path.write_bytes(damage(path.read_bytes()))
        source.load_splits(spec, folder)

    return load


def raw_with(name, file, damage, *, sealed):
    """Damages a raw file; sealed: with the checksum of the damaged one, which then gets as far as its reader."""

    def load(folder):
        spec, files = official(name)(folder)
        files[file] = damage(files[file])
        conftest.put(folder / "downloads/manual" / name, files)
        source.load_splits(conftest.with_files(spec, files) if sealed else spec, folder)

    return load


def disk_full(folder):
    spec, _ = official("mnist")(folder)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, limits[1]))
    try:
        source.load_splits(spec, folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert not list((folder / "mnist").iterdir()), "something is left"


def in_the_way(folder):
    spec, _ = official("mnist")(folder)
    (folder / "mnist").write_text("a file", encoding="utf-8")
    source.load_splits(spec, folder)


def below_a_file(folder):
    (folder / "file").write_text("x", encoding="utf-8")
    data.load("mnist", data_dir=folder / "file" / "sets")


def save_tokenizer(folder):
    (folder / "file").write_text("x", encoding="utf-8")
    words().save(folder / "file")


def words():
    return data.word_tokenizer(["a film"], max_length=9, vocab_size=9)


PATHS = [
    Case("a bucket", lambda _: data.load("mnist", data_dir="gs://b/x"), ValueError, ("data_dir", "'gs://b/x'", MOUNT)),
    Case(
        "a bucket of texts",
        lambda _: data.load_text("imdb_reviews", data_dir="s3://b"),
        ValueError,
        ("data_dir", "'s3://b'", MOUNT),
    ),
    Case(
        "a server of images",
        lambda _: data.open_split("imagenet2012", "validation", data_dir="https://b/x"),
        ValueError,
        ("data_dir", "'https://b/x'", MOUNT),
    ),
    Case(
        "a bucket, corrupted",
        lambda _: data.open_corrupted("cifar10", "fog", 1, data_dir="gs://b"),
        ValueError,
        ("data_dir", "'gs://b'", MOUNT),
    ),
    Case(
        "a bucket in the environment",
        at_home(lambda _: data.load("mnist"), TFDS_DATA_DIR="gs://b/x"),
        ValueError,
        ("TFDS_DATA_DIR", "'gs://b/x'", MOUNT),
    ),
    Case("no home", at_home(lambda _: data.load("mnist")), data.DatasetUnavailableError, TFDS),
    Case("no home, texts", at_home(lambda _: data.load_text("imdb_reviews")), data.DatasetUnavailableError, TFDS),
    Case(
        "no home, empty variable",
        at_home(lambda _: data.load("mnist"), TFDS_DATA_DIR=""),
        RuntimeError,
        ("home", *TFDS),
    ),
    Case("no home, ~ given", at_home(lambda _: data.load("mnist", data_dir="~/x")), ValueError, ("data_dir", "'~/x'")),
    Case("empty", lambda _: data.load("mnist", data_dir=""), ValueError, ("data_dir",)),
    Case("below a file", below_a_file, NotADirectoryError, ("data_dir", "DIR/file is a file", "give a folder")),
    Case("a text file in a bucket", lambda _: data.read_text_file("gs://b/a.csv"), ValueError, ("path", MOUNT)),
    Case("no such text file", lambda at: data.read_text_file(at / "a.csv"), FileNotFoundError, ("path", "DIR/a.csv")),
    Case("no such text file at home", lambda _: data.read_text_file("~/no/a.csv"), FileNotFoundError, ("/no/a.csv'",)),
    Case("no such user", lambda _: data.read_text_file("~nobody1/a.csv"), ValueError, ("path", "'~nobody1/a.csv'")),
    Case(
        "a folder of texts",
        lambda at: data.read_text_file((at / "a.csv").mkdir() or at / "a.csv"),
        IsADirectoryError,
        ("path", "DIR/a.csv", "give a file"),
    ),
    Case(
        "a tokeniser in a bucket", lambda _: data.load_tokenizer("gs://b", max_length=9), ValueError, ("folder", MOUNT)
    ),
    Case("a tokeniser onto a file", save_tokenizer, FileExistsError, ("folder", "DIR/file", "can be written to")),
]
COPIES = [
    Case(
        "records empty",
        copy_with("mnist-train.array_record-00000-of-00001", lambda written: b""),
        data.DatasetCorruptError,
        ("mnist-train.array_record-00000-of-00001 is empty", *ADVICE),
    ),
    Case(
        "records cut",
        copy_with("mnist-test.array_record-00000-of-00001", lambda written: written[:-1]),
        data.DatasetCorruptError,
        ("the prepared copy in DIR/mnist/3.0.1 could not be read", *ADVICE),
    ),
    Case(
        "records a pointer",
        copy_with("mnist-test.array_record-00000-of-00001", lambda written: POINTER),
        data.DatasetCorruptError,
        ("mnist-test.array_record-00000-of-00001 is only the pointer that git-lfs", *ADVICE),
    ),
    Case("info cut", copy_with("dataset_info.json", lambda written: written[:99]), DamagedFileError, ADVICE),
    Case(
        "features of zeros", copy_with("features.json", lambda written: bytes(99)), DamagedFileError, ("zeros", *ADVICE)
    ),
    Case("features a list", copy_with("features.json", lambda written: b"[]"), DamagedFileError, ADVICE),
    Case(
        "raw file of another size",
        raw_with("mnist", "t10k-labels-idx1-ubyte.gz", lambda written: written[:-1], sealed=False),
        data.DatasetCorruptError,
        ("DIR/downloads/manual/mnist/t10k-labels-idx1-ubyte.gz", "bytes with sha256", "Replace it with https://"),
    ),
    Case(
        "raw file cut",
        raw_with("mnist", "train-images-idx3-ubyte.gz", lambda written: written[:-9], sealed=True),
        data.DatasetCorruptError,
        ("train-images-idx3-ubyte.gz", "expected a whole gzip file"),
    ),
    Case(
        "archive cut",
        raw_with("cifar10", "cifar-10-binary.tar.gz", lambda written: written[:5000], sealed=True),
        data.DatasetCorruptError,
        ("DIR/downloads/manual/cifar10/cifar-10-binary.tar.gz", "whole"),
    ),
    Case("a file in the way", in_the_way, NotADirectoryError, ("mnist cannot be written to DIR/mnist", "data_dir")),
    Case("disk full", disk_full, OSError, ("mnist cannot be written to DIR/mnist/3.0.1", "too large", "give it space")),
]


@table(*PATHS, *COPIES)
def test_it_is_refused_in_one_line_that_says_what_to_do(case, tmp_path):
    refused(case, tmp_path)


def test_every_file_is_meant_as_it_is_written(tmp_path, monkeypatch):
    """Home, spaces, brackets, backslashes, other alphabets: the right values beside the table of wrong ones."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("a b", "[x] y[0:3]", "back\\slash", "日本 é", "star*?", "~"):
        folder = pathlib.Path(tmp_path, name)
        spec, _ = official("mnist")(folder)
        assert (
            len(source.load_splits(spec, source.resolve_data_dir(f"~/{name}"))["test"].labels) == conftest.SIZES["test"]
        )
        (folder / "a.csv").write_text("sentence,label\ngood,1\n", encoding="utf-8-sig")
        assert data.read_text_file(f"~/{name}/a.csv").texts == ("good",)
        words().save(f"~/{name}/tokeniser")
        assert data.load_tokenizer(f"~/{name}/tokeniser", max_length=9).vocab_size == words().vocab_size
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ("a b", "[x] y[0:3]", "back\\slash", "日本 é", "star*?", "~")
    )
