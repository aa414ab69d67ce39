"""One run at a time in a folder: who else comes is told who works there, and a kill leaves nothing that counts."""

import contextlib
import errno
import fcntl
import json
import os

import pytest

from experiments.core import locks
from experiments.core.workdir import WorkdirError


@contextlib.contextmanager
def another_run(folder):
    """Holds a folder as another process would: by an open file of its own, which the end of a process closes."""
    file = os.open(folder / locks.LOCK, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.write(file, json.dumps({"process": 7, "host": "another", "since": "2026-11-29 12:00:00"}).encode())
        yield
    finally:
        os.close(file)


def test_another_run_is_kept_out_until_the_end(tmp_path):
    folder = tmp_path / "new" / "run"
    with locks.hold(folder):
        with pytest.raises(BlockingIOError), another_run(folder):
            pass
        with locks.hold(str(folder)):  # the same process may, for a part of its work
            pass
        with pytest.raises(BlockingIOError), another_run(folder):
            pass
    assert not folder.exists()  # as it was
    folder.mkdir()
    with locks.hold(folder):
        pass
    assert list(folder.iterdir()) == []
    with another_run(folder):
        pass


def test_the_message_says_who_works_there(tmp_path):
    message = (
        rf"{tmp_path} is in use by another run \(process 7 on another, since 2026-11-29 12:00:00\); wait for its end, "
        "or give another folder"
    )
    with another_run(tmp_path), pytest.raises(WorkdirError, match=message), locks.hold(tmp_path):
        pass
    assert (tmp_path / locks.LOCK).exists()  # as a kill leaves it: nobody holds it
    with locks.hold(tmp_path):
        pass
    assert not (tmp_path / locks.LOCK).exists()


def test_what_a_killed_run_left_half_written_is_removed(tmp_path):
    (tmp_path / "results").mkdir()
    for name in (".results.json.123.partial", "results/.a.json.7.partial"):
        (tmp_path / name).write_bytes(b"{")
    with locks.hold(tmp_path):
        assert [path.name for path in tmp_path.rglob(".*.partial")] == []


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP])
def test_where_there_are_no_locks_nobody_is_kept_out(tmp_path, monkeypatch, number):
    def flock(file, how):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with locks.hold(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_is_an_error_of_the_file_system(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="file"), locks.hold(tmp_path / "file" / "run"):
        pass
