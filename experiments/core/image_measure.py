"""Measures trained image models that have no record yet: attacks, transfer between them, and corruptions."""

import dataclasses
import functools
import json
import pathlib
import time
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from rich.console import Console

from experiments.core import corrupted_images, records, trained_model
from experiments.core.image_attacks import Measurer
from experiments.core.image_attacks_config import AttackSettings
from experiments.core.progress import WorkLine
from experiments.core.recipe import Recipe
from ib_jax import corruptions, evaluation
from ib_jax.types import Array, Params


def measure_models(
    recipes: Sequence[Recipe],
    settings: AttackSettings,
    results: pathlib.Path,
    console: Console,
    *,
    experiment: str,
    command: str,
) -> None:
    """Attacks and corrupts every model that has no record, and writes its record.

    Args:
      recipes: of the trained models, of one data set; each with its workdir.
      settings: what is done to them.
      results: folder of the records.
      console: where to show progress.
      experiment: the module's name.
      command: the command line.

    Raises:
      ConfigMismatchError: a record was made with other settings.
    """
    waiting = []
    for recipe in recipes:
        path = _path(results, recipe)
        if not path.exists():
            waiting.append(recipe)
        else:
            records.check_config(json.loads(path.read_text())["training"]["config"], recipe.config, path)
    if not waiting or not settings.num_attack_images:
        return
    lab = _Lab(recipes, settings)
    work = [step.work for recipe in waiting for step in lab.measurer(recipe).plan]
    with WorkLine(console, sum(work)) as line:
        attacked = {}
        for recipe in waiting:
            start, name = time.monotonic(), recipe.config.name
            attacked[name, recipe.config.seed] = lab.attack(
                recipe, lambda step, name=name: line(name, step.attack, step.work)
            )
            attacked[name, recipe.config.seed]["seconds"] = time.monotonic() - start
        corrupted = _corrupted(waiting, lab, settings, line)
        for recipe in waiting:
            key = recipe.config.name, recipe.config.seed
            trained = json.loads((pathlib.Path(recipe.config.workdir) / "results.json").read_text())
            hidden = ("workdir", "data_dir")  # of this machine
            trained["config"] = {name: value for name, value in trained["config"].items() if name not in hidden}
            record = {
                "experiment": experiment,
                "command": command,
                "environment": records.environment(),
                "name": recipe.config.name,
                "objective": recipe.config.objective,
                "rho": recipe.config.rho if recipe.config.stochastic else None,
                "seed": recipe.config.seed,
                "settings": dataclasses.asdict(settings),
                "source": lab.source_of(recipe).config.name,
                "training": trained,
                **attacked[key],
                **corrupted.get(key, {}),
            }
            records.write_json(_path(results, recipe), record)


def _path(results: pathlib.Path, recipe: Recipe) -> pathlib.Path:
    return results / f"{recipe.config.name}_seed{recipe.config.seed}.json"


def _corrupted(
    waiting: Sequence[Recipe], lab: "_Lab", settings: AttackSettings, line: WorkLine
) -> dict[tuple[str, int], dict[str, Any]]:
    split = waiting[0].first_test(settings.num_corrupted_images)
    if not len(split.labels) or split.inputs.dtype != np.uint8 or split.inputs.shape[-1] != 3:
        return {}  # the corruptions are made for colour images
    predicts = {f"{r.config.name}/{r.config.seed}": lab.predict(r) for r in waiting}
    constants = "cifar10" if split.inputs.shape[1] <= 64 else "imagenet"
    errors = corrupted_images.errors_of(
        predicts,
        corrupted_images.made(split, constants),
        names=(*corruptions.CORRUPTIONS, *corruptions.EXTRA_CORRUPTIONS),
        report=lambda name, severity: line("all models", f"{name} {severity}", 0.0),
    )
    found = {}
    for recipe in waiting:
        own = errors[f"{recipe.config.name}/{recipe.config.seed}"]
        benchmark = {name: own[name] for name in corruptions.CORRUPTIONS}
        found[recipe.config.name, recipe.config.seed] = {
            "corruptions": {
                "num_images": len(split.labels),
                "constants": constants,
                "errors": own,
                "average_error": evaluation.average_corruption_error(benchmark),
            }
        }
    return found


class _Lab:
    """The trained models, and what attacks them: one `Measurer` for each structure of the network."""

    def __init__(self, recipes: Sequence[Recipe], settings: AttackSettings):
        self._recipes, self._settings = recipes, settings
        self._measurers: dict[str, Measurer] = {}
        self._params: dict[tuple[str, int], Params] = {}
        self._sources: dict[tuple[str, int, float], np.ndarray] = {}

    def params(self, recipe: Recipe) -> Params:
        key = recipe.config.name, recipe.config.seed
        if key not in self._params:
            self._params[key] = jax.device_put(trained_model.restore_params(recipe, recipe.config.workdir))
        return self._params[key]

    def measurer(self, recipe: Recipe) -> Measurer:
        """The attacks on models of that objective."""
        kind = recipe.config.objective
        if kind not in self._measurers:
            self._measurers[kind] = Measurer(
                self._settings,
                recipe.model,
                stochastic=recipe.config.stochastic,
                split=recipe.first_test(self._settings.num_attack_images),
                num_classes=recipe.dataset.num_classes,
                num_eval_samples=recipe.config.num_eval_samples,
            )
        return self._measurers[kind]

    def attack(self, recipe: Recipe, report: Any) -> dict[str, Any]:
        """Everything but corruptions."""
        source = functools.partial(self._source, self.source_of(recipe))
        return self.measurer(recipe).measure(self.params(recipe), recipe.config.seed, source, report)

    def source_of(self, recipe: Recipe) -> Recipe:
        """On which model the images for transfer are made: cross-entropy, and for it the first bottleneck."""
        others = [other for other in self._recipes if other.config.name != recipe.config.name]
        plain = [other for other in others if not other.config.stochastic]
        own_seed = [other for other in plain or others if other.config.seed == recipe.config.seed]
        return (own_seed or others or [recipe])[0]

    def predict(self, recipe: Recipe) -> corrupted_images.Predict:
        """Logits at the mean code."""
        model, params = recipe.model, self.params(recipe)

        def logits(params: Params, images: Array) -> Array:
            return model.decode(params, model.encode(params, images).mean)

        return functools.partial(jax.jit(logits), params)

    def _source(self, recipe: Recipe, epsilon: float) -> np.ndarray:
        key = (recipe.config.name, recipe.config.seed, epsilon)
        if key not in self._sources:
            self._sources[key] = self.measurer(recipe).source(self.params(recipe), recipe.config.seed, epsilon)
        return self._sources[key]
