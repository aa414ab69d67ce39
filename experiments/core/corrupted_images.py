"""The error of models on corrupted images: each image is corrupted once, on the device, and shown to every model."""

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
Errors = dict[str, list[float]]
"""By corruption its error at the five severities, a share."""

BATCH_SIZE = 250


def made(split: data.Split, constants: str, seed: int = 0) -> Callable[[str, int], Iterator[data.Split]]:
    """Corrupts images on the device, those of each corruption and severity with the same keys.

    Args:
      split: uint8 images of three channels, and labels.
      constants: "cifar10" or "imagenet".
      seed: of the noise.

    Returns:
      (corruption, severity) -> batches of corrupted images with their labels, the last one smaller.
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


def published(name: str, *, data_dir: str | None, count: int) -> Callable[[str, int], Iterator[data.Split]]:
    """The published corrupted images of a data set, the first `count` of each, 0 for all; otherwise as `made`."""

    def batches(corruption: str, severity: int) -> Iterator[data.Split]:
        source = data.open_corrupted(name, corruption, severity, data_dir=data_dir)
        limit = min(count or len(source), len(source))
        return data.batches(data.Subset(source, np.arange(limit)), batch_size=BATCH_SIZE)

    return batches


def errors_of(
    predicts: Mapping[str, Predict],
    batches: Callable[[str, int], Iterator[data.Split]],
    *,
    names: Sequence[str] = corruptions.CORRUPTIONS,
    report: Callable[[str, int], None] = lambda name, severity: None,
) -> dict[str, Errors]:
    """Every model's error under every corruption at every severity.

    Args:
      predicts: the models by name.
      batches: as of `made` or `published`.
      names: which corruptions.
      report: told of each corruption and severity that is done.

    Returns:
      By model its `Errors`.
    """
    found: dict[str, Errors] = {model: {} for model in predicts}
    for name in names:
        for severity in corruptions.SEVERITIES:
            for model, error in error_of(predicts, batches(name, severity)).items():
                found[model].setdefault(name, []).append(error)
            report(name, severity)
    return found


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
