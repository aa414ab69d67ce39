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
LEAST_SIDE = 8
"""Pixels a side that the corruptions need."""


@dataclasses.dataclass(frozen=True)
class CorruptedImages:
    """The first test images, as they are and corrupted.

    Attributes:
      clean: as they are.
      corrupted: batches of them corrupted.
      constants: of the corruptions, "cifar10" or "imagenet".
      names: which corruptions.
    """

    clean: data.Source
    corrupted: Corrupted
    constants: str
    names: Sequence[str] = ALL

    def conditions(self) -> list[dict[str, Any]]:
        """Of every measurement for a record: of the images as they are, and of each corruption at each severity."""
        at = {"split": "test", "num_images": len(self.clean)}
        return [at, *(at | {"corruption": name, "severity": s} for name in self.names for s in corruptions.SEVERITIES)]

    def batches(self, at: Mapping[str, Any]) -> Iterator[data.Split]:
        """The images of such conditions."""
        return self.corrupted(at["corruption"], at["severity"]) if "corruption" in at else batches(self.clean)


def batches(source: data.Source) -> Iterator[data.Split]:
    """All images of a source, read by as many threads as there are cores."""
    return data.batches(source, BATCH_SIZE, num_threads=data.usable_cores())


def can_be_corrupted(shape: Sequence[int], dtype: Any) -> bool:
    """Whether the corruptions, which are made for colour photographs, take images [H, W, C]."""
    return dtype == np.uint8 and shape[2] == 3 and min(shape[:2]) >= LEAST_SIDE


def constants_of(side: int) -> str:
    """The constants of the corruptions for images of so many pixels a side."""
    return "cifar10" if side <= 64 else "imagenet"


def corrupted_on_device(images: data.Split, constants: str, seed: int = 0) -> Corrupted:
    """Corrupts images uint8 [N, H, W, 3] on the device; every corruption and severity draws from the same keys."""
    keys = losses.per_example_keys(stream(seed, "corruption"), len(images.labels))

    def corrupted(name: str, severity: int) -> Iterator[data.Split]:
        settings: Any = {"name": name, "severity": severity, "constants": constants}
        run = jax.jit(lambda own, inputs: corruptions.corrupt(own, inputs, **settings))
        for first in range(0, len(images.labels), BATCH_SIZE):
            rows = slice(first, first + BATCH_SIZE)
            yield data.Split(np.asarray(run(keys[rows], jnp.asarray(images.inputs[rows]))), images.labels[rows])

    return corrupted


def error_of(predicts: Mapping[str, Predict], shown: Iterable[data.Split]) -> dict[str, float]:
    """Every model's error on the same images, a share, by name.

    Raises:
      ValueError: a model answers NaN.
    """
    wrong: dict[str, list[Any]] = {model: [] for model in predicts}
    for batch in shown:
        images = data.to_unit_interval(batch.inputs)
        for model, predict in predicts.items():
            wrong[model].append(~evaluation.is_right(losses.predicted_class(predict(images)), batch.labels))
    return {model: float(np.concatenate(parts).mean()) for model, parts in wrong.items()}
