"""The history of a run: a line of JSON for each report, written by process 0 and rewound by a resumed run."""

import dataclasses
import json
import math
import os
import pathlib
import warnings
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from ib_jax.files import write_whole
from ib_jax.training.distributed import is_main
from ib_jax.training.step_folders import CheckpointWarning


def append(path: str | os.PathLike[str], value: Any) -> None:
    """Appends one line of JSON."""
    if not is_main():
        return
    with open(path, "ab") as file:
        file.write(_line(value))


def read(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The whole lines of a history; empty for no file.

    A last line that a kill cut off is left out, and so is, with a warning, what a power cut left of others.
    """
    path = pathlib.Path(path)
    lines = path.read_bytes().split(b"\n") if path.exists() else [b""]
    rows = [_row(line) for line in lines[:-1] if line]
    damaged = sum(row is None for row in rows)
    if damaged:
        warnings.warn(
            f"{path} has {damaged} lines that are no JSON objects; they are left out", CheckpointWarning, stacklevel=2
        )
    return [row for row in rows if row is not None]


def rewind(path: str | os.PathLike[str], step: int) -> list[dict[str, Any]]:
    """Drops what was logged after `step`, which a resumed run logs again; returns what is left."""
    rows = [row for row in read(path) if row.get("step", step + 1) <= step]
    if is_main():
        write_whole(path, lambda file: file.writelines(map(_line, rows)))
    return rows


def plain(value: Any) -> Any:
    """As JSON has it: mappings, lists and scalars; a number that is not finite is None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return plain({field.name: getattr(value, field.name) for field in dataclasses.fields(value)})
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (np.ndarray, jax.Array)):
        return plain(np.asarray(value).tolist())
    if isinstance(value, (np.floating, float)):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, np.integer):
        return int(value)
    return value


def _line(value: Any) -> bytes:
    return f"{json.dumps(plain(value), allow_nan=False)}\n".encode()


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None
