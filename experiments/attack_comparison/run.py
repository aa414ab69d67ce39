"""Attacks one network with this library's attacks and with others'."""

import contextlib
import dataclasses
import math
import pathlib
import tempfile
import time
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.markdown import Markdown
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from experiments.attack_comparison import peers as attack_peers
from experiments.attack_comparison import table as attack_comparison_table
from experiments.attack_comparison import victim as attack_victim
from experiments.attack_comparison.rows import Row, rows
from experiments.attack_comparison.settings import ComparisonConfig
from experiments.attack_comparison.victim import Judge, Victim
from experiments.core import records
from experiments.core import worker as torch_worker
from experiments.core.app import Session
from experiments.core.keys import stream
from experiments.core.workdir import environment
from ib_jax import attacks

RESULTS = pathlib.Path("experiments/results/attack_comparison")


def run(config: ComparisonConfig, session: Session, victim: Victim | None = None) -> dict[str, Any]:
    """Attacks on both sides, prints the table and writes the record.

    Args:
      config: the settings.
      session: where to show progress and tables, and the command for the records.
      victim: the network; None for the one that the settings name.

    Returns:
      The record.

    Raises:
      ValueError: a setting will not do.
    """
    console, command = session.console, session.command
    victim = _victim(config, console) if victim is None else victim
    judge = Judge(victim, config.num_images)
    compared: list[dict[str, Any]] = []
    with contextlib.ExitStack() as stack:
        peers = stack.enter_context(Peers(config, victim, judge))
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
        bar = Progress(*columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal)
        stack.enter_context(bar)
        task = bar.add_task("", total=sum(1 + len(row.peers) for row in rows(config)))
        for row in rows(config):
            bar.update(task, description=f"{row.name}: ours")
            ours = _ours(config, row, victim, judge)
            bar.advance(task)
            theirs = {}
            for peer in row.peers:
                bar.update(task, description=f"{row.name}: {peer}")
                theirs[peer] = peers(row, peer)
                if theirs[peer]["status"] == "measured":
                    theirs[peer] |= compare(row, ours, theirs[peer])
                bar.advance(task)
            compared.append(_record(row, ours, theirs))
            if not console.is_terminal:
                console.print(f"{row.name} done", highlight=False)
        versions = peers.info
    record = {
        "experiment": "attack_comparison",
        "command": command,
        "config": dataclasses.asdict(config),
        "environment": environment(),
        "peers": versions,
        "network": dict(victim.description),
        "num_images": len(judge.labels),
        "clean_accuracy": float(judge.correct.mean()),
        "rows": compared,
    }
    path = pathlib.Path(config.output or RESULTS / f"{victim.description['dataset']}.json")
    records.write_json(path, record)
    console.print(Markdown(attack_comparison_table.make(path.parent)))
    console.print(f"The record is {path}.", highlight=False)
    return record


def measure_of(row: Row) -> str:
    """The number by which an attack is judged."""
    return "robust_accuracy" if row.epsilon is not None else f"median_{row.norm}_all"


def compare(row: Row, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """How far ours is from theirs, lower being better for the attack, and whether that meets the target."""
    mine, other = ours[measure_of(row)], theirs[measure_of(row)]
    if row.epsilon is not None:
        return {"difference": mine - other, "met": mine - other <= row.tolerance + 1e-9}
    on_boundary = [side["boundary"][measure_of(row)] for side in (ours, theirs)]
    return {
        "difference": _relative(mine, other),
        "met": bool(mine <= (1 + row.tolerance) * other),
        "boundary_difference": _relative(*on_boundary),
        "boundary_met": bool(on_boundary[0] <= (1 + row.tolerance) * on_boundary[1]),
    }


def _relative(mine: float, other: float) -> float:
    return mine / other - 1 if math.isfinite(other) and other > 0 else math.nan


class Peers:
    """The other libraries, in a process that is started when it is first needed."""

    def __init__(self, config: ComparisonConfig, victim: Victim, judge: Judge):
        self._config, self._victim, self._judge = config, victim, judge
        self._stack = contextlib.ExitStack()
        self._worker: torch_worker.Worker | None = None
        self.info: dict[str, Any] = {}

    def __call__(self, row: Row, peer: str) -> dict[str, Any]:
        """What an attack of theirs achieved; `status` is "measured", or why there is nothing."""
        said: dict[str, Any] = {"settings": dict(row.peers[peer])}
        if reason := attack_peers.missing(peer.split(".")[0]):
            return said | {"status": reason}
        try:
            worker = self._start()
            output = str(self._folder / "out.npz")
            calls = {"batch_size": self._config.batch_size, "seed": self._config.seed}
            reply = worker(dataclasses.asdict(attack_peers.Request(peer, output, row.peers[peer], **calls)))
        except (torch_worker.WorkerError, OSError) as error:
            return said | {"status": str(error)}
        with np.load(output) as file:
            judged = self._judge(file["images"], norm=row.norm, epsilon=row.epsilon)
        told = {"seconds": reply["seconds"], "not_finite": reply["not_finite"]}
        if "robust_accuracy" in reply:  # only the official AutoAttack says
            told |= {"by_its_own_account": reply["robust_accuracy"], "warnings": reply["warnings"]}
        return said | {"status": "measured", **told, **judged}

    def _start(self) -> torch_worker.Worker:
        if self._worker is None:
            self._folder = pathlib.Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
            task = self._folder / "task.npz"
            attack_peers.save_task(task, self._victim.layers, self._judge.images, self._judge.labels)
            self._worker = self._stack.enter_context(attack_peers.start(task))
            self.info = dict(self._worker.info)
        return self._worker

    def __enter__(self) -> "Peers":
        return self

    def __exit__(self, *exception: Any) -> None:
        self._stack.close()


def _victim(config: ComparisonConfig, console: Console) -> Victim:
    if config.checkpoint:
        return attack_victim.from_workdir(config.checkpoint, data_dir=config.data_dir)
    console.print(f"Training a network on {config.dataset}, {config.num_epochs} epochs.", highlight=False)
    names = ("dataset", "num_epochs", "hidden_width", "data_dir", "seed")
    return attack_victim.trained(**{name: getattr(config, name) for name in names})


def _ours(config: ComparisonConfig, row: Row, victim: Victim, judge: Judge) -> dict[str, Any]:
    runner = attacks.Runner(row.attack, victim.apply_fn, batch_size=min(config.batch_size, len(judge.labels)))
    images, labels = jnp.asarray(judge.images), jnp.asarray(judge.labels)
    start = time.perf_counter()
    result = runner(victim.params, stream(config.seed, "attack"), images, labels)
    seconds = time.perf_counter() - start
    judged = judge(np.asarray(result.inputs), norm=row.norm, epsilon=row.epsilon)
    standing = {"standing": row.attack.standing(result)} if row.group == "autoattack" else {}
    return {"seconds_with_compiling": seconds, **judged, **standing}


def _record(row: Row, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    kept = row._asdict()
    del kept["attack"], kept["peers"]
    return {**kept, "measure": measure_of(row), "ours": dict(ours), "peers": dict(theirs)}
