"""Records on disk: JSON written whole or not at all, by process 0."""

import json
import math
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from ib_jax import training


class RecordError(ValueError):
    """A record that cannot be read or made."""


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Writes JSON whole or not at all; a number that is not finite becomes null."""
    if not training.is_main():
        return
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(_plain(value), indent=1, allow_nan=False) + "\n")
    temporary.replace(path)


def append_jsonl(path: str | os.PathLike[str], value: Any) -> None:
    """Appends one line of JSON."""
    if not training.is_main():
        return
    with open(path, "a") as file:
        file.write(json.dumps(_plain(value), allow_nan=False) + "\n")


def read_jsonl(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The whole lines of a JSONL file; a last line cut off by a kill is left out; empty for no file."""
    path = pathlib.Path(path)
    if not path.exists():
        return []
    lines = path.read_text().split("\n")
    return [json.loads(line) for line in lines[:-1] if line]


def rewind_jsonl(path: str | os.PathLike[str], step: int) -> list[dict[str, Any]]:
    """Drops what was logged after `step`, which a resumed run logs again; returns what is left."""
    rows = [row for row in read_jsonl(path) if row["step"] <= step]
    if not training.is_main():
        return rows
    path = pathlib.Path(path)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text("".join(json.dumps(row) + "\n" for row in rows))
    temporary.replace(path)
    return rows


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (np.ndarray, jax.Array)):
        return _plain(np.asarray(value).tolist())
    if isinstance(value, (np.floating, float)):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, np.integer):
        return int(value)
    return value
