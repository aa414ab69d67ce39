"""JSON and lines of JSON on disk, written whole or not at all, by process 0."""

import dataclasses
import json
import math
import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from ib_jax import training


def write_json(path: str | os.PathLike[str], value: Any, *, compact: bool = False) -> None:
    """Writes JSON whole or not at all, by process 0; a number that is not finite becomes null.

    Args:
      path: of the file.
      value: mappings, sequences, arrays, dataclasses and scalars.
      compact: lists of numbers, and mappings of scalars alone, stand on one line.
    """
    if not training.is_main():
        return
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    text = json.dumps(plain(value), indent=1, allow_nan=False)
    if compact:  # a line break is never inside a string of JSON, and a brace or bracket in one is left alone
        text = re.sub(r"([\[{])\n\s*([^][{}]*?)\n\s*([\]}])", _on_one_line, text)
    temporary.write_text(text + "\n")
    temporary.replace(path)


def _on_one_line(found: re.Match[str]) -> str:
    return found[1] + re.sub(r"\n\s*", " ", found[2]) + found[3]


def append_jsonl(path: str | os.PathLike[str], value: Any) -> None:
    """Appends one line of JSON."""
    if not training.is_main():
        return
    with open(path, "a") as file:
        file.write(json.dumps(plain(value), allow_nan=False) + "\n")


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
