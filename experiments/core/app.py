"""A program: flags, presets and `--help`, the processes it runs in, and what becomes of an error."""

import contextlib
import functools
import os
import sys
import time
import traceback
from collections.abc import Callable, Collection, Mapping
from typing import Any, NoReturn

import jax
from absl import app, logging

from experiments.core import compilation_cache, flags, locks, workdir
from experiments.core.failures import describe, is_told, log_traceback
from experiments.core.session import Session
from experiments.core.settings import FOLDER, NOTHING, Preset, SettingError, Settings, setting
from experiments.core.terminal import Terminal, prepare
from ib_jax import training
from ib_jax.files import one_line

STOPPED = 143  # exit status of a process ended by SIGTERM: stopped and saved
LOST = 75  # exit status: temporary failure, start again
_HEARD = 3.0  # seconds in which the other processes hear why one ends
HELP = {"--help", "-help", "-h", "--helpfull", "--helpshort"}
_machine = functools.partial(setting, decides=NOTHING)


class Machine(Settings, group="Machine"):
    """Processes, and where compiled programs are kept; no result depends on them."""

    coordinator_address: str = _machine(
        "", "host:port of process 0, the same for every process. TPU pods, Slurm and Open MPI need none of these three."
    )
    num_processes: int = _machine(0, "Processes of the run; 0: as the environment says, or one.")
    process_id: int = _machine(-1, "Number of this process, from 0; -1: as the environment says.")
    compilation_cache: str = _machine(
        compilation_cache.AUTO,
        "Folder in which compiled programs are kept, so that the next start does not compile them again; auto: in the "
        "user's cache folder, at most 1 GiB; none: nowhere.",
        path=FOLDER,
    )


def main(
    run: Callable[..., Any],
    *classes: type[Settings],
    doc: str | None,
    presets: Mapping[str, Preset] | None = None,
    adjust: flags.Adjust | None = None,
    without: Collection[str] = (),
    errors: tuple[type[Exception], ...] = (),
) -> None:
    """Reads the flags and runs; ends the process.

    Args:
      run: (*settings, session=Session) -> a result, or None when stopped to be resumed.
      *classes: of the settings; their fields are the flags.
      doc: what `--help` begins with.
      presets: choices of `--preset`.
      adjust: (preset's values, flags) -> values, for flags that scale a preset.
      without: settings that are no flags here.
      errors: further errors that are told in one line, such as that a file is not there.
    """
    name = run.__module__.split(".")[1]
    flags.define(*classes, Machine, presets=presets, without=without)
    logging.set_verbosity(logging.WARNING)  # orbax tells every step of every save at the level below

    def parse(argv: list[str]) -> list[str]:
        if HELP & set(argv[1:]):
            flags.print_help(*classes, Machine, doc=doc or "", console=Terminal(), presets=presets, without=without)
            sys.exit(0)
        try:
            rest = app.parse_flags_with_usage(argv)
        except ValueError as error:  # as of --nofigures=5, which absl does not tell in a line
            sys.exit(f"{error}; see --help.")
        if rest[1:]:
            sys.exit(f"Unexpected arguments: {' '.join(rest[1:])}. Settings are flags: --name=value; see --help.")
        return rest

    def start(argv: list[str]) -> int | str:
        del argv
        try:
            settings = flags.from_flags(*classes, presets=presets, adjust=adjust)
            machine = flags.from_flags(Machine)[0]
            workdir.check_paths(*settings, machine)
        except SettingError as error:
            return f"{name}: {error}"
        try:
            set_up(machine)
        except (ValueError, RuntimeError) as error:
            return f"cannot start: {error}"
        session = Session(name, workdir.command(f"experiments.{name}"), Terminal(quiet=not training.is_main()))
        return call(run, *settings, session=session, errors=errors)

    prepare()
    app.run(start, flags_parser=parse)


def call(
    run: Callable[..., Any], *settings: Any, session: Session, errors: tuple[type[Exception], ...] = ()
) -> int | str:
    """Runs, and keeps other runs out of the workdir; the exit status, or the line with which a user's error ends."""
    try:
        with contextlib.ExitStack() as stack:
            for folder in workdir.folders(*settings):
                stack.enter_context(locks.hold(folder))
            result = run(*settings, session=session)
    except Exception as error:
        told = is_told(error, *errors)
        message = f"{session.experiment}: {describe(error)}" if told else one_line(error)
        if told:
            log_traceback()
        elif jax.process_count() == 1:
            raise
        else:
            with contextlib.suppress(OSError):
                traceback.print_exception(error)
        if jax.process_count() > 1:
            _leave(message, 1 if told else LOST)
        return message
    return STOPPED if result is None else 0


def set_up(machine: Machine) -> None:
    """Joins the other processes, and turns the compilation cache on.

    Raises:
      ValueError: the flags do not fit each other.
      RuntimeError: the other processes did not come.
    """
    compilation_cache.keep_programs(machine.compilation_cache)
    if training.initialize(machine.coordinator_address, machine.num_processes, machine.process_id):
        training.hear_others(_follow)


def _leave(message: str, status: int) -> NoReturn:
    """Ends this process, when the others have heard why: it must not wait for them, who wait for it."""
    try:
        training.tell_others(message)
        print(f"Process {jax.process_index()} of {jax.process_count()} ends: {message}", file=sys.stderr, flush=True)
        time.sleep(_HEARD)
    finally:  # whatever is wrong with the terminal, or with the disk on which its output goes
        os._exit(status)


def _follow(process: int, message: str) -> NoReturn:
    """Ends this process, since another one has ended."""
    try:
        print(
            f"Process {jax.process_index()} of {jax.process_count()} ends, since process {process} did: {message}\n"
            "Start all of them again with the same --workdir; they go on from the last checkpoint.",
            file=sys.stderr,
            flush=True,
        )
    finally:
        os._exit(LOST)
