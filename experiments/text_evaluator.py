"""Errors, information and calibration of a text classifier, exactly, on all devices, in padded batches."""

import functools
from collections.abc import Mapping

import jax
import numpy as np

from experiments.evaluator import evaluation_keys, held_out_score
from experiments.text_recipe import TextRecipe
from ib_jax import data, evaluation, training
from ib_jax.types import Array, Params


class TextEvaluator:
    """Evaluates parameters on the held-out and the test texts; a program is compiled for each length.

    Args:
      recipe: network, texts and settings.
    """

    def __init__(self, recipe: TextRecipe):
        self._recipe, self._key = recipe, evaluation_keys(recipe.config.seed)[0]
        named = {"validation": recipe.texts.validation, "test": recipe.texts.test}
        self._splits = {name: split for name, split in named.items() if split is not None}
        self._tokens = {name: recipe.encoder.tokenise(split.texts) for name, split in self._splits.items()}
        self._evaluate = training.map_examples(self._example_terms, batch_size=recipe.config.eval_batch_size)

    def during_training(self, params: Params) -> dict[str, Mapping[str, float]]:
        """Summaries of the test texts, and of the held-out ones if there are any."""
        num_classes = len(self._recipe.texts.class_names)
        return {
            name: evaluation.summarise(self._terms(params, name), split.labels, num_classes)
            for name, split in self._splits.items()
        }

    def score(self, progress: training.Progress) -> float:
        """What the best checkpoint is chosen by, lower is better."""
        return held_out_score(progress)

    def _terms(self, params: Params, name: str) -> evaluation.ExampleTerms:
        """Of all texts of a split, in their order, one length after another."""
        tokens, labels = self._tokens[name], self._splits[name].labels
        parts, places = [], []
        batches = data.token_batches(tokens, batch_size=max(1, len(tokens)), lengths=self._recipe.encoder.lengths)
        for rows, padded in batches:  # all texts of one length
            batch = (padded[: len(rows)], labels[rows], rows.astype(np.uint32))
            parts.append(self._evaluate((params, self._key), self._key, batch))
            places.append(rows)
        order = np.argsort(np.concatenate(places))
        return jax.tree.map(lambda *leaves: np.concatenate(leaves)[order], *parts)

    def _example_terms(
        self, model: tuple[Params, Array], _: Array, batch: tuple[Array, Array, Array]
    ) -> evaluation.ExampleTerms:
        """A text's samples follow from its place in the split, whatever the lengths are."""
        (params, key), (tokens, labels, rows), recipe = model, batch, self._recipe
        return evaluation.evaluate_examples(
            jax.vmap(jax.random.fold_in, (None, 0))(key, rows),
            tokens,
            labels,
            encode_fn=functools.partial(recipe.model.encode, params),
            decode_fn=functools.partial(recipe.model.decode, params),
            prior=recipe.model.prior(params) if recipe.config.stochastic else None,
            backward=None if recipe.model.backward is None else recipe.model.backward(params),
            num_samples=recipe.config.num_eval_samples,
        )
