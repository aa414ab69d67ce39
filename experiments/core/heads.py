"""Heads on frozen features: standardised, then the encoder and decoder of the MNIST experiments, as wide as these."""

import dataclasses
import json
import pathlib
import time
from typing import Any

import jax.numpy as jnp
import numpy as np
from rich.console import Console

from experiments.core import records
from experiments.core.evaluator import Evaluator
from experiments.core.objectives import make_classifier
from experiments.core.recipe import MNIST, Recipe
from experiments.core.runner import train as train_on
from experiments.core.workdir import check_workdir
from experiments.mnist_vib.settings import Config
from ib_jax import data, training
from ib_jax.models import Classifier
from ib_jax.types import Array, Params

_CONSTANT = 1e-6  # of the largest deviation: a feature that varies less does not vary


class Standardise:
    """From features [..., F] to the encoder's inputs, (1 + (f - mean) / deviation) / 2.

    The encoder maps its inputs x to 2 x - 1, so its first layer sees features of mean 0 and deviation 1. This is part
    of the head: an attack's gradients pass through it. A feature that is constant in training is only centred.

    Args:
      mean: float [F], of the training features.
      deviation: float [F].
    """

    def __init__(self, mean: np.ndarray, deviation: np.ndarray):
        varies = deviation > _CONSTANT * deviation.max()
        self.mean, self.scale = jnp.asarray(mean), jnp.asarray(np.where(varies, deviation, 1.0), jnp.float32)

    def __call__(self, features: Array) -> Array:
        return 0.5 + 0.5 * (features - self.mean) / self.scale


def head_recipe(config: Config, dataset: data.Dataset, standardise: Standardise) -> Recipe[Config]:
    """The recipe of a head.

    Args:
      config: its settings.
      dataset: features float32 [N, F] and labels.
      standardise: the first thing done to features.

    Returns:
      Recipe.
    """

    def classifier(config: Config, shares: np.ndarray, axis_name: str | None) -> Classifier:
        return standardised(make_classifier(config, shares), standardise)

    return Recipe(config, dataset, MNIST._replace(classifier=classifier))


def standardised(model: Classifier, standardise: Standardise) -> Classifier:
    """The model with features for inputs."""

    return model._replace(
        init=lambda key, features: model.init(key, standardise(features)),
        encode=lambda params, features: model.encode(params, standardise(features)),
        encode_train=lambda params, features, keys: model.encode_train(params, standardise(features), keys),
    )


def train(recipe: Recipe[Config], workdir: pathlib.Path, console: Console) -> dict[str, Any] | None:
    """Trains a head, unless it is trained already, and evaluates it on the evaluation features.

    Args:
      recipe: of the head.
      workdir: its folder; an unfinished run in it is resumed.
      console: where to show progress.

    Returns:
      What is known of it: `test` (as of `evaluation.summarise`), `steps` and `training_seconds`; None if training was
      stopped and can be resumed.

    Raises:
      WorkdirError: the folder holds a head with other settings.
      NonFiniteLossError: training diverged.
    """
    check_workdir(workdir, recipe.config)
    path = workdir / "head.json"
    if path.exists():
        return json.loads(path.read_text())
    evaluator = Evaluator(recipe.config, recipe.model, recipe.dataset)
    state = recipe.init()
    records.write_json(workdir / "config.json", dataclasses.asdict(recipe.config))
    start = time.monotonic()
    with training.Checkpoints(workdir / "checkpoints") as checkpoints, training.StopRequest() as stop:
        state = train_on(recipe, state, console, evaluator, checkpoints, workdir, stop)
    if int(state.step) < recipe.num_steps:
        console.print(f"Stopped and saved at step {int(state.step)} of {workdir}; the same command goes on.")
        return None
    found = {
        "test": evaluator.during_training(training.averaged_params(state, recipe.config.average_decay))["test"],
        "steps": int(state.step),
        "training_seconds": time.monotonic() - start,
    }
    records.write_json(path, found)
    return found


def restore(recipe: Recipe[Config], workdir: pathlib.Path) -> Params:
    """The averaged parameters of a trained head."""
    with training.Checkpoints(workdir / "checkpoints") as checkpoints:
        state = checkpoints.restore(recipe.init())
    return training.averaged_params(state, recipe.config.average_decay)
