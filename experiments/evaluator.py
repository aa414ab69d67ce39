"""Errors, information and calibration of a model, exactly, on all devices, with keys of their own."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from experiments.settings import RunSettings
from ib_jax import data, evaluation, training
from ib_jax.models import Classifier
from ib_jax.types import Array, Params

_EVALUATION, _ATTACK = 0, 1  # what the evaluation's key is folded with


def evaluation_keys(seed: int | Array) -> tuple[Array, Array]:
    """The keys of evaluation and attacks, which training does not use: evaluating more often changes no run."""
    key = jax.random.fold_in(jax.random.key(seed), 2**31)
    return jax.random.fold_in(key, _EVALUATION), jax.random.fold_in(key, _ATTACK)


class Evaluator:
    """Evaluates parameters on the splits of a data set; the program is compiled once.

    Args:
      config: the settings of the run.
      model: the network.
      dataset: its splits.
    """

    def __init__(self, config: RunSettings, model: Classifier, dataset: data.Dataset):
        self._config, self._model, self._dataset = config, model, dataset
        self._evaluation_key, self._attack_key = evaluation_keys(config.seed)
        self._evaluate = training.map_examples(self.example_terms, batch_size=config.eval_batch_size)

    def during_training(self, params: Params) -> dict[str, Any]:
        """Summaries of the test split, and of the held-out one if there is one, at one evaluation."""
        rows = {"test": self._summary(params, self._dataset.test)}
        if self._dataset.validation is not None:
            rows["validation"] = self._summary(params, self._dataset.validation)
        return rows

    def score(self, progress: training.Progress) -> float:
        """What the best checkpoint is chosen by, lower is better: held-out error, or the training loss without."""
        if progress.evaluation is not None and "validation" in progress.evaluation:
            return progress.evaluation["validation"]["error_avg"]
        return progress.metrics["loss"]

    def splits(
        self, params: Params, names: Sequence[str] = ("train", "validation", "test")
    ) -> tuple[dict[str, Mapping[str, float]], dict[str, np.ndarray]]:
        """Summaries of the named splits that there are, and the test split's per-example arrays."""
        named = {name: split for name in names if (split := getattr(self._dataset, name)) is not None}
        terms = {name: self._terms(params, split) for name, split in named.items()}
        summaries = {name: self._summarise(terms[name], split) for name, split in named.items()}
        per_example = {name: value for name, value in terms["test"]._asdict().items() if value is not None}
        return summaries, per_example | {"labels": self._dataset.test.labels}

    def _terms(self, params: Params, split: data.Split) -> evaluation.ExampleTerms:
        return self._evaluate(params, self._evaluation_key, tuple(split))

    def _summary(self, params: Params, split: data.Split) -> Mapping[str, float]:
        return self._summarise(self._terms(params, split), split)

    def _summarise(self, terms: evaluation.ExampleTerms, split: data.Split) -> Mapping[str, float]:
        return evaluation.summarise(terms, split.labels, self._dataset.num_classes)

    def example_terms(self, params: Params, keys: Array, batch: tuple[Array, Array]) -> evaluation.ExampleTerms:
        """What is measured of each example of a batch; pure."""
        inputs, labels = batch
        return evaluation.evaluate_examples(
            keys,
            data.to_unit_interval(inputs),
            labels,
            encode_fn=functools.partial(self._model.encode, params),
            decode_fn=functools.partial(self._model.decode, params),
            prior=self._model.prior(params) if self._config.stochastic else None,
            backward=None if self._model.backward is None else self._model.backward(params),
            num_samples=self._config.num_eval_samples,
        )
