"""Errors, information and calibration of a model, exactly, on all devices, with keys of their own."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from experiments.core.keys import stream
from experiments.core.protocol import RunSettings
from experiments.core.recipe import Streamed
from ib_jax import data, evaluation, training
from ib_jax.models import Classifier
from ib_jax.types import Array, Params


def held_out_score(progress: training.Progress) -> float:
    """What the best checkpoint is chosen by, lower is better: held-out error, or the training loss without."""
    if progress.evaluation is not None and "validation" in progress.evaluation:
        return float(progress.evaluation["validation"]["error_avg"])
    return float(progress.metrics["loss"])


class Evaluator:
    """Evaluates parameters on the splits of a data set; the program is compiled once.

    Args:
      config: the settings of the run.
      model: the network.
      dataset: its splits.
    """

    def __init__(self, config: RunSettings, model: Classifier, dataset: data.Dataset | Streamed):
        self._config, self._model = config, model
        self._dataset: Any = dataset
        # Training does not use this key: evaluating more often changes no run.
        self._key = stream(config.seed, "evaluation")
        self._evaluate = training.map_examples(self.example_terms, batch_size=config.eval_batch_size)

    def during_training(self, params: Params) -> dict[str, Any]:
        """Summaries of the test split, and of the held-out one if there is one, at one evaluation."""
        rows = {"test": self._summary(params, self._dataset.test)}
        if self._dataset.validation is not None:
            rows["validation"] = self._summary(params, self._dataset.validation)
        return rows

    def score(self, progress: training.Progress) -> float:
        """What the best checkpoint is chosen by, lower is better."""
        return held_out_score(progress)

    def splits(
        self, params: Params, names: Sequence[str] = ("train", "validation", "test")
    ) -> tuple[dict[str, Mapping[str, float]], dict[str, np.ndarray]]:
        """Summaries of the named splits that there are, and the test split's per-example arrays."""
        named = {name: split for name in names if (split := getattr(self._dataset, name)) is not None}
        found = {name: self._labelled_terms(params, split) for name, split in named.items()}
        num_classes = self._dataset.num_classes
        summaries = {name: evaluation.summarise(*labelled, num_classes) for name, labelled in found.items()}
        terms, labels = found["test"]
        per_example = {name: value for name, value in terms._asdict().items() if value is not None}
        return summaries, per_example | {"labels": labels}

    def _terms(self, params: Params, split: data.Split) -> evaluation.ExampleTerms:
        return self._evaluate(params, self._key, tuple(split))

    def _labelled_terms(
        self, params: Params, split: data.Split | data.Source
    ) -> tuple[evaluation.ExampleTerms, np.ndarray]:
        if isinstance(split, data.Split):
            return self._terms(params, split), split.labels
        parts, labels = [], []
        for index, batch in enumerate(data.batches(split, self._config.eval_batch_size)):
            # An image's samples follow from its place in the split, so the size of a batch must not change.
            key = jax.random.fold_in(self._key, index)
            parts.append(self._evaluate(params, key, tuple(batch)))
            labels.append(batch.labels)
        return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts), np.concatenate(labels)

    def _summary(self, params: Params, split: data.Split | data.Source) -> Mapping[str, float]:
        return evaluation.summarise(*self._labelled_terms(params, split), self._dataset.num_classes)

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
