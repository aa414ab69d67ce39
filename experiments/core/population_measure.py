"""Errors and information of every member of a population at once."""

import functools
from collections.abc import Mapping
from typing import Any

import jax

from experiments.core.evaluator import Evaluator
from experiments.core.keys import stream
from experiments.core.recipe import Recipe
from ib_jax import data, evaluation, training
from ib_jax.training import Hyperparams, Population, TrainState
from ib_jax.types import Array


class TermsMeasure:
    """Evaluates every member of a placed population at once, each as `Evaluator` would alone.

    Args:
      recipe: of the members.
      num_members: M.
      members_at_once: as of `training.make_sweep`.
      splits: what is measured at the end, of "train", "validation" and "test".
    """

    def __init__(
        self,
        recipe: Recipe[Any],
        num_members: int,
        members_at_once: int | None,
        splits: tuple[str, ...] = ("train", "validation", "test"),
    ):
        self._recipe, self._splits = recipe, splits
        evaluator, decay = Evaluator(recipe.config, recipe.model, recipe.dataset), recipe.config.average_decay
        self._mapped = functools.partial(training.map_members, num_members=num_members, members_at_once=members_at_once)

        def terms(hyper: Hyperparams, state: TrainState, keys: Array, batch: Any) -> evaluation.ExampleTerms:
            return evaluator.example_terms(training.averaged_params(state, decay), keys, batch)

        size = recipe.config.eval_batch_size
        self._terms = self._mapped(terms, batch_size=size, key_fn=lambda hyper: stream(hyper["seed"], "evaluation"))

    def during_training(self, placed: Population) -> dict[str, dict[str, list[float]]]:
        """Every member's summary of the test split, as lists by name."""
        summaries = self._summaries(placed, self._recipe.dataset.test)
        return {"test": {name: [summary[name] for summary in summaries] for name in summaries[0]}}

    def everything(self, placed: Population) -> dict[str, list[Any]]:
        """By name a value for each member: summaries of the splits."""
        named = {name: getattr(self._recipe.dataset, name) for name in self._splits}
        return {name: self._summaries(placed, split) for name, split in named.items() if split is not None}

    def _summaries(self, placed: Population, split: data.Split) -> list[Mapping[str, float]]:
        terms = self._terms(placed, tuple(split))
        each = [jax.tree.map(lambda leaf: leaf[index], terms) for index in range(len(terms.correct_one))]  # noqa: B023
        return [evaluation.summarise(own, split.labels, self._recipe.dataset.num_classes) for own in each]
