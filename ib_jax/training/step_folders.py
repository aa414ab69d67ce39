"""The folders of checkpoints on disk, a folder for each step: which are whole, and what becomes of the others."""

import contextlib
import hashlib
import itertools
import os
import pathlib
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import jax

from ib_jax.files import DamagedFileError, read_json
from ib_jax.paths import local_path

_METADATA = "_CHECKPOINT_METADATA"
_SETTINGS = "settings"
_PATTERNS = "[]*?\\"
"""What checkpoint libraries take for patterns or separators in a path."""


class CheckpointWarning(UserWarning):
    """An incomplete checkpoint was set aside."""


def step_folders(directory: pathlib.Path) -> list[pathlib.Path]:
    """The folders of checkpoints, whole or not, by step."""
    found = (path for path in directory.glob("*") if path.name.isdecimal() and path.is_dir())
    return sorted(found, key=lambda folder: int(folder.name))


def damage(folder: pathlib.Path) -> str:
    """What is wrong with a checkpoint as far as its small files tell; empty for nothing."""
    try:
        for name in (_METADATA, "metrics/metrics", "default/_METADATA"):
            read_json(folder / name)
        if not (folder / "default" / "manifest.ocdbt").stat().st_size:
            return "default/manifest.ocdbt is empty"
    except FileNotFoundError as error:
        return f"{pathlib.Path(error.filename).relative_to(folder)} is missing"
    except DamagedFileError as error:
        return str(error).partition(" is damaged ")[2].partition(";")[0]
    return ""


def whole_steps(directory: pathlib.Path) -> list[int]:
    """The steps of the checkpoints that are whole."""
    return [int(folder.name) for folder in step_folders(directory) if not damage(folder)]


def set_aside(folders: Iterable[pathlib.Path]) -> None:
    """Renames checkpoints that are not whole, and warns of each."""
    for folder in folders:
        names = (f"damaged-{folder.name}" + (f"-{number}" if number else "") for number in itertools.count())
        aside = next(path for name in names if not (path := folder.with_name(name)).exists())
        folder.rename(aside)
        warnings.warn(
            f"{folder} is not a complete checkpoint; it is set aside as {aside.name}", CheckpointWarning, stacklevel=2
        )


def metadata(settings: Any) -> dict[str, Any]:
    """What orbax is handed to keep with a checkpoint."""
    return {} if settings is None else {_SETTINGS: settings}


def saved_settings(directory: str | os.PathLike[str]) -> dict[str, Any] | None:
    """The settings kept with the last checkpoint in a folder; None without a checkpoint or settings.

    Args:
      directory: as of `Checkpoints`.

    Returns:
      The settings as they were given to `Checkpoints`, or None.

    Example:
      >>> from ib_jax import training
      >>> training.saved_settings("nowhere") is None
      True
    """
    directory = local_path(directory, "directory")
    steps = whole_steps(directory)
    if not steps:
        return None
    kept = read_json(directory / str(steps[-1]) / _METADATA).get("custom_metadata") or {}
    return kept.get(_SETTINGS)


def last_checkpoint(directory: str | os.PathLike[str]) -> int | None:
    """The step of the last complete checkpoint in a folder, or None; reads no array and changes nothing.

    Args:
      directory: as of `Checkpoints`.

    Returns:
      The step, or None if there is no complete checkpoint.

    Example:
      >>> from ib_jax import training
      >>> training.last_checkpoint("nowhere") is None
      True
    """
    return max(whole_steps(local_path(directory, "directory")), default=None)


@contextlib.contextmanager
def readable_name(directory: pathlib.Path) -> Iterator[pathlib.Path]:
    """A name of a folder that is free of patterns: its own, or that of a link to it, the same in every process."""
    if not set(_PATTERNS) & set(str(directory)):
        yield directory
        return
    name = hashlib.sha256(os.fsencode(directory)).hexdigest()[:20]
    link = pathlib.Path(tempfile.gettempdir(), f"ib_jax-{os.getuid()}-{name}")
    with contextlib.suppress(FileExistsError):  # of another process of this run, or of a run that was killed
        link.symlink_to(directory, target_is_directory=True)
    if link.resolve() != directory.resolve():
        raise OSError(f"{link} should be a link to {directory} and is not; delete it")
    try:
        yield link
    finally:
        if jax.process_count() == 1:  # another process on this machine may still need it
            link.unlink(missing_ok=True)
