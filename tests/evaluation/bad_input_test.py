"""The table of bad inputs, continued: finished pieces of evaluations, and where they lie."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ib_jax import attacks, evaluation
from ib_jax.evaluation.suite_folder import SuiteFolder
from ib_jax.files import DamagedFileError
from tests.bad_input import Case, refused, table

AGAIN = "delete it to have its examples attacked again"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 1\n"


def apply_fn(params, keys, inputs):
    return jnp.concatenate([inputs, 1.0 - inputs], -1)


RUN = attacks.Runner(attacks.fgsm(0.2), apply_fn)


def in_chunks(folder, count=3):
    inputs = jnp.linspace(0.6, 0.9, count)[:, None]
    return evaluation.attack_in_chunks(
        RUN, None, jax.random.key(0), inputs, jnp.zeros(count, int), chunk_size=2, folder=folder
    )


def chunk(damage, file="from_000000002.npz"):
    """Attacks in chunks, damages a file of the folder, and asks again."""

    def attack(folder):
        in_chunks(folder)
        (folder / file).write_bytes(damage((folder / file).read_bytes()))
        in_chunks(folder)

    return attack


def of_other_examples(folder):
    in_chunks(folder)
    (folder / "from_000000002.npz").write_bytes((folder / "from_000000000.npz").read_bytes())
    in_chunks(folder)


def onto_a_file(make):
    def attack(folder):
        (folder / "file").write_text("x", encoding="utf-8")
        make(folder / "file")

    return attack


def suite(damage, file):
    """Keeps an attack of a suite, damages a file of the folder, and asks for it again."""

    def read(folder):
        open_suite(folder).write(0, {"answers": np.arange(3)})
        (folder / file).write_bytes(damage((folder / file).read_bytes()))
        open_suite(folder).read(0)

    return read


open_suite = functools.partial(SuiteFolder, specs=[], content=np.ones(2), told={})


CASES = [
    Case("a bucket", lambda _: in_chunks("gs://b/x"), ValueError, ("folder", "'gs://b/x'", "mount the bucket")),
    Case("a bucket for a suite", lambda _: open_suite("s3://b"), ValueError, ("folder", "'s3://b'")),
    Case("a file", onto_a_file(in_chunks), FileExistsError, ("folder is 'DIR/file'", "can be written to")),
    Case("a file for a suite", onto_a_file(open_suite), FileExistsError, ("folder is 'DIR/file'", "can be written to")),
    Case("a chunk cut", chunk(lambda all_: all_[:-30]), DamagedFileError, ("DIR/from_000000002.npz is damaged", AGAIN)),
    Case("a chunk empty", chunk(lambda _: b""), DamagedFileError, ("from_000000002.npz is damaged (empty)", AGAIN)),
    Case("a chunk zeros", chunk(lambda all_: bytes(len(all_))), DamagedFileError, ("nothing but zeros", AGAIN)),
    Case("a chunk a pointer", chunk(lambda _: POINTER), DamagedFileError, ("from_000000002.npz", "git lfs pull")),
    Case(
        "a byte of a chunk",
        chunk(lambda all_: all_[:150] + bytes([all_[150] ^ 1]) + all_[151:]),
        DamagedFileError,
        ("DIR/from_000000002.npz is damaged", AGAIN),
    ),
    Case(
        "a chunk of others",
        of_other_examples,
        DamagedFileError,
        ("from_000000002.npz", "2 examples, expected 1", AGAIN),
    ),
    Case(
        "the statement cut",
        chunk(lambda all_: all_[:9], "evaluation.json"),
        DamagedFileError,
        ("DIR/evaluation.json is damaged", "delete the folder DIR"),
    ),
    Case(
        "the statement a list",
        chunk(lambda _: b"[]", "evaluation.json"),
        DamagedFileError,
        ("DIR/evaluation.json", "a list where an object is expected", "delete the folder DIR"),
    ),
    Case(
        "an attack of a suite cut",
        suite(lambda all_: all_[:100], "attack_000.npz"),
        DamagedFileError,
        ("DIR/attack_000.npz is damaged", "delete it to have its attack made again"),
    ),
    Case(
        "a suite's statement of zeros",
        suite(lambda all_: bytes(len(all_)), "suite.json"),
        DamagedFileError,
        ("DIR/suite.json", "nothing but zeros", "delete the folder DIR"),
    ),
]


@table(*CASES)
def test_it_is_refused_in_one_line_that_says_what_to_do(case, tmp_path):
    refused(case, tmp_path)


def test_after_the_remedy_the_same_call_goes_on(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    expected = in_chunks("~/日本 [x]")
    folder = tmp_path / "日本 [x]"
    (folder / "from_000000002.npz").write_bytes(b"")
    with pytest.raises(DamagedFileError):
        in_chunks(folder)
    assert json.loads((folder / "evaluation.json").read_bytes())["chunk_size"] == 2
    (folder / "from_000000002.npz").unlink()
    jax.tree.map(np.testing.assert_array_equal, in_chunks(folder), expected)
