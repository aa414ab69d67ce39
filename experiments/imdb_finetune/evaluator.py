"""Errors, information and calibration of a text classifier, exactly, on all devices, in padded batches."""

import functools
import operator
from collections.abc import Mapping

import jax
import numpy as np

from experiments.core.evaluator import held_out_score
from experiments.core.keys import stream
from experiments.imdb_finetune.recipe import TextRecipe
from ib_jax import data, evaluation, training
from ib_jax.types import Array, Params


class TextEvaluator:
    """Evaluates parameters on the held-out and the test texts; a program is compiled for each length.

    Args:
      recipe: network, texts and settings.
    """

    def __init__(self, recipe: TextRecipe):
        self._recipe, self._key = recipe, stream(recipe.config.seed, "evaluation")
        named = {"validation": recipe.texts.validation, "test": recipe.texts.test}
        self._splits = {name: split for name, split in named.items() if split is not None}
        # All splits together, so that there is one number of texts of each length, and one program.
        texts, labels = zip(*self._splits.values(), strict=True)
        self._tokens = recipe.encoder.tokenise(sum(texts, ()))
        self._labels = np.concatenate(labels)
        self._rows = np.concatenate([np.arange(len(split), dtype=np.uint32) for split in labels])
        self._evaluate = training.map_examples(self._example_terms, batch_size=recipe.config.eval_batch_size)

    def during_training(self, params: Params) -> dict[str, Mapping[str, float]]:
        """Summaries of the test texts, and of the held-out ones if there are any."""
        terms, num_classes, start, summaries = self._terms(params), len(self._recipe.texts.class_names), 0, {}
        for name, (_, labels) in self._splits.items():
            own = slice(start, start + len(labels))
            own_terms = jax.tree.map(operator.itemgetter(own), terms)
            summaries[name] = evaluation.summarise(own_terms, labels, num_classes)
            start = own.stop
        return summaries

    def score(self, progress: training.Progress) -> float:
        """What the best checkpoint is chosen by, lower is better."""
        return held_out_score(progress)

    def _terms(self, params: Params) -> evaluation.ExampleTerms:
        """Of all texts in their order, computed one length after another."""
        lengths, num_texts = self._recipe.encoder.lengths, len(self._tokens)
        parts, places = [], []
        for place, padded in data.token_batches(self._tokens, batch_size=num_texts, lengths=lengths):
            batch = (padded[: len(place)], self._labels[place], self._rows[place])
            parts.append(self._evaluate((params, self._key), self._key, batch))
            places.append(place)
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
