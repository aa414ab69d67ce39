"""One run at a time in a folder: a lock of the operating system, which ends with the process that holds it."""

import contextlib
import errno
import json
import os
import pathlib
import platform
import time
from collections.abc import Iterator
from typing import Any

from experiments.core.workdir import WorkdirError
from ib_jax import training

LOCK = ".lock"
_held: dict[str, int] = {}
"""How often this process holds each folder."""


@contextlib.contextmanager
def hold(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Keeps other runs out of a folder, which is made if it is not there.

    Process 0 holds it for all processes of its run, which all call this. A process may hold a folder more than once. A
    killed run holds nothing; what it left half written is removed. Where the file system has no locks, nobody is kept
    out.

    Raises:
      WorkdirError: another run works in the folder; the message says which.
      OSError: the folder cannot be made.
    """
    folder, refusal = pathlib.Path(folder).absolute(), ""
    key, file, new = str(folder), None, not folder.exists()

    def take() -> None:
        nonlocal file, refusal
        folder.mkdir(parents=True, exist_ok=True)
        try:
            file = _take(folder / LOCK)
        except WorkdirError as error:
            refusal = str(error)
            return
        for partial in folder.rglob(".*.partial"):
            partial.unlink(missing_ok=True)

    if not _held.get(key):
        training.on_main(take)
        if training.any_process(bool(refusal)):
            raise WorkdirError(refusal or f"{folder} is in use by another run; see what process 0 says")
    _held[key] = _held.get(key, 0) + 1
    try:
        yield
    finally:
        _held[key] -= 1
        if not _held[key] and file is not None:
            with contextlib.suppress(OSError):
                (folder / LOCK).unlink()
            os.close(file)
            if new:  # a run that was refused leaves nothing behind
                with contextlib.suppress(OSError):
                    folder.rmdir()


def _take(path: pathlib.Path) -> int | None:
    """The open file that is the lock; None where there are no locks."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        return None
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            told = os.pread(file, 1000, 0)
            os.close(file)
            if error.errno in (errno.ENOLCK, errno.ENOTSUP, errno.EINVAL):
                return None
            raise WorkdirError(_in_use(path.parent, told)) from None
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file), path.stat()):
                break
        os.close(file)  # whoever held it has just removed it
    own = {"process": os.getpid(), "host": platform.node(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
    os.pwrite(file, json.dumps(own).encode(), 0)
    os.ftruncate(file, len(json.dumps(own).encode()))
    return file


def _in_use(folder: pathlib.Path, told: bytes) -> str:
    try:
        own: dict[str, Any] = json.loads(told)
        who = f"process {own['process']} on {own['host']}, since {own['since']}"
    except (ValueError, KeyError, TypeError):
        who = "another process"
    return f"{folder} is in use by another run ({who}); wait for its end, or give another folder"
