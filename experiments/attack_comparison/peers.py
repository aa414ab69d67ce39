"""Attacks of torchattacks, foolbox and pyautoattack (the official AutoAttack), in a process of their own.

    save_task(f"{folder}/task.npz", layers, images, labels)
    with start(f"{folder}/task.npz") as worker:
        request = Request("torchattacks.PGD", f"{folder}/out.npz", {"eps": 0.3, "steps": 20}, batch_size=1000)
        seconds = worker(dataclasses.asdict(request))["seconds"]
    adversarial = np.load(request.output)["images"]

The images come back as the library gave them. Who asks judges success and distance, with one model for all libraries,
for these do not agree on what they return, and some of it is wrong:

- foolbox's CW returns an all-zero image where it failed.
- torchattacks' CW takes atanh of exactly 0 and 1: such pixels, most of an MNIST image, never move. It masks the true
  class with 0, wrong where all other logits are negative. It stops when the cost of the whole batch rises (foolbox's,
  with `abort_early`, when it stalls): the rest of a batch has an influence.
- torchattacks' MIFGSM divides by the mean gradient: once that is zero, the image's momentum is NaN and its sign 0, so
  that the image stays where it is.
- torchattacks' PGDL2 adds 1e-10 to a gradient's norm, of a loss divided by the batch size: small gradients step less.
- torchattacks' AutoAttack runs 10 iterations of APGD and of FAB, where the official one runs 100.
- APGD, FAB and Square return the input itself where they failed, not their best try.
- PyTorch's cross-entropy loses the slope of the own logit once it leads by 17 nats, by rounding: attacks on it are
  weaker on sure images, the fewer steps the more. `logsumexp(l) - l_y` as the loss does the same here.
"""

import dataclasses
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.core import worker as torch_worker

ATTACKS = {
    "torchattacks": (
        *("FGSM", "BIM", "PGD", "PGDL2", "MIFGSM", "CW", "DeepFool"),
        *("APGD", "APGDT", "FAB", "Square", "AutoAttack"),
    ),
    "foolbox": (
        *("LinfFastGradientAttack", "LinfPGD", "L2PGD"),
        *("L2CarliniWagnerAttack", "L2DeepFoolAttack", "LinfDeepFoolAttack"),
    ),
    "pyautoattack": ("AutoAttack",),
}
"""The attacks of each library, by the library's own names."""


@dataclasses.dataclass(frozen=True)
class Request:
    """What a worker is asked to run.

    Attributes:
      attack: "library.Attack", of `ATTACKS`.
      output: the .npz to write, an absolute path, for the worker lives in another folder. Its `images` are the
        adversarial ones, float32, shaped as the task's.
      settings: of the library's attack, by its own names. "eps" goes to foolbox's call as `epsilons` (without it: no
        limit, for attacks that minimise the distance). pyautoattack's are norm, eps, version, seed, and over these
        attacks (those to run), n_iter (of APGD and FAB), n_queries (of Square), n_target_classes (of APGD-T and FAB-T).
      num_images: how many of the task's images, from the first; 0: all.
      batch_size: images of one call.
      min_seconds: the attack is run again until so many have been measured; 0: once.
      seed: set before each run.
    """

    attack: str
    output: str
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    num_images: int = 0
    batch_size: int = 1000
    min_seconds: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        library, _, name = self.attack.partition(".")
        if name not in ATTACKS.get(library, ()):
            known = ", ".join(f"{library}.{name}" for library, names in ATTACKS.items() for name in names)
            raise ValueError(f"attack must be one of {known}; got {self.attack!r}")
        if not os.path.isabs(self.output):
            raise ValueError(f"output must be an absolute path, got {self.output!r}")
        if self.num_images < 0 or self.batch_size < 1 or self.min_seconds < 0:
            raise ValueError(
                "num_images and min_seconds must be at least 0 and batch_size at least 1, got "
                f"{self.num_images}, {self.min_seconds} and {self.batch_size}"
            )


def missing(library: str, *, avx512: bool = False) -> str:
    """Why a library's attacks cannot run here; empty if they can."""
    return torch_worker.missing(["torch", library], "peers", avx512=avx512)


def save_task(
    path: str | os.PathLike[str],
    layers: Sequence[tuple[np.ndarray, np.ndarray]],
    images: np.ndarray,
    labels: np.ndarray,
    *,
    num_linear: int = 2,
) -> None:
    """Writes what a worker loads: a network, images and labels.

    Args:
      path: of the .npz.
      layers: kernel [inputs, outputs] and bias [outputs] of each dense layer; what goes in is 2 x - 1, flattened.
      images: x, [N, H, W, C] in [0, 1].
      labels: int [N].
      num_linear: how many of the last layers no ReLU follows: the code's mean and the decoder; 1 if these are folded.

    Raises:
      ValueError: the shapes or the images' values do not fit.
    """
    sizes = [kernel.shape for kernel, _ in layers]
    inputs = [math.prod(images.shape[1:]), *(outputs for _, outputs in sizes[:-1])]
    if images.ndim != 4 or labels.shape != images.shape[:1] or [size[0] for size in sizes] != inputs:
        raise ValueError(f"images {images.shape}, labels {labels.shape} and kernels {sizes} do not fit together")
    if not (images.min() >= 0 and images.max() <= 1):
        raise ValueError(f"images must lie in [0, 1], got values from {images.min()} to {images.max()}")
    arrays: dict[str, Any] = {"num_linear": num_linear, "images": images, "labels": labels}
    for index, (kernel, bias) in enumerate(layers):
        arrays |= {f"kernel_{index}": kernel, f"bias_{index}": bias}
    np.savez(path, **arrays)


def start(task: str | os.PathLike[str], *, avx512: bool = False) -> torch_worker.Worker:
    """Starts a worker on a task.

    It takes the fields of a `Request`, and replies with `seconds` (the median of the runs, without making the attack
    and saving), `rounds` (each run's), `num_images`, `not_finite` (images with a NaN or infinity in them), and for
    pyautoattack `robust_accuracy` (by attack, each after those before it, "clean" the first and "all" the
    last; without those that had nothing left to do) and `warnings`.

    Args:
      task: what `save_task` wrote.
      avx512: whether to force MKL's AVX-512 path on processors that are not Intel's.

    Raises:
      torch_worker.WorkerError: the worker ended before it was ready.
    """
    arguments = {"task": os.path.abspath(task)}
    return torch_worker.Worker("experiments.attack_comparison.peers_torch", arguments, avx512=avx512)
