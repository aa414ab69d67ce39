"""Measures trained image models that have no record yet: attacks, transfer between them, and corruptions."""

import dataclasses
import functools
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from rich.console import Console

from experiments.core import corrupted_images, image_attacks, records, trained_model
from experiments.core.attacks import AttackedModel, ModelAttacks, work_of
from experiments.core.image_attacks_config import AttackSettings
from experiments.core.progress import WorkLine
from experiments.core.recipe import Recipe
from experiments.core.workdir import check_reuse, environment
from ib_jax import corruptions, evaluation
from ib_jax.evaluation import AttackRow, AttackSuite
from ib_jax.types import Params


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
      WorkdirError: a record was made with other settings.
    """
    waiting = []
    for recipe in recipes:
        path = _path(results, recipe)
        if not path.exists():
            waiting.append(recipe)
        else:
            check_reuse(path, json.loads(path.read_text())["training"]["config"], recipe.config)
    if not waiting or not settings.num_attack_images:
        return
    models = {_key(recipe): _attacked_model(recipe) for recipe in recipes}
    of_model = {(model.name, model.seed): recipe for recipe, model in zip(recipes, models.values(), strict=True)}
    source_of = functools.partial(_source_of, recipes)
    suites = ModelAttacks(
        lambda model: _suite(of_model[model.name, model.seed], settings),
        lambda model: models[_key(source_of(of_model[model.name, model.seed]))],
    )
    attacked = {}
    with WorkLine(console, suites.work(models[_key(recipe)] for recipe in waiting)) as line:
        for recipe in waiting:
            model, stochastic = models[_key(recipe)], recipe.config.stochastic
            result = suites.attack(model, report=functools.partial(_report, line, model.name))
            own = image_attacks.record_of(result, settings, stochastic=stochastic)
            attacked[_key(recipe)] = own | {"seconds": result.seconds}
        predicts = {_key(recipe): _predict(recipe, suites.params(models[_key(recipe)])) for recipe in waiting}
        corrupted = _corrupted(waiting, predicts, settings, line)
        for recipe in waiting:
            trained: dict[str, Any] = dataclasses.asdict(trained_model.read_results(recipe.config.workdir))
            hidden = ("workdir", "data_dir")  # of this machine
            trained["config"] = {name: value for name, value in trained["settings"].items() if name not in hidden}
            record = {
                "experiment": experiment,
                "command": command,
                "environment": environment(),
                "name": recipe.config.name,
                "objective": recipe.config.objective,
                "rho": recipe.config.rho if recipe.config.stochastic else None,
                "seed": recipe.config.seed,
                "settings": dataclasses.asdict(settings),
                "source": source_of(recipe).config.name,
                "training": trained,
                **attacked[_key(recipe)],
                **corrupted.get(_key(recipe), {}),
            }
            records.write_json(_path(results, recipe), record)


def _report(line: WorkLine, name: str, row: AttackRow) -> None:
    line(name, row.spec.label, work_of(row.spec, row.num_images))


def _path(results: pathlib.Path, recipe: Recipe) -> pathlib.Path:
    return results / f"{recipe.config.name}_seed{recipe.config.seed}.json"


def _key(recipe: Recipe) -> str:
    return f"{recipe.config.name}/{recipe.config.seed}"


def _attacked_model(recipe: Recipe) -> AttackedModel:
    config = recipe.config
    load = functools.partial(trained_model.restore_params, recipe, config.workdir)
    return AttackedModel(config.name, config.seed, config.objective, config.stochastic, load)


def _suite(recipe: Recipe, settings: AttackSettings) -> AttackSuite:
    return image_attacks.make_suite(
        settings,
        recipe.model,
        stochastic=recipe.config.stochastic,
        split=recipe.first_test(settings.num_attack_images),
        num_classes=recipe.dataset.num_classes,
        num_eval_samples=recipe.config.num_eval_samples,
    )


def _source_of(recipes: Sequence[Recipe], recipe: Recipe) -> Recipe:
    """On which model the images for transfer are made: cross-entropy, and for it the first bottleneck."""
    others = [other for other in recipes if other.config.name != recipe.config.name]
    plain = [other for other in others if not other.config.stochastic]
    own_seed = [other for other in plain or others if other.config.seed == recipe.config.seed]
    return (own_seed or others or [recipe])[0]


def _predict(recipe: Recipe, params: Params) -> corrupted_images.Predict:
    """Logits at the mean code."""
    model = recipe.model
    return functools.partial(jax.jit(lambda own, images: model.decode(own, model.encode(own, images).mean)), params)


def _corrupted(
    waiting: Sequence[Recipe],
    predicts: Mapping[str, corrupted_images.Predict],
    settings: AttackSettings,
    line: WorkLine,
) -> dict[str, dict[str, Any]]:
    split = waiting[0].first_test(settings.num_corrupted_images)
    if not len(split.labels) or split.inputs.dtype != np.uint8 or split.inputs.shape[-1] != 3:
        return {}  # the corruptions are made for colour images
    constants = "cifar10" if split.inputs.shape[1] <= 64 else "imagenet"
    errors = corrupted_images.errors_of(
        predicts,
        corrupted_images.made(split, constants),
        names=(*corruptions.CORRUPTIONS, *corruptions.EXTRA_CORRUPTIONS),
        report=lambda name, severity: line("all models", f"{name} {severity}", 0.0),
    )
    found = {}
    for recipe in waiting:
        own = errors[_key(recipe)]
        benchmark = {name: own[name] for name in corruptions.CORRUPTIONS}
        found[_key(recipe)] = {
            "corruptions": {
                "num_images": len(split.labels),
                "constants": constants,
                "errors": own,
                "average_error": evaluation.average_corruption_error(benchmark),
            }
        }
    return found
