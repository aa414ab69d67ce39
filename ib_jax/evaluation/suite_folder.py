"""The folder of a suite: a file for each attack that is done, under a statement of what they belong to."""

import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ib_jax.evaluation.attack_spec import AttackSpec
from ib_jax.evaluation.stored import digest
from ib_jax.files import read_arrays, read_json, write_arrays, write_whole
from ib_jax.paths import make_folder

_FORMAT = 1
_STATEMENT = "suite.json"


class SuiteFolder:
    """Finished attacks as files; without a folder nothing is kept.

    A file that is damaged is refused by its name, never made again unasked: delete it for that.

    Args:
      folder: where; None for nowhere.
      specs: of the suite.
      content: the parameters, keys, images, labels and targets, a pytree.
      told: what else decides the results, in plain scalars.

    Raises:
      ValueError: the folder holds another evaluation, and the message says in what it differs; or is an address.
      DamagedFileError: its statement is damaged; from `read`, the file of an attack is.
      OSError: it cannot be made or written to.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None,
        specs: Sequence[AttackSpec],
        content: Any,
        told: Mapping[str, Any],
    ):
        self._folder = None if folder is None else make_folder(folder, "folder")
        if self._folder is None:
            return
        statement = {"format": _FORMAT, **told, "specs": [spec.label for spec in specs], "content": digest(content)}
        path = self._folder / _STATEMENT
        if not path.exists():
            write_whole(path, lambda file: file.write(json.dumps(statement, indent=1).encode()))
        there = read_json(path, f"delete the folder {self._folder} to have all of it made again")
        for field, value in statement.items():
            if there.get(field) != value:
                raise ValueError(f"folder {self._folder} holds {_difference(field, there.get(field), value)}")

    def read(self, index: int) -> dict[str, np.ndarray] | None:
        """The arrays of an attack, if it is done."""
        if self._folder is None or not self._path(index).exists():
            return None
        return read_arrays(self._path(index), "delete it to have its attack made again")

    def write(self, index: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Keeps a finished attack."""
        if self._folder is not None:
            write_arrays(self._path(index), arrays)

    def _path(self, index: int) -> pathlib.Path:
        assert self._folder is not None
        return self._folder / f"attack_{index:03d}.npz"


def _difference(field: str, there: Any, now: Any) -> str:
    what = f"an evaluation with {field} = {there!r}, not {now!r}"
    if field == "content":
        what = "an evaluation with other parameters, keys or data"
    elif field == "specs" and isinstance(there, list):
        added, gone = [label for label in now if label not in there], [label for label in there if label not in now]
        parts = [f"{word} {'; '.join(labels)}" for word, labels in (("without", added), ("with", gone)) if labels]
        what = f"an evaluation by other attacks, {' and '.join(parts) or 'in another order'}"
    return f"{what}; name another one"
