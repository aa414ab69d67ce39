"""A model's errors under the common corruptions, made on the device, batch by batch, right before it sees them.

How the model was trained and where it lies is no matter here: it comes as a function.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ib_jax import corruptions, evaluation
from ib_jax.types import Array, Params

PredictFn = Callable[[Params, Array, Array], Array]
"""(params, keys [B], inputs float [B, H, W, 3] in [0, 1]) -> classes int [B]."""

Report = Callable[[str, int, int, int], None]
"""Hears of progress: (corruption, severity, how many pairs are done, of how many)."""


class CorruptionErrors(NamedTuple):
    """Errors of one model, as shares in [0, 1].

    Attributes:
      clean: on the images as they are.
      errors: for each corruption those at severities 1 to 5.
      average: the mean over the 15 corruptions of the benchmark that were asked for, and severities.
      mce: the mean corruption error relative to the baseline, as a ratio; papers print 100 times it. None unless all 15
        were asked for.
    """

    clean: float
    errors: dict[str, list[float]]
    average: float
    mce: float | None


def evaluate(
    predict: PredictFn,
    params: Params,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    key: Array,
    names: Sequence[str] = corruptions.CORRUPTIONS,
    constants: str = "cifar10",
    batch_size: int = 128,
    baseline: Mapping[str, float] | None = None,
    textures: Array | None = None,
    report: Report | None = None,
) -> CorruptionErrors:
    """Runs a model over all corruptions and severities.

    Each image has one key for its corruptions and one for the model, both by its place in `images`: the outcome does
    not depend on the batch size. An image is corrupted anew for every corruption and severity, from the same key.

    Args:
      predict: a pure function (params, keys [B], inputs float [B, H, W, 3] in [0, 1]) -> classes int [B].
      params: its first argument.
      images: uint8 [N, H, W, 3].
      labels: int [N].
      key: one PRNG key.
      names: the corruptions to run.
      constants: "cifar10" or "imagenet".
      batch_size: B; the last batch is filled up, and what fills it is not counted.
      baseline: errors that the mean corruption error is relative to; None for AlexNet's on ImageNet-C.
      textures: photographs of frost, as of `corruptions.frost`.
      report: hears of progress.

    Returns:
      CorruptionErrors.

    Raises:
      ValueError: there are no images or corruptions, labels do not fit them, or a name is unknown.
    """
    num_images = len(images)
    if num_images == 0 or labels.shape != (num_images,):
        raise ValueError(f"labels must be one for each image, at least one, got {labels.shape} for {num_images} images")
    if not names:
        raise ValueError("names must hold at least one corruption, got none")
    numbers = jnp.arange(num_images)
    keys = [jax.vmap(jax.random.fold_in, (None, 0))(one, numbers) for one in jax.random.split(key)]
    firsts = range(0, num_images, min(batch_size, num_images))

    @functools.partial(jax.jit, static_argnames=("name", "severity"))
    def wrong(params: Params, batch: Mapping[str, Any], name: str, severity: int) -> Array:
        pictures = batch["images"]
        if name:
            more: dict[str, Any] = {"textures": textures} if name == "frost" else {}
            settings: dict[str, Any] = {"name": name, "severity": severity, "constants": constants, **more}
            pictures = corruptions.corrupt(batch["corruption_keys"], pictures, **settings)
        classes = predict(params, batch["model_keys"], pictures.astype(jnp.float32) / 255.0)
        return jnp.sum((classes != batch["labels"]) & batch["counts"])

    def error(name: str = "", severity: int = 0) -> float:
        counts = [
            wrong(params, _batch(images, labels, keys, first, firsts.step), name=name, severity=severity)
            for first in firsts
        ]
        return int(sum(counts)) / num_images

    clean, errors = error(), dict[str, list[float]]()
    total = len(names) * len(corruptions.SEVERITIES)
    for name in names:
        errors[name] = []
        for severity in corruptions.SEVERITIES:
            errors[name].append(error(name, severity))
            if report is not None:
                report(name, severity, sum(map(len, errors.values())), total)
    benchmark = {name: errors[name] for name in corruptions.CORRUPTIONS if name in errors}
    whole = len(benchmark) == len(corruptions.CORRUPTIONS)
    return CorruptionErrors(
        clean=clean,
        errors=errors,
        average=evaluation.average_corruption_error(benchmark or errors),
        mce=evaluation.mean_corruption_error(benchmark, baseline) if whole else None,
    )


def _batch(
    images: np.ndarray, labels: np.ndarray, keys: Sequence[Array], first: int, batch_size: int
) -> dict[str, np.ndarray | Array]:
    """The batch that begins at an image; the last is filled up with the first images."""
    rows = np.arange(first, first + batch_size)
    counts, rows = rows < len(images), rows % len(images)
    batch: dict[str, np.ndarray | Array] = {"images": images[rows], "labels": labels[rows], "counts": counts}
    return batch | {"corruption_keys": keys[0][rows], "model_keys": keys[1][rows]}
