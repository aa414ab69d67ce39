"""Files of this machine: which path is meant, written whole or not at all, and refused by name when damaged.

A damaged file is never taken for a missing one, and so never made again in silence: what is wrong with one may be wrong
with those beside it. It is refused, by its name and with what to do, which is to delete it if it can be made again.
"""

import contextlib
import errno
import json
import os
import pathlib
import re
from collections.abc import Callable, Iterator
from typing import IO, Any

import numpy as np

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://?")
_POINTER = b"version https://git-lfs"


class DamagedFileError(ValueError):
    """A file holds something else than it should; the message names it and says what to do."""


def local_path(path: str | os.PathLike[str], name: str) -> pathlib.Path:
    """The path of a file or folder of this machine, `~` resolved; a relative one stays relative.

    Args:
      path: as a user writes it.
      name: of the argument, for the message.

    Raises:
      ValueError: `path` is empty, is the address of a bucket or a server, has a NUL, or begins with the name of a user
        who has no home here.

    Example:
      >>> import os
      >>> local_path("~/runs", "workdir") == pathlib.Path(os.path.expanduser("~/runs"))
      True
      >>> local_path("gs://bucket/runs", "workdir")
      Traceback (most recent call last):
      ValueError: workdir must be a folder or file of this machine, got 'gs://bucket/runs'; mount the bucket and give \
the path at which it is mounted
    """
    text = os.fspath(path)
    if not text or "\0" in text:
        raise ValueError(f"{name} must be a path, got {text!r}")
    if is_url(text):
        raise ValueError(
            f"{name} must be a folder or file of this machine, got {text!r}; mount the bucket and give the path at "
            "which it is mounted"
        )
    try:
        return pathlib.Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{name} is {text!r}, and {str(error).lower().rstrip('.')}; give the whole path") from None


def is_url(path: str | os.PathLike[str]) -> bool:
    """Whether it is the address of a bucket or a server, which `local_path` refuses.

    Example:
      >>> is_url("gs://bucket/runs"), is_url("runs/a b")
      (True, False)
    """
    return bool(_URL.match(os.fspath(path)))


def local_file(path: str | os.PathLike[str], name: str) -> pathlib.Path:
    """The path of a file that is there; otherwise as `local_path`.

    Raises:
      FileNotFoundError, IsADirectoryError: it is not, or is a folder.

    Example:
      >>> local_file("no/such.csv", "train_file")
      Traceback (most recent call last):
      FileNotFoundError: train_file is 'no/such.csv', and there is no such file
    """
    found = local_path(path, name)
    if found.is_dir():
        raise IsADirectoryError(f"{name} is {str(found)!r}, a folder; give a file")
    if not found.exists():
        raise FileNotFoundError(f"{name} is {str(found)!r}, and there is no such file")
    return found


def make_folder(path: str | os.PathLike[str], name: str) -> pathlib.Path:
    """The path of a folder, made if need be with those above it; otherwise as `local_path`.

    Raises:
      OSError: the file system refuses, or there is a file; of the same class as its own error, with a message that
        names folder and argument.

    Example:
      >>> make_folder(__file__, "workdir")
      Traceback (most recent call last):
      FileExistsError: workdir is '/...files.py', which cannot be a folder (File exists); name one that can be ...
    """
    folder = local_path(path, name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"which cannot be a folder ({error.strerror}); name one that can be written to"
        raise type(error)(f"{name} is {str(folder)!r}, {message}") from None
    return folder


def write_whole(path: str | os.PathLike[str], write: Callable[[IO[bytes]], object]) -> None:
    """Writes a file that is there whole or not at all, whenever the process is killed and when the disk is full.

    Args:
      path: of the file; its folder is there.
      write: writes into the open file.

    Raises:
      OSError: the file system refuses; an older file stays as it was.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = pathlib.Path(folder, "a.txt")
      ...     write_whole(path, lambda file: file.write(b"whole"))
      ...     path.read_bytes()
      b'whole'
    """
    path = pathlib.Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with open(partial, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())  # or a power cut may leave the new name and none of its bytes
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def read_json(path: str | os.PathLike[str], remedy: str = "delete it and make it again") -> dict[str, Any]:
    """The JSON object of a file.

    Args:
      path: of the file.
      remedy: what to do about a damaged one.

    Raises:
      FileNotFoundError: there is none.
      DamagedFileError: it is empty, cut off, or no object.

    Example:
      >>> import tempfile
      >>> with tempfile.NamedTemporaryFile() as file:
      ...     read_json(file.name)
      Traceback (most recent call last):
      ib_jax.files.DamagedFileError: /... is damaged (empty); delete it and make it again
    """
    written = pathlib.Path(path).read_bytes()
    with reading(path, remedy):
        value = json.loads(written)
        if not isinstance(value, dict):
            raise ValueError(f"a {type(value).__name__} where an object is expected")
        return value


@contextlib.contextmanager
def reading(
    path: str | os.PathLike[str], remedy: str, error: type[DamagedFileError] = DamagedFileError
) -> Iterator[None]:
    """Turns whatever a reader raises into one error that names the file and says what to do, in one line.

    What the file system refuses passes as it is, and names the file itself; so does what the machine lacks: a library,
    memory.

    Args:
      path: of the file.
      remedy: what to do about a damaged one.
      error: the class to raise.

    Raises:
      DamagedFileError: the reader failed.

    Example:
      >>> import tempfile
      >>> with tempfile.NamedTemporaryFile() as file, reading(file.name, "copy it again"):
      ...     int(file.read())
      Traceback (most recent call last):
      ib_jax.files.DamagedFileError: /... is damaged (empty); copy it again
    """
    try:
        yield
    except (DamagedFileError, ImportError, MemoryError):
        raise
    except Exception as found:  # libraries have their own classes, which share nothing else
        if isinstance(found, OSError) and found.errno not in (None, errno.EINVAL):
            raise
        raise error(_told(path, found, remedy)) from None


def read_arrays(path: str | os.PathLike[str], remedy: str = "delete it and make it again") -> dict[str, np.ndarray]:
    """The arrays of a `.npz` file by their names.

    Args:
      path: of the file.
      remedy: what to do about a damaged one.

    Raises:
      FileNotFoundError: there is none.
      DamagedFileError: it is empty, cut off, or no such file.

    Example:
      >>> import tempfile
      >>> path = pathlib.Path(tempfile.mkdtemp(), "a.npz")
      >>> write_whole(path, lambda file: np.savez(file, ones=np.ones(2)))
      >>> read_arrays(path)["ones"].tolist()
      [1.0, 1.0]
    """
    with reading(path, remedy), np.load(path) as arrays:
        return {name: arrays[name] for name in arrays.files}


def one_line(error: object) -> str:
    """What an error of another library says, in one line and at most 200 characters.

    Example:
      >>> one_line("bad\\n  header")
      'bad header'
    """
    line = " ".join(str(error).split())
    return line if len(line) <= 200 else f"{line[:197]}..."


def visible_damage(path: str | os.PathLike[str]) -> str | None:
    """What is wrong with a file at first sight, whatever it should hold: "empty", "nothing but zeros", a pointer.

    Example:
      >>> visible_damage("/dev/null"), visible_damage(__file__)
      ('empty', None)
    """
    with open(path, "rb") as file:
        start = file.read(4096)
    if start.startswith(_POINTER):
        return "only the pointer that git-lfs leaves for a large file, to be fetched by git lfs pull"
    if start.strip(b"\0 \n\r\t"):
        return None
    return "nothing but zeros" if b"\0" in start else "empty"


def _told(path: str | os.PathLike[str], error: Exception, remedy: str) -> str:
    what = one_line(error) if type(error) is ValueError else f"{type(error).__name__}: {one_line(error)}"
    return f"{path} is damaged ({visible_damage(path) or what}); {remedy}"
