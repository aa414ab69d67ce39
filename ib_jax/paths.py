"""Paths as users write them: `~` is resolved, the address of a bucket refused, and each is called by its argument."""

import os
import pathlib
import re

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://?")


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
      FileExistsError: workdir is '/...paths.py', which cannot be a folder (File exists); name one that can be ...
    """
    folder = local_path(path, name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"which cannot be a folder ({error.strerror}); name one that can be written to"
        raise type(error)(f"{name} is {str(folder)!r}, {message}") from None
    return folder
