"""Records on disk: JSON written whole or not at all, by process 0, with the command, versions and machine inside."""

import dataclasses
import importlib.metadata
import json
import math
import os
import pathlib
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from ib_jax import training


class ConfigMismatchError(ValueError):
    """A workdir was made with another configuration."""


def environment() -> dict[str, Any]:
    """Versions, machine, devices and commit of this process."""
    packages = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "tensorflow-datasets", "numpy")
    return {
        "versions": {"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in packages},
        "machine": {"cpu": _cpu_name(), "cores": os.cpu_count(), "system": f"{platform.system()} {platform.machine()}"},
        "devices": [f"{device.platform} {device.device_kind}" for device in jax.devices()],
        "processes": jax.process_count(),
        "commit": _commit(),
    }


def command(module: str, arguments: Sequence[str] | None = None) -> str:
    """The command line that made a record."""
    return shlex.join(["python", "-m", module, *(sys.argv[1:] if arguments is None else arguments)])


def new_workdir(name: str) -> str:
    """A folder named by the time, the same on every process."""
    now = time.localtime(training.from_main(int(time.time())))
    return f"workdirs/{time.strftime('%Y%m%d-%H%M%S', now)}-{name}"


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


def check_workdir(workdir: pathlib.Path, config: Any) -> None:
    """Checks that a run may start or go on in a workdir; writes nothing.

    Raises:
      ConfigMismatchError: the workdir's `config.json` differs in a field that decides what is trained; the message
        lists all that do.
    """
    path = workdir / "config.json"
    if path.exists():
        check_config(json.loads(path.read_text()), config, workdir)


def check_config(old: Mapping[str, Any], config: Any, where: pathlib.Path) -> None:
    """Checks that an earlier run's settings are those of a configuration in all fields that decide what is trained.

    Raises:
      ConfigMismatchError: some differ; the message lists them.
    """
    new = _plain(dataclasses.asdict(config))
    decisive = [field.name for field in dataclasses.fields(config) if field.metadata["decides"] == "training"]
    different = [name for name in decisive if old.get(name) != new[name]]
    if different:
        listed = "\n".join(f"  --{name}: {old.get(name)} there, {new[name]} now" for name in different)
        raise ConfigMismatchError(
            f"{where} holds a run with other settings:\n{listed}\n"
            "Give the same settings to go on with it, or another --workdir."
        )


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


def _cpu_name() -> str:
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown"


def _commit() -> str:
    here = pathlib.Path(__file__).resolve().parent
    try:
        git = ["git", "-C", str(here)]
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changes = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("+changes" if changes.stdout.strip() else "")
