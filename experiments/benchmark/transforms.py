"""The suites of image transforms: augment and corruptions.

augment: AutoAugment here beside torchvision's, on the same cores. Batches of photographs in the sizes of CIFAR-10 and
ImageNet, each picture with a draw of its own, no crop or flip. Here a batch is one call of one compiled program, keys
in and pictures out; torchvision goes from picture to picture in Python. The row to compare with takes torchvision's
magnitudes, so that both do the same work.

corruptions: images a second of every corruption beside imagecorruptions'. Both take the same pictures at severity 3
with ImageNet's constants, the only ones that package has. Its elastic transform does less than ours, which has the
affine map before it; its frost reads a photograph from disk each time. Ours is one compiled program for a batch that
lies on the device; theirs is a function of one image, called from one process, as its users would, and from a process
on each core.
"""

import contextlib
import functools
import itertools
import pathlib
import tempfile
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from sklearn.datasets import load_sample_image

from experiments import corruptions as imagecorruptions
from experiments.benchmark.measure import Plan, Row, Turn, refuse_peer, timed
from experiments.benchmark.settings import PEERS, TORCH_WORKER, Config
from experiments.core import worker
from ib_jax import augment as augmentation
from ib_jax import corruptions as library
from ib_jax.types import Array

TORCHVISION = {
    "pil": "torchvision, PIL",
    "pil-v2": "torchvision v2, PIL",
    "tensor": "torchvision, tensors",
    "tensor-v2": "torchvision v2, tensors",
    "pil-v2-loader": "torchvision v2, PIL, DataLoader on all cores",
}
SEVERITY, CONSTANTS, BATCH_SIZE = 3, "imagenet", 128
SIZES: dict[int, tuple[str, ...]] = {
    32: (*library.CORRUPTIONS, *library.EXTRA_CORRUPTIONS),
    224: (
        *("gaussian_noise", "shot_noise", "defocus_blur", "glass_blur", "motion_blur", "snow", "fog", "contrast"),
        *("elastic_transform", "pixelate", "jpeg_compression"),
    ),
}
"""The corruptions measured by the side of the images, in pixels."""


class Task(NamedTuple):
    """What is augmented."""

    policy: str  # as `augment.auto_augment` calls it
    peer_policy: str  # as torchvision does
    size: int  # pixels along each side of a picture


TASKS = {"CIFAR-10": Task("cifar10", "CIFAR10", 32), "ImageNet": Task("imagenet", "IMAGENET", 224)}


def augment(config: Config, console: Console, stack: contextlib.ExitStack) -> Plan:
    """Every way of augmenting a batch."""
    pictures = {table: photographs(config.pictures, task.size) for table, task in TASKS.items()}
    folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
    paths = {table: str(folder / f"{table}.npy") for table in TASKS}
    for table, path in paths.items():
        np.save(path, pictures[table])

    @functools.cache
    def torchvision() -> worker.Worker:
        refuse_peer(worker.missing(("torch", "torchvision"), "peers"))
        return stack.enter_context(worker.Worker(TORCH_WORKER, {"pictures": paths}))

    def theirs(request: Mapping[str, Any]) -> Turn:
        peer = torchvision()

        def turn(min_seconds: float) -> tuple[float, Mapping[str, Any]]:
            reply = peer({**request, "min_seconds": min_seconds})
            process = peer.info | {"compiled_part": reply["compiled_part"]}
            return reply["seconds_per_picture"] * config.pictures, {"process": process, "peak_bytes": peer.peak_bytes}

        return turn

    rows = []
    for table, task in TASKS.items():
        row = functools.partial(Row, table, images=config.pictures, settings={"size": task.size})
        same = augmentation.auto_augment(task.policy, magnitudes="torchvision")
        ways = {
            ("jax", "JAX, torchvision's magnitudes"): augmentation.batched(same),
            ("jax-original", "JAX, original magnitudes"): augmentation.batched(augmentation.auto_augment(task.policy)),
            ("jax-vmap", "JAX, every branch for every picture (vmap)"): jax.vmap(same),
        }
        for (name, label), transform in ways.items():
            rows.append(row(name, label, functools.partial(augmented, transform, pictures[table])))
        for peer in config.peer_names:
            request = {"task": table, "policy": task.peer_policy, "peer": peer}
            rows.append(row(peer, TORCHVISION[peer], functools.partial(theirs, request)))
    return Plan(rows, dtype="", min_seconds=config.min_seconds)


def photographs(count: int, size: int) -> np.ndarray:
    """Squares of scikit-learn's two photographs, scaled down by chance: uint8 [count, size, size, 3]."""
    from PIL import Image

    sources = [load_sample_image(name) for name in ("china.jpg", "flower.jpg")]
    rng = np.random.default_rng(0)
    pictures = np.empty((count, size, size, 3), np.uint8)
    for index in range(count):
        source = sources[index % 2]
        extent = int(rng.integers(size, min(source.shape[:2]) + 1))
        top, left = (int(rng.integers(0, length - extent + 1)) for length in source.shape[:2])
        square = Image.fromarray(source[top : top + extent, left : left + extent])
        pictures[index] = np.asarray(square.resize((size, size)))
    return pictures


def augmented(transform: augmentation.Augment, pictures: np.ndarray) -> Turn:
    """A turn of the compiled augmentation of a batch on the device, each time with another key."""
    resident, seeds = jnp.asarray(pictures), itertools.count()

    @jax.jit
    def run(key: Array) -> Array:
        return transform(jax.random.split(key, len(resident)), resident)

    return timed(run, prepare=lambda: (jax.random.key(next(seeds)),))


def corruptions(config: Config, console: Console, stack: contextlib.ExitStack) -> Plan:
    """Every corruption: JAX, and the package in one process and in one on each core."""
    cores = stack.enter_context(imagecorruptions.Cores())
    speeds: tuple[Callable[..., float], ...] = (imagecorruptions.images_per_second, cores.images_per_second)
    theirs = dict(zip(PEERS["corruptions"], speeds, strict=True))
    rows = []
    for size, names in SIZES.items():
        images = crops(size)
        for name in names:
            settings = {"corruption": name, "size": size, "severity": SEVERITY}
            row = functools.partial(Row, f"{size} x {size}", settings=settings)
            ours = functools.partial(corrupted, images, name)
            rows.append(row(f"{name} jax", f"{name}, JAX", ours, BATCH_SIZE))
            for peer in config.peer_names:
                start = functools.partial(_package, theirs[peer], images, name)
                rows.append(row(f"{name} {peer}", f"{name}, {peer}", start, 1))
    facts = {"severity": SEVERITY, "constants": CONSTANTS, "images": BATCH_SIZE, "cores": cores.count}
    return Plan(rows, lambda: facts, dtype="", min_seconds=config.min_seconds)


def corrupted(images: np.ndarray, name: str) -> Turn:
    """A turn of the compiled corruption of a batch on the device."""
    run = jax.jit(functools.partial(library.corrupt, name=name, severity=SEVERITY, constants=CONSTANTS))
    keys, batch = jax.random.split(jax.random.key(0), len(images)), jnp.asarray(images)
    return timed(lambda: run(keys, batch))


def _package(images_per_second: Callable[..., float], images: np.ndarray, name: str) -> Turn:
    if reason := imagecorruptions.missing():
        raise worker.WorkerError(reason)
    return lambda min_seconds: (1 / images_per_second(images, name, SEVERITY, min_seconds), {})


def crops(size: int) -> np.ndarray:
    """A batch of pieces of a photograph: uint8 [BATCH_SIZE, size, size, 3]."""
    photograph = load_sample_image("china.jpg")
    tops, lefts = (np.random.default_rng(0).integers(0, side - size, BATCH_SIZE) for side in photograph.shape[:2])
    return np.stack([photograph[top : top + size, left : left + size] for top, left in zip(tops, lefts, strict=True)])
