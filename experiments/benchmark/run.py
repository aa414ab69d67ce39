"""Runs the suites of the benchmark, and writes a record of each."""

import contextlib
import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence

import jax
from rich.console import Console

from experiments.benchmark import attacks, cold, distances, estimators, images, mlp, reading, transforms
from experiments.benchmark.machine import MatrixPeak, peak_memory
from experiments.benchmark.measure import Plan, measure
from experiments.benchmark.settings import ALL, RESULTS, SUITES, Config
from experiments.core import frames, records
from experiments.core.records import Record
from experiments.core.session import Session
from experiments.core.settings import SettingError

VARIABLES = ("XLA_FLAGS", "PJRT_NPROC", "JAX_PLATFORMS", "JAX_DEFAULT_MATMUL_PRECISION")
"""Of the environment; they belong to the command that made a record."""
PLANS: Mapping[str, Callable[[Config, Console, contextlib.ExitStack], Plan | None]] = {
    "train": mlp.train,
    "sweep": mlp.sweep,
    "scaling": mlp.scaling,
    "attacks": attacks.attack,
    "augment": transforms.augment,
    "corruptions": transforms.corruptions,
    "images": images.images,
    "reading": reading.reading,
    "adversarial": mlp.adversarial,
    "estimators": estimators.estimators,
    "distances": distances.distances,
    "cold": cold.cold,
}
SEVERAL_PROCESSES = ("train", "sweep", "scaling")
"""Suites that can be measured in several processes."""


def run(config: Config, session: Session, matmul_sizes: Sequence[int] = ()) -> dict[str, Record] | None:
    """Runs the suites asked for, one after another; their records, None if one was stopped. All processes call it.

    The matrix peak is that of square products of `matmul_sizes`, or of such as the platform needs.
    """
    made = {}
    for suite in SUITES if config.suite == ALL else (config.suite,):
        if suite not in SEVERAL_PROCESSES and jax.process_count() > 1:
            message = f"it is measured in one process, not in {jax.process_count()}"
            if config.suite == suite:
                raise SettingError(f"--suite={suite}: {message}")
            session.console.print(f"Without --suite={suite}: {message}.")
            continue
        in_folder = f"{(config.suite == ALL and config.output) or RESULTS}/{suite}.json"
        path = in_folder if config.suite == ALL else config.output or in_folder
        record = _run_suite(dataclasses.replace(config, suite=suite, output=path), session, matmul_sizes)
        if record is None:
            return None
        made[suite] = record
    return made


def _run_suite(config: Config, session: Session, matmul_sizes: Sequence[int]) -> Record | None:
    """Measures one suite, prints its tables and writes the record to `config.output`."""
    load = os.getloadavg()[0]
    with contextlib.ExitStack() as stack:
        plan = PLANS[config.suite](config, session.console, stack)
        if plan is None:
            return None
        peak = MatrixPeak(matmul_sizes, plan.dtype) if plan.dtype else None
        models, details = measure(plan, session.console, repeats=config.repeats, peak=peak)
    details |= {
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
        "load_average": {"start": load, "end": os.getloadavg()[0]},
        "peak_memory": peak_memory(),
    }
    record = session.record(models, config, details=details, file=config.suite)
    records.write(config.output, record)
    from experiments.benchmark import report  # pandas takes a second to import
    from experiments.core import render

    render.show(report.report(frames.frame([record]), [record]), session.console)
    session.console.print(f"The record is {config.output}.")
    return record
