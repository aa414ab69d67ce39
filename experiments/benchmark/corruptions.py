"""The corruption suite of `experiments.benchmark`: images a second of every corruption beside imagecorruptions'.

Both take the same pictures at severity 3 with ImageNet's constants, the only ones that package has. Its elastic
transform does less than ours, which has the affine map before it; its frost reads a photograph from disk each time.
Ours is one compiled program for a batch that lies on the device; theirs is a function of one image, called from one
process, as its users would, and from a process on each core.
"""

import functools
import math
import statistics
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import sklearn.datasets
from rich.console import Console

from experiments.benchmark.show import progress, summary
from experiments.corruptions import peer as corruption_peer
from ib_jax import corruptions

if TYPE_CHECKING:
    from experiments.benchmark.settings import Config

OURS, ONE, CORES = "jax", "imagecorruptions", "imagecorruptions-cores"
PEERS = (ONE, CORES)
SEVERITY, CONSTANTS, BATCH_SIZE = 3, "imagenet", 128
NAMES = (*corruptions.CORRUPTIONS, *corruptions.EXTRA_CORRUPTIONS)
SIZES: dict[int, tuple[str, ...]] = {
    32: NAMES,
    224: (
        *("gaussian_noise", "shot_noise", "defocus_blur", "glass_blur", "motion_blur", "snow", "fog", "contrast"),
        *("elastic_transform", "pixelate", "jpeg_compression"),
    ),
}
"""The corruptions measured by the side of the images, in pixels."""

TARGET = 5.0

Turn = Callable[[float], float]
"""From the seconds to go on for to images a second."""


def corruptions_suite(config: "Config", console: Console, matmul_sizes: Sequence[int]) -> dict[str, Any]:
    """Every corruption: JAX and the package, taking turns."""
    del matmul_sizes
    absent = corruption_peer.missing()
    status = dict.fromkeys(config.peer_names, absent or "measured")
    rows: dict[str, dict[str, Any]] = {}
    with corruption_peer.Cores() as cores, progress(console) as bar:
        measured = [peer for peer, said in status.items() if said == "measured"]
        total = sum(map(len, SIZES.values()))
        line = bar.add_task("", total=total, what="preparing")
        for size, names in SIZES.items():
            images = pictures(size)
            for name in names:
                bar.update(line, what=f"{name}, {size} x {size}")
                turns: dict[str, Turn] = {OURS: ours(images, name)}
                if ONE in measured:
                    turns[ONE] = functools.partial(corruption_peer.images_per_second, images, name, SEVERITY)
                if CORES in measured:
                    turns[CORES] = functools.partial(cores.images_per_second, images, name, SEVERITY)
                rows[f"{name} {size}"] = {"name": name, "size": size} | _take_turns(turns, config)
                bar.advance(line)
                if not console.is_terminal:
                    console.print(f"{name}, {size} x {size} done", highlight=False)
        num_cores = cores.count
    record: dict[str, Any] = {"severity": SEVERITY, "constants": CONSTANTS, "images": BATCH_SIZE, "cores": num_cores}
    record |= {"peers": status, "rows": rows}
    return record | {"geometric_means": geometric_means(rows), "targets": targets(rows)}


def _take_turns(turns: dict[str, Turn], config: "Config") -> dict[str, Any]:
    """A corruption's first calls, and then everyone's turn in every round."""
    begin = time.perf_counter()
    turns[OURS](0.0)
    row: dict[str, Any] = {"first_call_seconds": time.perf_counter() - begin}
    for peer in PEERS:
        if peer in turns:
            turns[peer](0.0)
    rounds: dict[str, list[float]] = {key: [] for key in turns}
    for _ in range(config.repeats):
        for key, turn in turns.items():
            rounds[key].append(turn(config.min_seconds))
    row["images_per_second"] = {key: summary(values) for key, values in rounds.items()}
    row["ratios"] = {
        key: summary([mine / theirs for mine, theirs in zip(rounds[OURS], values, strict=True)])
        for key, values in rounds.items()
        if key != OURS
    }
    return row


def ours(images: np.ndarray, name: str) -> Turn:
    """A turn of the compiled corruption of a batch on the device."""
    settings: dict[str, Any] = {"name": name, "severity": SEVERITY, "constants": CONSTANTS}
    run = jax.jit(functools.partial(corruptions.corrupt, **settings))
    keys, batch = jax.random.split(jax.random.key(0), len(images)), jnp.asarray(images)

    def turn(seconds: float) -> float:
        begin, calls = time.perf_counter(), 0
        while calls == 0 or time.perf_counter() - begin < seconds:
            run(keys, batch).block_until_ready()
            calls += 1
        return calls * len(images) / (time.perf_counter() - begin)

    return turn


def pictures(size: int) -> np.ndarray:
    """A batch of pieces of a photograph: uint8 [BATCH_SIZE, size, size, 3]."""
    photograph = sklearn.datasets.load_sample_image("china.jpg")
    tops, lefts = (np.random.default_rng(0).integers(0, side - size, BATCH_SIZE) for side in photograph.shape[:2])
    return np.stack([photograph[top : top + size, left : left + size] for top, left in zip(tops, lefts, strict=True)])


def geometric_means(rows: dict[str, dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Of the ratios to each peer, by the size of the images."""
    found: dict[str, dict[str, float]] = {}
    for size in SIZES:
        for peer in PEERS:
            ratios = [
                row["ratios"][peer]["median"] for row in rows.values() if row["size"] == size and peer in row["ratios"]
            ]
            if ratios:
                found.setdefault(str(size), {})[peer] = math.exp(statistics.fmean(map(math.log, ratios)))
    return found


def targets(rows: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """At least five times the package's speed, for each corruption; without the peers that are missing."""
    found = {}
    for peer, label in ((ONE, "one process"), (CORES, "a process on each core")):
        for size in SIZES:
            of_size = [row for row in rows.values() if row["size"] == size and peer in row["ratios"]]
            if not of_size:
                continue
            least = min(of_size, key=lambda row: row["ratios"][peer]["median"])
            value = least["ratios"][peer]["median"]
            name = f"JAX / {ONE} in {label}, {size} x {size}, least of {len(of_size)} ({least['name']})"
            found[name] = {"target": TARGET, "measured": value, "met": value >= TARGET}
    return found
