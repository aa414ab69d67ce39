"""Flags that say on which machines a program runs, and what is set up before it begins; no result depends on them."""

import dataclasses
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import jax
from rich.console import Console

from experiments.core import flags
from experiments.core.flags import setting
from ib_jax import training

LOST = 75  # exit status: temporary failure, start again


@dataclasses.dataclass(frozen=True)
class Session:
    """What a run has besides its settings.

    Attributes:
      experiment: its name.
      command: the command line for the record, without local paths.
      console: the terminal, of process 0 alone.
    """

    experiment: str = ""
    command: str = ""
    console: Console = dataclasses.field(default_factory=lambda: Console(quiet=True))


@dataclasses.dataclass(frozen=True)
class Machine:
    """Processes, and where compiled programs are kept."""

    coordinator_address: str = setting(
        "",
        "Machine",
        "host:port of process 0, the same for every process. TPU pods, Slurm and Open MPI need none of these three.",
    )
    num_processes: int = setting(0, "Machine", "Processes of the run; 0: as the environment says, or one.")
    process_id: int = setting(-1, "Machine", "Number of this process, from 0; -1: as the environment says.")
    compilation_cache: str = setting(
        "",
        "Machine",
        "Folder in which compiled programs are kept, so that the next start does not compile them again. On a CPU JAX "
        "warns of machine features then; TF_CPP_MIN_LOG_LEVEL=3 before the command keeps it quiet.",
    )


def run_app(
    main: Callable[[Sequence[str]], Any], config_class: type, description: str, more: Sequence[type] = ()
) -> None:
    """As `flags.run_app`, with the flags of `Machine`: joins the other processes first, and ends when one is lost."""

    def joined(argv: Sequence[str]) -> None:
        try:
            set_up(flags.config_from_flags(Machine))
        except (ValueError, RuntimeError) as error:
            sys.exit(f"cannot start: {error}")
        try:
            main(argv)
        except Exception as error:
            if jax.process_count() == 1:
                raise
            _leave(error)

    flags.run_app(joined, config_class, description, more=(*more, Machine))


def set_up(machine: Machine) -> None:
    """Joins the other processes, and turns the compilation cache on.

    Raises:
      ValueError: the flags do not fit each other.
      RuntimeError: the other processes did not come.
    """
    if machine.compilation_cache:
        jax.config.update("jax_compilation_cache_dir", os.path.abspath(machine.compilation_cache))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    training.initialize(machine.coordinator_address, machine.num_processes, machine.process_id)


def console() -> Console:
    """The terminal, of process 0 alone."""
    return Console(quiet=not training.is_main())


def _leave(error: Exception) -> None:
    """Ends this process at once: one that failed must not wait for the others, who wait for it."""
    traceback.print_exception(error)
    print(
        f"Process {jax.process_index()} of {jax.process_count()} ends: {type(error).__name__}. If another process was "
        "lost, start all of them again with the same --workdir; they go on from the last checkpoint.",
        file=sys.stderr,
        flush=True,
    )
    os._exit(LOST)
