"""Attacks all heads of `experiments.imdb_vub` side by side, text by text, and keeps every answer on disk."""

import json
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import scipy.special
from rich.console import Console

from experiments.core import progress, records
from experiments.core.keys import stream
from experiments.imdb_vub import heads
from experiments.imdb_vub.encoder import TextEncoder
from experiments.imdb_vub.features import Features
from experiments.imdb_vub.settings import DEEP_WORD_BUG, VANILLA, Model, TextConfig, objectives
from ib_jax import attacks, losses
from ib_jax.attacks.text import TextResult
from ib_jax.evaluation import is_right, most_probable
from ib_jax.models import Classifier
from ib_jax.types import Array, Params

_SEED = 0  # of the samples of z, the same for all heads, and of the edits that DeepWordBug draws
_LEAST = 32  # features of one call: their number is rounded up to a power of two, so that few programs are compiled

Answers = dict[str, list[TextResult]]
"""By the name of a head what became of each text."""


def make_attack(config: TextConfig, name: str, *, stochastic: bool) -> attacks.text.TextAttack:
    """The attack by its name, with the settings of a configuration."""
    settings: dict[str, Any] = {
        "max_queries": config.query_budget or None,
        "margin": config.margin if stochastic else 0.0,
    }
    if name == DEEP_WORD_BUG:
        return attacks.text.deep_word_bug(**settings)
    return attacks.text.pwws(scoring=config.scoring, **settings)  # type: ignore[arg-type]


class HeadScores:
    """Answers of many heads on one frozen encoder, whose features are computed once for all of them.

    The samples of z are the same for every text and head, so that an answer follows from text, head and key alone;
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
        pool: Callable[[Sequence[str]], np.ndarray],
        models: Sequence[Model],
        params: Sequence[Params],
        classifiers: Mapping[str, Classifier],
        latent_dim: int,
    ):
        self._pool, self._models, self._params, self._latent_dim = pool, models, params, latent_dim
        self._logits = {objective: jax.jit(_sampled_logits(model)) for objective, model in classifiers.items()}

    def score(self, key: Array, num_samples: int) -> attacks.text.Score:
        """(texts, which head) -> the mean probabilities over `num_samples` samples of z, drawn once by `key`."""
        noise = jax.random.normal(key, (num_samples, self._latent_dim))

        def score(texts: Sequence[str], which: np.ndarray) -> np.ndarray:
            features, asked = np.asarray(self._pool(texts)), np.unique(which).tolist()
            rows = [np.flatnonzero(which == head) for head in asked]
            own = [self._of_head(head, features[each], noise) for head, each in zip(asked, rows, strict=True)]
            return np.concatenate(own)[np.argsort(np.concatenate(rows))]

        return score

    def _of_head(self, head: int, features: np.ndarray, noise: Array) -> np.ndarray:
        size = max(_LEAST, 1 << (len(features) - 1).bit_length())
        filled = np.concatenate([features, np.zeros((size - len(features), features.shape[-1]), features.dtype)])
        logits = self._logits[self._models[head].objective](self._params[head], noise, filled)
        return np.asarray(scipy.special.softmax(np.asarray(logits, np.float64)[: len(features)], -1))


class HeadAttacks:
    """All heads on one encoder, and the texts that they are attacked with.

    Args:
      config: the settings.
      features: with the test texts.
      encoder: the encoder.
      models: the heads, trained.
      workdir: folder of the comparison.
    """

    def __init__(
        self,
        config: TextConfig,
        features: Features,
        encoder: TextEncoder,
        models: Sequence[Model],
        workdir: pathlib.Path,
    ):
        self._config, self._models, self._workdir = config, list(models), workdir
        self._texts = features.test_texts
        self._labels = features.dataset.test.labels[: len(self._texts)]
        params, compute = jax.device_put(encoder.params), jax.jit(encoder.features)
        self._pool = attacks.text.Pool(
            encoder.tokenise,
            lambda tokens: compute(params, tokens),
            batch_size=config.encoder_batch_size,
            lengths=encoder.lengths,
        )
        recipes = {objective: heads.recipe_of(config, objective, features) for objective in objectives(config)}
        self.scores = HeadScores(
            self._pool,
            self._models,
            heads.restore(workdir, self._models),
            {objective: recipe.model for objective, recipe in recipes.items()},
            recipes[VANILLA].config.latent_dim,
        )
        self._judge = self.scores.score(stream(_SEED, "judge"), config.num_judge_samples)

    def attack(self, name: str, console: Console) -> Answers:
        """Attacks every head with every text, but for those that have answers already.

        Args:
          name: of the attack.
          console: where to show progress.
        """
        config = self._config
        score = self.scores.score(stream(_SEED, "attack"), config.num_score_samples)
        runners = {
            stochastic: attacks.text.TextRunner(make_attack(config, name, stochastic=stochastic), score, self._judge)
            for stochastic in (False, True)
        }
        step, start, before = config.attacked_at_once, time.monotonic(), self._pool.num_computed
        with progress.WorkLine(console, len(self._texts)) as line:
            for first in range(0, len(self._texts), step):
                rows = range(first, min(first + step, len(self._texts)))
                self._attack_rows(runners, name, rows)
                rate = (self._pool.num_computed - before) / (time.monotonic() - start)
                line(name, f"texts to {rows.stop} of {len(self._texts)}, {rate:.0f} passes of the encoder/s", len(rows))
        answers = [self._read(name, row) for row in range(len(self._texts))]
        return {model.name: [_result(of_text[model.name]) for of_text in answers] for model in self._models}

    def transfer(self, crafted: Sequence[str], model: Model) -> dict[str, Any]:
        """Shows a head the texts that were made on another one.

        Args:
          crafted: the perturbed form of each text.
          model: the head.

        Returns:
          `success_rate` in % of the texts that it gets right before, and `num_texts`, their number.
        """
        right, left = (
            is_right(most_probable(self._judge(list(texts), self._which(model, len(texts)))), self._labels)
            for texts in (self._texts, crafted)
        )
        success_rate = 100 * float((~left)[right].mean()) if right.any() else None
        return {"success_rate": success_rate, "num_texts": int(right.sum())}

    def success_at_one_sample(self, answers: Sequence[TextResult], model: Model) -> float | None:
        """How many of a head's own adversarial texts deceive one fresh sample of z, in % of those attacked."""
        score = self.scores.score(stream(_SEED, "one_sample"), 1)
        attacked = [answer for answer in answers if not answer.skipped]
        if not attacked:
            return None
        labels = np.array([answer.label for answer in attacked])
        predictions = score([answer.perturbed for answer in attacked], self._which(model, len(attacked)))
        return 100 * float((~is_right(most_probable(predictions), labels)).mean())

    def _which(self, model: Model, count: int) -> np.ndarray:
        return np.full(count, self._models.index(model))

    def _attack_rows(self, runners: Mapping[bool, attacks.text.TextRunner], name: str, rows: range) -> None:
        known = {row: self._read(name, row) for row in rows}
        for stochastic, runner in runners.items():
            own = [(head, model.name) for head, model in enumerate(self._models) if model.stochastic == stochastic]
            todo = [(row, head, title) for row in rows for head, title in own if title not in known[row]]
            if not todo:
                continue
            texts, labels = zip(*[(self._texts[row], self._labels[row]) for row, *_ in todo], strict=True)
            results = runner(_SEED, list(texts), np.array(labels), np.array([head for _, head, _ in todo]))
            for (row, _, title), result in zip(todo, results, strict=True):
                known[row][title] = result._asdict()
            for row, answers in known.items():
                records.write_json(self._path(name, row), answers)

    def _read(self, name: str, row: int) -> dict[str, Any]:
        path = self._path(name, row)
        return json.loads(path.read_text()) if path.exists() else {}

    def _path(self, name: str, row: int) -> pathlib.Path:
        return self._workdir / "attacks" / name / f"text_{row:05d}.json"


def _sampled_logits(model: Classifier) -> Callable[[Params, Array, Array], Array]:
    """Logits of the mean probabilities: float64, on the host, tells apart what a softmax in float32 would tie."""

    def logits(params: Params, noise: Array, features: Array) -> Array:
        encoding = model.encode(params, features)
        codes = encoding.mean + encoding.scale * noise[:, None, :]
        return losses.pooled_logits(model.decode(params, codes))

    return logits


def _result(fields: Mapping[str, Any]) -> TextResult:
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
    }
    return TextResult(**values)
