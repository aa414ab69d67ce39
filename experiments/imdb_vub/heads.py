"""The heads of `experiments.imdb_vub`: those of one objective trained as one population, then kept one by one."""

import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from flax import traverse_util
from rich.console import Console

from experiments.core import heads
from experiments.core.app import Session
from experiments.core.population import PopulationTrainer, curves
from experiments.core.recipe import Recipe
from experiments.imdb_vub.features import Features
from experiments.imdb_vub.settings import Model, TextConfig, head_config, hyperparams, models_of
from ib_jax import training
from ib_jax.types import Params


def recipe_of(config: TextConfig, objective: str, features: Features) -> Recipe:
    """What trains any head of an objective."""
    own = head_config(config, objective, features.dataset.train.inputs.shape[-1])
    return heads.head_recipe(own, features.dataset, heads.Standardise(*features.moments))


def train(
    config: TextConfig, objective: str, features: Features, workdir: pathlib.Path, console: Console
) -> list[dict[str, Any]] | None:
    """Trains the heads of an objective, unless they are trained already.

    Args:
      config: the settings.
      objective: of all of them.
      features: what they are trained on.
      workdir: folder of the comparison; an unfinished population in it is resumed.
      console: where to show progress.

    Returns:
      For each of `models_of(config, objective)` its settings, `validation`, `test` and `history`; None if stopped.

    Raises:
      WorkdirError: the folder holds heads with other settings.
      NonFiniteLossError: all of them diverged.
    """
    recipe, models = recipe_of(config, objective, features), models_of(config, objective)

    def export(index: int, state: training.TrainState) -> None:
        save(workdir, models[index], training.averaged_params(state, config.average_decay))

    title, session = f"{len(models)} heads of {objective}", Session("imdb_vub", console=console)
    trained = PopulationTrainer(
        recipe, hyperparams(models), workdir / objective, session, title=title, members=models, layout=config,
        export=export,
    ).train()  # fmt: skip
    if trained is None:
        return None
    own = [{name: values[i].item() for name, values in hyperparams(models).items()} for i in range(len(models))]
    return [
        settings | dict(model.summary) | {"history": curves(model.history)}
        for settings, model in zip(own, trained, strict=True)
    ]


def save(workdir: pathlib.Path, model: Model, params: Params) -> None:
    """Keeps what answers: encoder and decoder, which have the same names whatever a head was trained with."""
    flat = traverse_util.flatten_dict({part: params[part] for part in ("encoder", "decoder")}, sep="/")
    path = _path(workdir, model)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}")
    with open(partial, "wb") as file:
        np.savez(file, allow_pickle=False, **{name: np.asarray(leaf) for name, leaf in flat.items()})
    partial.replace(path)


def restore(workdir: pathlib.Path, models: Sequence[Model]) -> list[Params]:
    """The parameters of trained heads."""
    found = []
    for model in models:
        with np.load(_path(workdir, model)) as arrays:
            found.append(jax.device_put(traverse_util.unflatten_dict(dict(arrays), sep="/")))
    return found


def _path(workdir: pathlib.Path, model: Model) -> pathlib.Path:
    return workdir / "heads" / f"{model.name}.npz"
