"""Measures the suites of the benchmark."""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import jax
from rich.console import Console

from experiments.benchmark.settings import RESULTS, Config
from experiments.benchmark.suites import ALL, ONE_PROCESS, SUITES
from experiments.core import records
from experiments.core.app import Session
from experiments.core.settings import SettingError
from experiments.core.workdir import environment

VARIABLES = ("XLA_FLAGS", "PJRT_NPROC", "JAX_PLATFORMS", "JAX_DEFAULT_MATMUL_PRECISION")
"""Of the environment; they belong to the command that made a record."""


def run(config: Config, session: Session, matmul_sizes: Sequence[int] = ()) -> dict[str, dict[str, Any]]:
    """Runs the suites asked for, one after another. With several processes, all call it.

    Args:
      config: the settings.
      session: where to show progress and tables, and the command for the records.
      matmul_sizes: the square products tried for the matrix peak; none: as the platform needs.

    Returns:
      The records by suite.
    """
    console, command = session.console, session.command
    suites = list(SUITES) if config.suite == ALL else [config.suite]
    found = {}
    for suite in suites:
        if suite in ONE_PROCESS and jax.process_count() > 1:
            message = f"{ONE_PROCESS[suite]} measured in one process, not in {jax.process_count()}"
            if config.suite == suite:
                raise SettingError(f"--suite={suite}: {message}")
            console.print(f"Without --suite={suite}: {message}.", highlight=False)
            continue
        in_folder = f"{(config.suite == ALL and config.output) or RESULTS}/{suite}.json"
        path = in_folder if config.suite == ALL else config.output or in_folder
        one = dataclasses.replace(config, suite=suite, output=path)
        found[suite] = run_suite(one, console, command=command, matmul_sizes=matmul_sizes)
    return found


def run_suite(config: Config, console: Console, *, command: str, matmul_sizes: Sequence[int]) -> dict[str, Any]:
    """Measures one suite, prints the table and writes the record to `config.output`; returns the record."""
    load = os.getloadavg()[0]
    measure, show = SUITES[config.suite]
    result = measure(config, console, matmul_sizes)
    record = {
        "experiment": "benchmark",
        "command": command,
        "config": dataclasses.asdict(config),
        "environment": environment(),
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
        "load_average": {"start": load, "end": os.getloadavg()[0]},
        **result,
    }
    show(console, record)
    records.write_json(config.output, record)
    console.print(f"The record is {config.output}.", highlight=False)
    return record
