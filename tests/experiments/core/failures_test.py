"""Errors of users in a line each: where, why, what to do."""

import errno
import os

import jax
import pytest

from experiments.core.failures import describe, is_told
from experiments.core.settings import SettingError
from ib_jax import training
from ib_jax.files import DamagedFileError


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "free some space, and the same command goes on"),
        (errno.EACCES, "give another folder, or the right to write there"),
        (errno.EROFS, "give a folder that can be written to"),
        (errno.ENOTDIR, "there is a file where a folder should be; give another folder"),
    ],
)
def test_what_the_operating_system_says_names_the_file_and_a_remedy(number, remedy):
    error = OSError(number, os.strerror(number), "runs/a b")
    assert is_told(error)
    assert describe(error) == f"runs/a b: {os.strerror(number)}; {remedy}"


def test_two_names_and_notes_are_told():
    error = OSError(errno.EIO, "Input/output error", "a", None, "b")
    error.add_note("Go on from step 3")
    assert describe(error) == "a -> b: Input/output error. Go on from step 3"


def test_an_error_with_a_message_of_its_own_is_told_as_it_is():
    for error in (SettingError("--x"), DamagedFileError("y"), training.SaveError("z"), FileNotFoundError("w")):
        assert is_told(error)
        assert describe(error) == str(error)


def test_too_little_memory_is_no_fault_of_the_program():
    error = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 4 bytes.\nmore")
    assert is_told(error)
    assert describe(error).startswith("not enough memory (RESOURCE_EXHAUSTED: Out of memory allocating 4 bytes. more)")
    assert is_told(MemoryError("x"))
    assert not is_told(jax.errors.JaxRuntimeError("INTERNAL: broken"))


def test_a_fault_of_the_program_is_not_told_but_by_request():
    assert not is_told(KeyError("x"))
    assert not is_told(ValueError("x"))
    assert is_told(KeyError("x"), KeyError)
