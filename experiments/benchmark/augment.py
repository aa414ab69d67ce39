"""The augmentation suite of `experiments.benchmark`: AutoAugment here beside torchvision's, on the same cores.

Batches of photographs in the sizes of CIFAR-10 and ImageNet, each picture with a draw of its own, no crop or flip. Here
a batch is one call of one compiled program, keys in and pictures out; torchvision goes from picture to picture in
Python. The row to compare with takes torchvision's magnitudes, so that both do the same work.
"""

import contextlib
import functools
import pathlib
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from experiments.benchmark.augment_report import REFERENCE, augment_targets
from experiments.benchmark.device import peak_memory
from experiments.benchmark.show import summary
from experiments.benchmark.turns import Row, Turn, take_turns
from experiments.core import worker as torch_worker
from ib_jax import augment
from ib_jax.types import Array

if TYPE_CHECKING:
    from experiments.benchmark.settings import Config

PEERS = ("pil", "pil-v2", "tensor", "tensor-v2", "pil-v2-loader")
LABELS = {
    "pil": "torchvision, PIL",
    "pil-v2": "torchvision v2, PIL",
    "tensor": "torchvision, tensors",
    "tensor-v2": "torchvision v2, tensors",
    "pil-v2-loader": "torchvision v2, PIL, DataLoader on all cores",
}


class Task(NamedTuple):
    """What is augmented.

    Attributes:
      policy: as `augment.auto_augment` calls it.
      peer_policy: as torchvision does.
      size: pixels along each side of a picture.
    """

    policy: str
    peer_policy: str
    size: int


TASKS = {"CIFAR-10": Task("cifar10", "CIFAR10", 32), "ImageNet": Task("imagenet", "IMAGENET", 224)}


def augment_suite(config: "Config", console: Console, matmul_sizes: Sequence[int]) -> dict[str, Any]:
    """Every way of augmenting a batch, taking turns."""
    del matmul_sizes  # no matrix products here
    rows: dict[tuple[str, str], Row] = {}
    start: dict[tuple[str, str], Callable[[], Turn]] = {}
    with contextlib.ExitStack() as stack:
        pictures = {name: photographs(config.pictures, task.size) for name, task in TASKS.items()}
        peers = _Peers(config, pictures, stack)
        for name, task in TASKS.items():
            for key, (label, make) in _ours(task, pictures[name], config.min_seconds).items():
                rows[name, key], start[name, key] = {"label": label}, make
            for peer in config.peer_names:
                rows[name, peer] = {"label": LABELS[peer]}
                start[name, peer] = peers.starter(name, task, peer)
        take_turns(console, rows, start, repeats=config.repeats, each_round=lambda: None)
        worker = peers.info
    tasks: dict[str, dict[str, Any]] = {
        name: {**task._asdict(), "rows": {key: row for (of, key), row in rows.items() if of == name}}
        for name, task in TASKS.items()
    }
    for found in tasks.values():
        _derive(found["rows"], config.pictures)
    return {"worker": worker, "peak_memory": peak_memory(), "tasks": tasks, "targets": augment_targets(tasks)}


def photographs(count: int, size: int) -> np.ndarray:
    """Squares of scikit-learn's two photographs, scaled down by chance: uint8 [count, size, size, 3]."""
    from PIL import Image
    from sklearn.datasets import load_sample_image

    sources = [load_sample_image(name) for name in ("china.jpg", "flower.jpg")]
    rng = np.random.default_rng(0)
    found = np.empty((count, size, size, 3), np.uint8)
    for index in range(count):
        source = sources[index % 2]
        extent = int(rng.integers(size, min(source.shape[:2]) + 1))
        top, left = (int(rng.integers(0, length - extent + 1)) for length in source.shape[:2])
        square = Image.fromarray(source[top : top + extent, left : left + extent])
        found[index] = np.asarray(square.resize((size, size)))
    return found


def _ours(task: Task, pictures: np.ndarray, min_seconds: float) -> dict[str, tuple[str, Callable[[], Turn]]]:
    """Labels and starters of the rows of JAX."""
    original = augment.auto_augment(task.policy)
    theirs = augment.auto_augment(task.policy, magnitudes="torchvision")
    ways: dict[str, tuple[str, augment.Augment]] = {
        REFERENCE: ("JAX, torchvision's magnitudes", augment.batched(theirs)),
        "jax-original": ("JAX, original magnitudes", augment.batched(original)),
        "jax-vmap": ("JAX, every branch for every picture (vmap)", jax.vmap(theirs)),
    }
    return {
        key: (label, functools.partial(_jax_turn, transform, pictures, min_seconds))
        for key, (label, transform) in ways.items()
    }


def _jax_turn(transform: augment.Augment, pictures: np.ndarray, min_seconds: float) -> Turn:
    resident, calls = jnp.asarray(pictures), 0

    @jax.jit
    def run(key: Array, images: Array) -> Array:
        return transform(jax.random.split(key, len(images)), images)

    def turn() -> tuple[float, Mapping[str, Any]]:
        nonlocal calls
        first, done, elapsed = not calls, 0, 0.0
        while not done or (elapsed < min_seconds and not first):
            key = jax.block_until_ready(jax.random.key(calls))
            begin = time.perf_counter()
            jax.block_until_ready(run(key, resident))
            elapsed += time.perf_counter() - begin
            calls, done = calls + 1, done + 1
        return elapsed / done, {}

    return turn


class _Peers:
    """torchvision's worker, started when it is first needed."""

    def __init__(self, config: "Config", pictures: Mapping[str, np.ndarray], stack: contextlib.ExitStack):
        self._config, self._pictures, self._stack = config, pictures, stack
        self._worker: torch_worker.Worker | None = None
        self.info: dict[str, Any] = {}

    def starter(self, name: str, task: Task, peer: str) -> Callable[[], Turn]:
        """What makes the turn of one peer."""
        return lambda: self._turn(name, task, peer)

    def _turn(self, name: str, task: Task, peer: str) -> Turn:
        worker, first = self._running(), True
        request = {"task": name, "policy": task.peer_policy, "peer": peer}

        def turn() -> tuple[float, Mapping[str, Any]]:
            nonlocal first
            reply = worker(request | {"min_seconds": 0.0 if first else self._config.min_seconds})
            first = False
            self.info["compiled_part"] = reply["compiled_part"]
            return reply["seconds_per_picture"] * self._config.pictures, {}

        return turn

    def _running(self) -> torch_worker.Worker:
        if reason := torch_worker.missing(("torch", "torchvision"), "peers"):
            raise torch_worker.WorkerError(reason)
        if jax.default_backend() != "cpu":
            raise torch_worker.WorkerError(f"skipped: torchvision runs on the CPU, JAX on the {jax.default_backend()}")
        if self._worker is None:
            folder = pathlib.Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
            paths = {}
            for index, (name, pictures) in enumerate(self._pictures.items()):
                paths[name] = str(folder / f"{index}.npy")
                np.save(paths[name], pictures)
            started = torch_worker.Worker("experiments.benchmark.augment_torch", {"pictures": paths})
            self._worker = self._stack.enter_context(started)
            self.info |= started.info
        return self._worker


def _derive(rows: Mapping[str, Row], batch_size: int) -> None:
    """Adds images a second, and how many times as fast the reference is, round by round."""
    for key, row in rows.items():
        if row["status"] != "measured":
            continue
        row["images_per_second"] = summary([batch_size / seconds for seconds in row["seconds"]])
        if key != REFERENCE:
            pairs = zip(row["seconds"], rows[REFERENCE]["seconds"], strict=True)
            row["jax_is_faster"] = summary([other / ours for other, ours in pairs])
