"""Files of this machine: which path is meant, written whole or not at all, and refused by name when damaged."""

import json
import os
import pathlib
import re
from collections.abc import Callable
from typing import IO, Any

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://?")


class DamagedFileError(ValueError):
    """A file holds something else than it should; the message names it and says what to do."""


def local_path(path: str | os.PathLike[str], name: str) -> pathlib.Path:
    """The absolute path of a file or folder of this machine, `~` resolved.

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
    if _URL.match(text):
        raise ValueError(
            f"{name} must be a folder or file of this machine, got {text!r}; mount the bucket and give the path at "
            "which it is mounted"
        )
    try:
        return pathlib.Path(text).expanduser().absolute()
    except RuntimeError as error:
        raise ValueError(f"{name} is {text!r}, and {str(error).lower().rstrip('.')}; give the whole path") from None


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
    try:
        value = json.loads(written)
    except ValueError as error:  # of the decoder, or bytes that are no UTF-8
        what = "empty" if not written.strip(b"\0 \n\r\t") else f"no whole JSON: {error}"
        raise DamagedFileError(f"{path} is damaged ({what}); {remedy}") from None
    if not isinstance(value, dict):
        raise DamagedFileError(f"{path} is damaged (a {type(value).__name__} where an object is expected); {remedy}")
    return value
