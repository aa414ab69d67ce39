"""Evaluates and attacks every member of a population at once."""

import functools
from collections.abc import Mapping
from typing import Any

import jax

from experiments.evaluator import evaluation_keys
from experiments.mnist_vib_config import Config
from experiments.mnist_vib_evaluation import AttackEvaluator, NamedAttack, attack_batch_size, attacked_images
from experiments.recipe import Recipe
from ib_jax import data, evaluation, training
from ib_jax.training import Hyperparams, Population, TrainState
from ib_jax.types import Array


class Measure:
    """Evaluates and attacks every member of a placed population at once, each as `AttackEvaluator` would alone."""

    def __init__(self, recipe: Recipe[Config], num_members: int, members_at_once: int | None):
        self._recipe = recipe
        evaluator, decay = AttackEvaluator(recipe.config, recipe.model, recipe.dataset), recipe.config.average_decay
        mapped = functools.partial(training.map_members, num_members=num_members, members_at_once=members_at_once)

        def key(hyper: Hyperparams, which: int) -> Array:
            return evaluation_keys(hyper["seed"])[which]

        def terms(hyper: Hyperparams, state: TrainState, keys: Array, batch: Any) -> evaluation.ExampleTerms:
            return evaluator.example_terms(training.averaged_params(state, decay), keys, batch)

        def robust(attack: NamedAttack) -> Any:
            correct = evaluator.robust_examples(attack)

            def of_member(hyper: Hyperparams, state: TrainState, keys: Array, batch: Any) -> Array:
                return correct(training.averaged_params(state, decay), keys, batch)

            size = attack_batch_size(recipe.config)
            return mapped(of_member, batch_size=size, key_fn=functools.partial(key, which=1))

        self._terms = mapped(terms, batch_size=recipe.config.eval_batch_size, key_fn=functools.partial(key, which=0))
        self._attacks = [(attack, robust(attack)) for attack in evaluator.attacks if attack.epsilons]

    def during_training(self, placed: Population) -> dict[str, dict[str, list[float]]]:
        """Every member's summary of the test split, as lists by name."""
        summaries = self._summaries(placed, self._recipe.dataset.test)
        return {"test": {name: [summary[name] for summary in summaries] for name in summaries[0]}}

    def everything(self, placed: Population) -> dict[str, list[Any]]:
        """By name a value for each member: summaries of all splits, and accuracy under every attack at every radius."""
        dataset, config = self._recipe.dataset, self._recipe.config
        splits = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
        found: dict[str, list[Any]] = {
            name: self._summaries(placed, split) for name, split in splits.items() if split is not None
        }
        if not config.num_attack_images:
            return found
        batch = attacked_images(config, dataset)
        accuracy = [(attack, attacked(placed, batch).mean(1)) for attack, attacked in self._attacks]
        clean = self._terms(placed, batch[:2]).correct_avg.mean(1)
        found["robustness"] = [
            {"num_images": len(batch[1]), "clean_accuracy": float(clean[index])}
            | {"rows": [attack.row(values[index].tolist()) for attack, values in accuracy]}
            for index in range(len(clean))
        ]
        return found

    def _summaries(self, placed: Population, split: data.Split) -> list[Mapping[str, float]]:
        terms = self._terms(placed, tuple(split))
        each = [jax.tree.map(lambda leaf: leaf[index], terms) for index in range(len(terms.correct_one))]  # noqa: B023
        return [evaluation.summarise(own, split.labels, self._recipe.dataset.num_classes) for own in each]
