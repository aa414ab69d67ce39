"""Folders of runs: when what lies in one may be used again, and where it came from."""

import dataclasses
import importlib.metadata
import os
import pathlib
import platform
import re
import secrets
import shlex
import subprocess
import sys
import time
import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import jax

from experiments.core import json_files
from experiments.core.settings import (
    EITHER,
    FILE,
    FOLDER,
    STAGES,
    TRAINING,
    SettingError,
    Settings,
    as_dict,
    without_folder,
)
from ib_jax import training
from ib_jax.files import DamagedFileError, read_json
from ib_jax.training import metrics_log

CONFIG, CHECKPOINTS = "config.json", "checkpoints"


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
    fields = {field.name: field for each in settings for field in dataclasses.fields(each)}
    # A setting that there was not yet had the effect of its default.
    usual = metrics_log.plain({name: field.default for name, field in fields.items()})
    there, now = (
        {name: without_folder(fields[name], values[name]) for name in decisive}  # data may be moved
        for values in (usual | dict(recorded), metrics_log.plain(as_dict(*settings)))
    )
    different = [name for name in decisive if there[name] != now[name]]
    if different:
        listed = "\n".join(f"  --{name}: {there[name]} there, {now[name]} now" for name in different)
        raise WorkdirError(
            f"{where} was made with other settings:\n{listed}\n"
            "Give the same settings to go on with it, or another folder."
        )


def check_paths(*settings: Settings) -> None:
    """Checks, before anything is done, that what will be written can be.

    Raises:
      SettingError: a folder is a file, a file is a folder, or the nearest folder that is there cannot be written to.
    """
    for each in settings:
        for field in dataclasses.fields(each):
            kind, value = field.metadata["path"], getattr(each, field.name)
            if kind not in (FOLDER, FILE, EITHER) or not value:
                continue
            path, wrong = pathlib.Path(value).absolute(), ""
            nearest = next(parent for parent in (path, *path.parents) if os.path.lexists(parent))
            if kind == FILE and path.is_dir():
                wrong = "must be a file, and is a folder"
            elif nearest.is_dir() and not os.access(nearest, os.W_OK | os.X_OK):
                wrong = f"cannot be written to: {nearest} belongs to others or is read-only"
            elif not nearest.is_dir() and not (kind != FOLDER and nearest == path):
                wrong = f"must be a folder, and {nearest} is none"
            if wrong:
                raise SettingError(f"--{field.name} {wrong}; got {value}")


def folders(*settings: Settings) -> list[str]:
    """The workdirs that are given, in which one run works at a time."""
    return [value for each in settings if (value := getattr(each, "workdir", ""))]


def deciding(settings: Settings | type[Settings], stage: str) -> list[str]:
    """The settings on which a thing made at a stage depends."""
    fields = settings.__dataclass_fields__.values()
    return [field.name for field in fields if field.metadata.get("decides") in STAGES[stage]]


def check_workdir(workdir: str | os.PathLike[str], *settings: Settings, stage: str = TRAINING) -> None:
    """The same for a folder by its config.json and by what its checkpoints keep; writes nothing.

    A config.json that is damaged is as good as none: it is written again.

    Raises:
      WorkdirError: as `check_reuse`; or there are checkpoints of which nobody knows by what settings they were made.
    """
    path, checkpoints = pathlib.Path(workdir) / CONFIG, pathlib.Path(workdir) / CHECKPOINTS
    recorded = []
    try:
        recorded.append(read_json(path))
    except FileNotFoundError:
        pass
    except DamagedFileError as error:
        warnings.warn(str(error).partition(";")[0] + "; it is not used", training.CheckpointWarning, stacklevel=2)
    if (kept := training.saved_settings(checkpoints)) is not None:
        recorded.append(kept)
    for each in recorded:
        check_reuse(workdir, each, *settings, stage=stage)
    if not recorded and training.last_checkpoint(checkpoints) is not None:
        raise WorkdirError(
            f"{workdir} has checkpoints but no {CONFIG} that says how they were made; put it back, or give another "
            "folder"
        )


def write_config(workdir: str | os.PathLike[str], *settings: Settings) -> None:
    """Writes the settings into a folder, which from now on stands for them."""
    json_files.write_json(pathlib.Path(workdir) / CONFIG, as_dict(*settings))


def new_workdir(name: str) -> str:
    """A folder named by the time and a random number, the same on every process and another one in every run.

    Example:
      >>> new_workdir("digits")
      'workdirs/20...-digits-...'
    """
    now = time.localtime(training.from_main(int(time.time())))
    own = training.from_main(secrets.randbits(31))
    return f"workdirs/{time.strftime('%Y%m%d-%H%M%S', now)}-{name}-{own:08x}"


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
        lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown"


def _commit() -> str:
    """The commit of this code; not that of a project of the user's in whose folder it is installed."""
    root = pathlib.Path(__file__).resolve().parents[2]
    git = ["git", "-C", str(root)]
    options: Any = {"capture_output": True, "check": True, "encoding": "utf-8", "errors": "replace"}
    try:
        top = subprocess.run([*git, "rev-parse", "--show-toplevel", "HEAD"], **options).stdout.splitlines()
        changes = subprocess.run([*git, "status", "--porcelain", "-uno"], **options).stdout.strip()
        ours = pathlib.Path(top[0]).samefile(root)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return top[1] + ("+changes" if changes else "") if ours else "unknown"
