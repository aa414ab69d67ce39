"""Folders of runs: when what lies in one may be used again, and where it came from."""

import importlib.metadata
import json
import os
import pathlib
import platform
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import jax

from experiments.core import json_files
from experiments.core.settings import STAGES, TRAINING, Settings, as_dict
from ib_jax import training

CONFIG = "config.json"


class WorkdirError(ValueError):
    """Something on disk was made with other settings."""


def check_reuse(
    where: str | os.PathLike[str],
    recorded: Mapping[str, Any],
    *settings: Settings,
    stage: str = TRAINING,
    without: Collection[str] = (),
) -> None:
    """Checks that all settings that decide a thing on disk are those it was made with.

    Args:
      where: the thing: a workdir, a record, an attack's cache.
      recorded: the settings it was made with, flat.
      *settings: those of now.
      stage: TRAINING for what training alone decides; EVALUATION if evaluation and attacks do too.
      without: settings that decide nothing this time, as those of attacks that are not made.

    Raises:
      WorkdirError: some differ; the message lists them.
    """
    decisive = [name for each in settings for name in deciding(each, stage) if name not in without]
    now = json_files.plain(as_dict(*settings))
    different = [name for name in decisive if recorded.get(name) != now[name]]
    if different:
        listed = "\n".join(f"  --{name}: {recorded.get(name)} there, {now[name]} now" for name in different)
        raise WorkdirError(
            f"{where} was made with other settings:\n{listed}\n"
            "Give the same settings to go on with it, or another folder."
        )


def deciding(settings: Settings | type[Settings], stage: str) -> list[str]:
    """The settings on which a thing made at a stage depends."""
    fields = settings.__dataclass_fields__.values()
    return [field.name for field in fields if field.metadata.get("decides") in STAGES[stage]]


def check_workdir(workdir: str | os.PathLike[str], *settings: Settings, stage: str = TRAINING) -> None:
    """The same for a folder by its config.json, if there is one; writes nothing.

    Raises:
      WorkdirError: as `check_reuse`.
    """
    path = pathlib.Path(workdir) / CONFIG
    if path.exists():
        check_reuse(workdir, json.loads(path.read_text()), *settings, stage=stage)


def write_config(workdir: str | os.PathLike[str], *settings: Settings) -> None:
    """Writes the settings into a folder, which from now on stands for them."""
    json_files.write_json(pathlib.Path(workdir) / CONFIG, as_dict(*settings))


def new_workdir(name: str) -> str:
    """A folder named by the time, the same on every process."""
    now = time.localtime(training.from_main(int(time.time())))
    return f"workdirs/{time.strftime('%Y%m%d-%H%M%S', now)}-{name}"


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
    """The command line that made a record; of an absolute path, which means nothing elsewhere, its last part.

    Example:
      >>> command("experiments.mnist_vib", ["--seed=1", "--workdir=/home/me/run"])
      'python -m experiments.mnist_vib --seed=1 --workdir=run'
    """
    return without_paths(shlex.join(["python", "-m", module, *(sys.argv[1:] if arguments is None else arguments)]))


def without_paths(command: str) -> str:
    """A command line without the folders of this machine: of each absolute path its last part."""
    return shlex.join(re.sub(r"(^|[=,])[/~](?:[^,]*/)?(?=[^,/])", r"\1", part) for part in shlex.split(command))


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
