"""Errors, information and calibration of a model, or of all members of a population, exactly and on all devices.

Training does not use an evaluation's key: evaluating more often changes no run.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from experiments.core.keys import stream
from experiments.core.recipe import Recipe
from ib_jax import data, evaluation, training
from ib_jax.data.access import one_row, read_rows
from ib_jax.training import Hyperparams, Population, TrainState
from ib_jax.types import Array, Params

SPLITS = ("train", "validation", "test")
Terms = evaluation.ExampleTerms


class Evaluator:
    """Evaluates parameters on the splits of a recipe's data set; the program is compiled once.

    Args:
      recipe: network, data and settings.
      splits: what is evaluated at the end, of those that the data set has.
    """

    def __init__(self, recipe: Recipe, splits: Sequence[str] = ("validation", "test")):
        self._recipe, self._splits, self._model = recipe, splits, recipe.model
        self._key = stream(recipe.config.seed, "evaluation")
        size = recipe.config.eval_batch_size
        self._evaluate = training.map_examples(self.example_terms, batch_size=size)
        self._evaluate_labelled = training.map_examples(self._with_labels, batch_size=size)

    def during_training(self, params: Params) -> dict[str, Any]:
        """Summaries of the test split, and of the held-out one if there is one."""
        return self._summaries(self._terms(params, ("test", "validation")))

    def at_end(self, params: Params) -> dict[str, Any]:
        """By name: summaries of the splits, and what else is measured of a trained model."""
        return self._summaries(self._terms(params, self._splits))

    def example_terms(self, params: Params, keys: Array, batch: Any) -> Terms:
        """What is measured of each example of a batch, (inputs, labels); pure."""
        inputs, labels = batch
        return self.terms_of_inputs(params, keys, data.to_unit_interval(inputs), labels)

    def terms_of_inputs(self, params: Params, keys: Array, inputs: Array, labels: Array) -> Terms:
        """The same of inputs as the network takes them."""
        model, config = self._model, self._recipe.config
        return evaluation.evaluate_examples(
            keys,
            inputs,
            labels,
            encode_fn=functools.partial(model.encode, params),
            decode_fn=functools.partial(model.decode, params),
            prior=model.prior(params) if config.stochastic else None,
            backward=None if model.backward is None else model.backward(params),
            num_samples=config.num_eval_samples,
        )

    def _with_labels(self, params: Params, keys: Array, batch: Any) -> tuple[Terms, Array]:
        """The terms and the labels, of which each process has read its own alone."""
        return self.example_terms(params, keys, batch), batch[1]

    def _terms(self, params: Params, splits: Sequence[str]) -> dict[str, tuple[Terms, np.ndarray]]:
        """What is measured of each example, and the labels, of the named splits that there are."""
        return {name: self._terms_of(params, split) for name, split in named_splits(self._recipe, splits).items()}

    def _terms_of(self, params: Params, split: data.Split | data.Source) -> tuple[Terms, np.ndarray]:
        if isinstance(split, data.Split):
            return self._evaluate(params, self._key, tuple(split)), split.labels
        size, parts = self._recipe.config.eval_batch_size, []
        shown = data.batches(OwnRows(split, size), size, num_threads=data.usable_cores())
        for index, batch in enumerate(shown):
            # An image's samples follow from its place in the split, so the size of a batch must not change.
            key = jax.random.fold_in(self._key, index)
            parts.append(self._evaluate_labelled(params, key, tuple(batch)))
        return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)

    def _summaries(self, terms: Mapping[str, tuple[Terms, np.ndarray]]) -> dict[str, Any]:
        num_classes = len(self._recipe.class_probabilities)
        return {name: evaluation.summarise(*labelled, num_classes) for name, labelled in terms.items()}


@dataclasses.dataclass(frozen=True)
class OwnRows:
    """Examples of which a process reads the rows that its devices evaluate, batch by batch; the others are zeros."""

    source: data.Source
    batch_size: int

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, row: int, /) -> data.Split:
        return one_row(self, row)

    def read_rows(self, rows: np.ndarray, /) -> data.Split:
        read = read_rows(self.source, rows[(own := np.array([self._is_own(row) for row in rows], bool))])
        found = data.Split(*(np.zeros((len(rows), *field.shape[1:]), field.dtype) for field in read))
        found.inputs[own], found.labels[own] = read
        return found

    def _is_own(self, row: int) -> bool:
        place = row % self.batch_size
        own = training.own_rows(min(self.batch_size, len(self) - (row - place)))
        return own.start <= place < own.stop


class PopulationEvaluator:
    """Evaluates every member of a placed population at once, each as `Evaluator` would alone.

    Args:
      recipe: of the members.
      num_members: M.
      members_at_once: as of `training.make_sweep`.
      splits: as of `Evaluator`.
    """

    def __init__(
        self,
        recipe: Recipe,
        num_members: int,
        members_at_once: int | None,
        splits: Sequence[str] = ("validation", "test"),
    ):
        self._recipe, self._splits = recipe, splits
        self._num_members, self._members_at_once = num_members, members_at_once
        evaluator = Evaluator(recipe)
        self._evaluate = self._of_members(evaluator.example_terms, "evaluation", recipe.config.eval_batch_size)

    def during_training(self, placed: Population) -> dict[str, dict[str, list[Any]]]:
        """Every member's summary of the test split, as lists by name."""
        return {"test": by_name(self._summaries(placed, self._recipe.dataset.test))}

    def at_end(self, placed: Population) -> dict[str, list[Any]]:
        """By name a value for each member: summaries of the splits, and what else is measured."""
        splits = named_splits(self._recipe, self._splits)
        return {name: self._summaries(placed, split) for name, split in splits.items()}

    def _of_members(self, fn: Any, use: Any, batch_size: int) -> Any:
        """(params, keys [B], batch) -> [B, ...] as (placed, data) -> [M, N, ...], with each member's keys of a use."""
        decay = self._recipe.config.average_decay

        def of_member(hyper: Hyperparams, state: TrainState, keys: Array, batch: Any) -> Any:
            return fn(training.averaged_params(state, decay), keys, batch)

        return training.map_members(
            of_member,
            batch_size=batch_size,
            key_fn=lambda hyper: stream(hyper["seed"], use),
            num_members=self._num_members,
            members_at_once=self._members_at_once,
        )

    def _summaries(self, placed: Population, split: data.Split) -> list[Mapping[str, float]]:
        return self._summaries_of(self._evaluate(placed, tuple(split)), split.labels)

    def _summaries_of(self, terms: Terms, labels: np.ndarray) -> list[Mapping[str, float]]:
        each = [jax.tree.map(lambda leaf: leaf[index], terms) for index in range(len(terms.correct_one))]  # noqa: B023
        return [evaluation.summarise(own, labels, len(self._recipe.class_probabilities)) for own in each]


def named_splits(recipe: Recipe, names: Sequence[str]) -> dict[str, Any]:
    """The splits of these names that the recipe's data set has."""
    return {name: split for name in names if (split := getattr(recipe.dataset, name)) is not None}


def by_name(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Rows of one structure as lists by name."""
    return {name: [row[name] for row in rows] for name in rows[0]}
