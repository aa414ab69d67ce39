"""What ends a run and is no fault of the program: each is told in one line, with where, why and what to do."""

import errno
import logging

import jax

from experiments.core.records import RecordError
from experiments.core.settings import SettingError
from experiments.core.workdir import WorkdirError
from ib_jax import data, training
from ib_jax.files import DamagedFileError, one_line

USER_ERRORS = (
    SettingError,
    WorkdirError,
    RecordError,
    DamagedFileError,
    data.DatasetUnavailableError,
    training.NonFiniteLossError,
    OSError,
)
"""What is told in one line; any other error keeps its traceback."""

_REMEDIES = {
    errno.ENOSPC: "free some space, and the same command goes on",
    errno.EDQUOT: "free some space, and the same command goes on",
    errno.EACCES: "give another folder, or the right to write there",
    errno.EPERM: "give another folder, or the right to write there",
    errno.EROFS: "give a folder that can be written to",
    errno.EEXIST: "there is a file where a folder should be; give another folder",
    errno.ENOTDIR: "there is a file where a folder should be; give another folder",
    errno.ENAMETOOLONG: "give a shorter one",
}


def is_told(error: BaseException, *more: type[BaseException]) -> bool:
    """Whether an error, or one of further kinds, is a user's and told in one line."""
    lacks_memory = isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error)
    return lacks_memory or isinstance(error, (*USER_ERRORS, MemoryError, *more))


def describe(error: BaseException) -> str:
    """An error in one line: what its message says, with what to do if the operating system refused, and its notes.

    Example:
      >>> describe(PermissionError(13, "Permission denied", "runs/a"))
      'runs/a: Permission denied; give another folder, or the right to write there'
    """
    text = str(error)
    if isinstance(error, (jax.errors.JaxRuntimeError, MemoryError)):
        text = f"not enough memory ({one_line(error)}); a smaller batch, network or number of samples may fit"
    elif isinstance(error, OSError) and error.errno is not None:
        where = [str(name) for name in (error.filename, error.filename2) if name is not None]
        text = ": ".join([" -> ".join(where)] * bool(where) + [error.strerror or type(error).__name__])
        text += f"; {_REMEDIES[error.errno]}" if error.errno in _REMEDIES else ""
    elif not text:
        text = type(error).__name__
    return ". ".join([text, *getattr(error, "__notes__", ())])


def log_traceback() -> None:
    """The traceback of the error that is being handled, for whoever asks for it by `--verbosity=1`."""
    logging.getLogger("absl").debug("The traceback:", exc_info=True)
