"""Compare every attack with the same one in torchattacks, foolbox and pyautoattack, on the same weights.

Run:      python -m experiments.attack_comparison                          digits, trains a network; minutes
          python -m experiments.attack_comparison --checkpoint=WORKDIR     MNIST, some half an hour on two cores
          where WORKDIR is one that a cross_entropy run of experiments.mnist_vib has left.
Needs:    pip install 'ib-jax[peers]' for the other libraries; without them their rows say so.
Method:   the weights are handed to PyTorch in another process; both sides get the same images and the same settings.
          Success and distance are judged for all by the JAX network, on the images that came back: a library's own
          verdict is not asked for. Where results end on the boundary itself, so that rounding decides (torchattacks'
          DeepFool, which goes 2 % beyond its last step alone), a note says what counting them would change. Random
          starts differ, as random numbers do. What the other libraries do otherwise at equal settings stands at the
          head of `experiments.attack_comparison.peers`.
Units:    inputs lie in [0, 1], and so do radii and distances.
Expect:   at a radius, a robust accuracy at most 0.5 points above theirs (AutoAttack: 0.3); without one, a median
          perturbation at most 2 % larger. The median is over images that were classified right, a failure infinitely
          far.
Leaves:   a JSON record, by default experiments/results/attack_comparison/<dataset>.json, and table.md beside it, made
          of all records there.
"""

import contextlib
import dataclasses
import math
import pathlib
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.markdown import Markdown
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from experiments.attack_comparison import peers as attack_peers
from experiments.attack_comparison import table as attack_comparison_table
from experiments.attack_comparison import victim as attack_victim
from experiments.attack_comparison.rows import ComparisonConfig, Row, rows
from experiments.attack_comparison.victim import Judge, Victim
from experiments.core import flags, records
from experiments.core import worker as torch_worker
from experiments.core.keys import stream
from ib_jax import attacks, data, training

RESULTS = pathlib.Path("experiments/results/attack_comparison")


def run(
    config: ComparisonConfig, console: Console, *, command: str = "", victim: Victim | None = None
) -> dict[str, Any]:
    """Attacks on both sides, prints the table and writes the record.

    Args:
      config: the settings.
      console: where to show progress and the table.
      command: the command line to write into the record.
      victim: the network; None for the one that the settings name.

    Returns:
      The record.

    Raises:
      ValueError: a setting will not do.
    """
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
        "environment": records.environment(),
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


def main(argv: Sequence[str]) -> None:
    """Reads the flags and runs."""
    del argv
    try:
        run(
            flags.config_from_flags(ComparisonConfig),
            Console(),
            command=records.command("experiments.attack_comparison"),
        )
    except (training.NonFiniteLossError, data.DatasetUnavailableError, ValueError) as error:
        sys.exit(f"attack_comparison: {error}")


def launch() -> None:
    """Defines the flags and runs."""
    flags.run_app(main, ComparisonConfig, __doc__ or "")
