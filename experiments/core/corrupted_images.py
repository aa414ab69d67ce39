"""Images of a data set as they are and corrupted, on the device or as published, and models' errors on them."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.core.keys import stream
from ib_jax import corruptions, data, evaluation, losses
from ib_jax.types import Array

Predict = Callable[[Array], Array]
"""images float [B, H, W, 3] in [0, 1] -> logits or probabilities [B, C], already compiled."""
Corrupted = Callable[[str, int], Iterator[data.Split]]
"""(corruption, severity) -> batches of corrupted images with their labels, the last one smaller."""

ALL = (*corruptions.CORRUPTIONS, *corruptions.EXTRA_CORRUPTIONS)
BATCH_SIZE = 250


@dataclasses.dataclass(frozen=True)
class CorruptedImages:
    """Images as they are and corrupted.

    Attributes:
      num_images: how many, the first of the test images.
      constants: of the corruptions, "cifar10" or "imagenet".
      clean: () -> batches of the images as they are.
      corrupted: batches of them corrupted.
      names: which corruptions.
    """

    num_images: int
    constants: str
    clean: Callable[[], Iterator[data.Split]]
    corrupted: Corrupted
    names: Sequence[str] = ALL

    def conditions(self) -> list[dict[str, Any]]:
        """Of every measurement for a record: of the images as they are, and of each corruption at each severity."""
        at = {"split": "test", "num_images": self.num_images}
        return [
            at,
            *({**at, "corruption": name, "severity": s} for name in self.names for s in corruptions.SEVERITIES),
        ]

    def batches(self, at: Mapping[str, Any]) -> Iterator[data.Split]:
        """The images of such conditions."""
        return self.corrupted(at["corruption"], at["severity"]) if "corruption" in at else self.clean()


def made(split: data.Split, constants: str, seed: int = 0) -> Corrupted:
    """Corrupts images on the device, those of each corruption and severity with the same keys.

    Args:
      split: uint8 images of three channels, and labels.
      constants: "cifar10" or "imagenet".
      seed: of the noise.

    Returns:
      The corrupted images.
    """
    keys = losses.per_example_keys(stream(seed, "corruption"), len(split.labels))

    def batches(name: str, severity: int) -> Iterator[data.Split]:
        run = jax.jit(
            lambda own, images: corruptions.corrupt(own, images, name=name, severity=severity, constants=constants)
        )
        for first in range(0, len(split.labels), BATCH_SIZE):
            rows = slice(first, first + BATCH_SIZE)
            yield data.Split(np.asarray(run(keys[rows], jnp.asarray(split.inputs[rows]))), split.labels[rows])

    return batches


def published(name: str, *, data_dir: str | None, count: int) -> Corrupted:
    """The published corrupted images of a data set, the first `count` of each; otherwise as `made`."""

    def batches(corruption: str, severity: int) -> Iterator[data.Split]:
        source = data.open_corrupted(name, corruption, severity, data_dir=data_dir)
        return data.batches(data.Subset(source, np.arange(min(count, len(source)))), batch_size=BATCH_SIZE)

    return batches


def constants_of(side: int) -> str:
    """The constants of the corruptions for images of so many pixels a side."""
    return "cifar10" if side <= 64 else "imagenet"


def error_of(predicts: Mapping[str, Predict], batches: Iterable[data.Split]) -> dict[str, float]:
    """Every model's error on the same images, a share, by name.

    Raises:
      ValueError: a model answers NaN.
    """
    wrong: dict[str, list[Any]] = {model: [] for model in predicts}
    for batch in batches:
        images = data.to_unit_interval(batch.inputs)
        for model, predict in predicts.items():
            wrong[model].append(~evaluation.is_right(losses.predicted_class(predict(images)), batch.labels))
    return {model: float(np.concatenate(parts).mean()) for model, parts in wrong.items()}
