"""All heads as an attack on text asks them: (texts, which head) -> probabilities, over one pool of features."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import scipy.special

from experiments.imdb_vub.settings import Model
from ib_jax import attacks, losses
from ib_jax.models import Classifier
from ib_jax.types import Array, Params

_LEAST = 32  # features of one call: their number is rounded up to a power of two, so that few programs are compiled


class Victims:
    """Answers of many heads on one frozen encoder, whose features are computed once for all of them.

    The samples of z are the same for every text and head, so that an answer follows from text, head and `key` alone;
    who searches with one key and judges with another judges on fresh samples.

    Args:
      pool: texts -> features float [n, F].
      models: the heads.
      params: their parameters.
      classifiers: by the objective of a head its functions.
      latent_dim: K.
    """

    def __init__(
        self,
        pool: attacks.text.Pool,
        models: Sequence[Model],
        params: Sequence[Params],
        classifiers: dict[str, Classifier],
        latent_dim: int,
    ):
        self._pool, self._models, self._params, self._latent_dim = pool, models, params, latent_dim
        self._answers = {objective: jax.jit(_answers(model)) for objective, model in classifiers.items()}

    def score(self, key: Array, num_samples: int) -> attacks.text.Score:
        """The mean probabilities over `num_samples` samples of z, drawn once by `key`."""
        noise = jax.random.normal(key, (num_samples, self._latent_dim))

        def score(texts: Sequence[str], which: np.ndarray) -> np.ndarray:
            features = np.asarray(self._pool(texts))
            found: np.ndarray | None = None
            for index in np.unique(which):
                rows = np.flatnonzero(which == index)
                own = self._of(int(index), features[rows], noise)
                found = np.empty((len(texts), own.shape[-1])) if found is None else found
                found[rows] = own
            assert found is not None
            return found

        return score

    def _of(self, index: int, features: np.ndarray, noise: Array) -> np.ndarray:
        size = max(_LEAST, 1 << (len(features) - 1).bit_length())
        filled = np.concatenate([features, np.zeros((size - len(features), features.shape[-1]), features.dtype)])
        answers = self._answers[self._models[index].objective](self._params[index], noise, filled)
        return np.asarray(scipy.special.softmax(np.asarray(answers, np.float64)[: len(features)], -1))


def _answers(model: Classifier) -> Any:
    """Logits of the mean probabilities: float64, on the host, tells apart what a softmax in float32 would tie."""

    def answers(params: Params, noise: Array, features: Array) -> Array:
        encoding = model.encode(params, features)
        codes = encoding.mean + encoding.scale * noise[:, None, :]
        return losses.pooled_logits(model.decode(params, codes))

    return answers
