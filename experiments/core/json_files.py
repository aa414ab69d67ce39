"""JSON on disk, written whole or not at all, by process 0."""

import json
import os
import pathlib
import re
from typing import Any

from ib_jax import training
from ib_jax.files import write_whole
from ib_jax.training.metrics_log import plain


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
    text = json.dumps(plain(value), indent=1, allow_nan=False)
    if compact:  # a line break is never inside a string of JSON, and a brace or bracket in one is left alone
        text = re.sub(r"([\[{])\n\s*([^][{}]*?)\n\s*([\]}])", _on_one_line, text)
    write_whole(path, lambda file: file.write(f"{text}\n".encode()))


def _on_one_line(found: re.Match[str]) -> str:
    return found[1] + re.sub(r"\n\s*", " ", found[2]) + found[3]
