"""Errors, information and calibration of a text classifier, in padded batches of few lengths."""

import operator
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from experiments.core.evaluator import Evaluator, Terms, named_splits
from experiments.imdb_finetune.recipe import TextRecipe
from ib_jax import data
from ib_jax.types import Array, Params

SPLITS = ("validation", "test")


class TextEvaluator(Evaluator):
    """Evaluates parameters on the held-out and the test texts; a program is compiled for each length.

    Args:
      recipe: network, texts and settings.
    """

    def __init__(self, recipe: TextRecipe):
        super().__init__(recipe)
        # All splits together, so that there is one number of texts of each length, and one program.
        splits = named_splits(recipe, SPLITS)
        self._labels_of = {name: split.labels for name, split in splits.items()}
        self._lengths = recipe.encoder.lengths
        self._tokens = recipe.encoder.tokenise(sum((split.texts for split in splits.values()), ()))
        self._rows = np.concatenate([np.arange(len(labels), dtype=np.uint32) for labels in self._labels_of.values()])

    def example_terms(self, params: Any, keys: Array, batch: Any) -> Terms:
        """A text's samples follow from its place in the split, whatever the lengths are."""
        (own, key), (tokens, labels, rows) = params, batch
        return self.terms_of_inputs(own, jax.vmap(jax.random.fold_in, (None, 0))(key, rows), tokens, labels)

    def _terms(self, params: Params, splits: Sequence[str]) -> dict[str, tuple[Terms, np.ndarray]]:
        """Of all texts in their order, computed one length after another."""
        labels, parts, places = np.concatenate(list(self._labels_of.values())), [], []
        for place, padded in data.token_batches(self._tokens, batch_size=len(self._tokens), lengths=self._lengths):
            batch = (padded[: len(place)], labels[place], self._rows[place])
            parts.append(self._evaluate((params, self._key), self._key, batch))
            places.append(place)
        order = np.argsort(np.concatenate(places))
        terms = jax.tree.map(lambda *leaves: np.concatenate(leaves)[order], *parts)
        ends = np.cumsum([len(own) for own in self._labels_of.values()])
        return {
            name: (jax.tree.map(operator.itemgetter(slice(end - len(own), end)), terms), own)
            for end, (name, own) in zip(ends, self._labels_of.items(), strict=True)
        }
