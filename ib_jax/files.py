"""Files of this machine: written whole or not at all, and refused by name when damaged.

A damaged file is never taken for a missing one, and so never made again in silence: what is wrong with one may be wrong
with those beside it. It is refused, by its name and with what to do, which is to delete it if it can be made again.
"""

import contextlib
import errno
import json
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any

import numpy as np

_POINTER = b"version https://git-lfs"


class DamagedFileError(ValueError):
    """A file holds something else than it should; the message names it and says what to do."""


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


def read_arrays(
    path: str | os.PathLike[str],
    remedy: str = "delete it and make it again",
    error: type[DamagedFileError] = DamagedFileError,
) -> dict[str, np.ndarray]:
    """The arrays of a `.npz` file by their names.

    Args:
      path: of the file.
      remedy: what to do about a damaged one.
      error: the class to raise.

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
    with reading(path, remedy, error), np.load(path) as arrays:
        return {name: arrays[name] for name in arrays.files}


def write_arrays(path: str | os.PathLike[str], arrays: Mapping[str, Any], *, compressed: bool = False) -> None:
    """Writes a `.npz` file, whole or not at all, without pickles.

    Args:
      path: of the file; its folder is there.
      arrays: by their names.
      compressed: whether to compress it.

    Raises:
      OSError: as of `write_whole`.

    Example:
      >>> import tempfile
      >>> path = pathlib.Path(tempfile.mkdtemp(), "a.npz")
      >>> write_arrays(path, {"ones": np.ones(2)})
      >>> list(read_arrays(path))
      ['ones']
    """
    save: Any = np.savez_compressed if compressed else np.savez
    write_whole(path, lambda file: save(file, allow_pickle=False, **arrays))


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
