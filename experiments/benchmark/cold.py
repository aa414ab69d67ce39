"""The suite `cold`: the first call of each attack in a new process, which is what a user waits for.

Each turn is a process of its own, by JAX with no compiled program kept ("new machine"), with those that another process
kept ("next process"), and by the other libraries as installed. Imports and loading are not in it; compiling is.
"""

import contextlib
import functools
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from experiments import attack_comparison
from experiments.attack_comparison import NUM_LINEAR, Comparison, ComparisonConfig, comparisons
from experiments.benchmark.attacks import EARLY, EPSILON, NUM_STEPS, attacked_model
from experiments.benchmark.measure import Plan, Row, Turn, refuse_peer
from experiments.benchmark.settings import Config
from experiments.benchmark.tables import Goal, Rows, Section, median, tables_of
from experiments.core.keys import stream
from experiments.core.records import Record
from experiments.core.report import Grid
from experiments.core.tables import DASH
from experiments.core.worker import WorkerError, peak_resident
from ib_jax import attacks

NEW, NEXT = "new machine", "next process"
FIRST_GOAL, NEXT_GOAL = 1.0, 1.2  # times the fastest peer's first call; times the call once compiled
GROUPS = ("fgsm", "apgd", "cw", "deepfool", "fab", "ddn", "fmn", "sigma_zero", "square")


def chosen() -> dict[str, Comparison]:
    """PGD, and of each group the first that has no radius or this one, by what the tables call it."""
    settings = ComparisonConfig(attacks=",".join(GROUPS), num_queries=1000, cw_steps=100, cw_binary_steps=3)
    every = [each for each in comparisons(settings) if each.epsilon in (None, EPSILON)]
    first = {each.group: each for each in reversed(every)}
    found = {f"PGD-{NUM_STEPS}": attack_comparison.pgd(EPSILON, num_steps=NUM_STEPS)}
    found |= {f"PGD-{NUM_STEPS}, early stop": found[f"PGD-{NUM_STEPS}"]._replace(attack=EARLY)}
    return found | {attack_comparison.label(first[group].conditions): first[group] for group in GROUPS}


def cold(config: Config, console: Console, stack: contextlib.ExitStack) -> Plan | None:
    """Every attack: JAX twice, and the libraries; None if training the network was stopped."""
    model = attacked_model(config, console)
    if model is None:
        return None
    evaluator = attack_comparison.AttackEvaluator(model, config.num_images)
    folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
    count = len(evaluator.labels)
    np.savez(folder / "task.npz", images=evaluator.images, labels=evaluator.labels)
    for index, (kernel, bias) in enumerate(model.layers):
        np.savez(folder / f"layer_{index}.npz", kernel=kernel, bias=bias)

    def peer(compared: Comparison, name: str) -> Turn:
        refuse_peer()
        call: dict[str, Any] = {"norm": compared.norm, "epsilon": compared.epsilon, "batch_size": count}

        def turn(min_seconds: float) -> tuple[float, Mapping[str, Any]]:
            with attack_comparison.Peers(model, evaluator) as peers:
                seconds = peers(name, compared.peers[name], avx512=False, num_images=count, **call)["seconds"]
                return seconds, {"peak_bytes": peers.peak_bytes}

        return turn

    rows = []
    for title, compared in chosen().items():
        rows.append(Row(title, NEW, "JAX, new machine", functools.partial(_ours, folder, title, False), count))
        rows.append(Row(title, NEXT, "JAX, next process", functools.partial(_ours, folder, title, True), count))
        for name in compared.peers if config.peers != "none" else ():
            library = name.partition(".")[0]
            rows.append(Row(title, library, library, functools.partial(peer, compared, name), count))
    layers = [list(kernel.shape) for kernel, _ in model.layers]
    return Plan(rows, lambda: {"network": {**model.description, "layers": layers}, "num_images": count}, dtype="")


def report(record: Record) -> list[Section]:
    """A row for each attack, and whether the goals are met."""
    network, tables, cells, memory = record.details["network"], tables_of(record), [], []
    goals = list[Goal]()
    labels = dict.fromkeys(row.label for rows in tables.values() for row in rows.values())
    for title, rows in tables.items():
        seconds = {row.label: median(row.rounds("seconds")) if row.measured else row.status for row in rows.values()}
        first, later = rows[NEW].rounds("seconds"), rows[NEXT].rounds("seconds")
        steady = rows[NEXT].rounds("steady_seconds")
        cells.append([title, *(seconds.get(label, DASH) for label in labels), median(steady)])
        peaks = {row.label: median(row.rounds("peak_bytes") / 2**20, ",.0f", False) for row in rows.values()}
        memory.append([title, *(peaks.get(label, DASH) for label in labels)])
        peer, theirs = _fastest(rows)
        goals.append(Goal(f"{title}, new machine / {peer}", FIRST_GOAL, first / np.median(theirs), at_most=True))
        goals.append(Goal(f"{title}, next process / once compiled", NEXT_GOAL, later / steady, at_most=True))
    columns = ["", *labels, "JAX, once compiled"]
    text = (
        f"The first call in a process, in seconds, on {record.details['num_images']} images of {network['dataset']}; "
        f"{'-'.join(str(size) for size, _ in network['layers'])}-{network['layers'][-1][1]}. A new machine has no "
        "compiled program; the next process takes those of another from disk. Imports are not in it."
    )
    taken = Grid(columns[:-1], memory, "The most memory that the process took, MiB, interpreter and libraries included")
    known = any(cell != DASH for row in memory for cell in row[1:])  # records of old have none
    return [text, Grid(columns, cells, "First calls"), *([taken] if known else []), *goals]


def _fastest(rows: Rows) -> tuple[str, np.ndarray]:
    """The library whose first call is the shortest, and its rounds."""
    peers = [row for name, row in rows.items() if name not in (NEW, NEXT) and row.measured]
    if not peers:
        return "no library", np.array([np.nan])
    best = min(peers, key=lambda row: row.median("seconds"))
    return best.label, best.rounds("seconds")


def _ours(folder: pathlib.Path, title: str, kept: bool) -> Turn:
    """Turns of a process of JAX, with programs kept for it or with none."""

    def turn(min_seconds: float) -> tuple[float, Mapping[str, Any]]:
        with tempfile.TemporaryDirectory() as empty:
            cache = str(folder / "kept") if kept else empty
            variables = {"JAX_COMPILATION_CACHE_DIR": cache, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
            command = [sys.executable, "-m", __name__, str(folder), title]
            here = pathlib.Path(__file__).resolve().parents[2]
            ended = subprocess.run(command, env=os.environ | variables, cwd=here, capture_output=True, encoding="utf-8")
        if ended.returncode:
            raise WorkerError((ended.stderr.strip().splitlines() or ["the process ended"])[-1])
        found = json.loads(ended.stdout.splitlines()[-1])
        return found.pop("seconds"), found

    return turn


def first_call(folder: str, title: str) -> dict[str, float]:
    """In a process of its own: the seconds of the first call and of the quickest of three more."""
    loaded = np.load(pathlib.Path(folder) / "task.npz")
    images, labels = jnp.asarray(loaded["images"]), jnp.asarray(loaded["labels"])
    paths = sorted(pathlib.Path(folder).glob("layer_*.npz"))
    layers = [tuple(jnp.asarray(np.load(path)[name], jnp.float32) for name in ("kernel", "bias")) for path in paths]

    def apply_fn(layers: Any, keys: Any, inputs: jax.Array) -> jax.Array:
        hidden = 2 * inputs.reshape(len(inputs), -1) - 1
        for index, (kernel, bias) in enumerate(layers):
            hidden = hidden @ kernel + bias
            hidden = hidden if index >= len(layers) - NUM_LINEAR else jax.nn.relu(hidden)
        return hidden

    run = attacks.Runner(chosen()[title].attack, apply_fn, batch_size=len(labels))
    seconds = []
    for _ in range(4):
        start = time.perf_counter()
        result = run(layers, stream(0, "attack"), images, labels)
        seconds.append(time.perf_counter() - start)
    fooled, peak = float(np.mean(result.success)), peak_resident()
    return {"seconds": seconds[0], "steady_seconds": min(seconds[1:]), "fooled": fooled, "peak_bytes": peak}


if __name__ == "__main__":
    print(json.dumps(first_call(*sys.argv[1:])))
