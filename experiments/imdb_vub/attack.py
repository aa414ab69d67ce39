"""Attacks all heads of `experiments.imdb_vub` side by side, text by text, and keeps every answer on disk."""

import pathlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import scipy.special
from rich.console import Console

from experiments.core import json_files, progress
from experiments.core.heads import HeadConfig
from experiments.core.keys import stream
from experiments.core.records import Measurement
from experiments.core.trained_model import TrainedModel
from experiments.imdb_vub.encoder import Features, TextEncoder
from experiments.imdb_vub.settings import DEEP_WORD_BUG, PWWS, VANILLA, TextConfig
from ib_jax import attacks, losses
from ib_jax.attacks import text
from ib_jax.attacks.text import TextResult
from ib_jax.evaluation import is_right, most_probable
from ib_jax.files import read_json, reading
from ib_jax.models import Classifier
from ib_jax.types import Array, Params

_SEED = 0  # of the samples of z, the same for all heads, and of the edits that DeepWordBug draws
_LEAST = 32  # features of one call: their number is rounded up to a power of two, so that few programs are compiled

_SHARES = ("success_rate", "accuracy_before", "accuracy_after", "words_changed")  # in %, in a `TextSummary`

Answers = dict[str, list[TextResult]]
"""By the key of a head what became of each text."""


def make_attack(config: TextConfig, name: str, *, stochastic: bool) -> text.TextAttack:
    """The attack by its name, with the settings of a configuration."""
    settings: dict[str, Any] = {"max_queries": config.query_budget or None, "margin": config.margin * stochastic}
    if name == DEEP_WORD_BUG:
        return attacks.text.deep_word_bug(**settings)
    return attacks.text.pwws(scoring=config.scoring, **settings)  # type: ignore[arg-type]


class HeadScores:
    """Answers of many heads on one frozen encoder, whose features are computed once for all of them.

    The samples of z are the same for every text and head, so that an answer follows from text, head and key alone;
    who searches with one key and judges with another judges on fresh samples.

    Args:
      pool: texts -> features float32 [n, F].
      heads: each with `params`, and `settings` with `objective` and `latent_dim`.
      classifiers: by the objective of a head its functions.
    """

    def __init__(
        self,
        pool: Callable[[Sequence[str]], np.ndarray],
        heads: Sequence[TrainedModel],
        classifiers: Mapping[str, Classifier],
    ):
        self._pool, self._heads, self._params = pool, heads, [jax.device_put(head.params) for head in heads]
        self._logits = {name: jax.jit(_sampled_logits(model, name != VANILLA)) for name, model in classifiers.items()}

    def score(self, key: Array, num_samples: int) -> text.Score:
        """(texts, which head) -> the mean probabilities over `num_samples` samples of z, drawn once by `key`."""
        noise = jax.random.normal(key, (num_samples, self._heads[0].settings.latent_dim), np.float32)

        def score(texts: Sequence[str], which: np.ndarray) -> np.ndarray:
            features, asked = np.asarray(self._pool(texts)), np.unique(which).tolist()
            rows = [np.flatnonzero(which == head) for head in asked]
            own = [self._of_head(head, features[each], noise) for head, each in zip(asked, rows, strict=True)]
            return np.concatenate(own)[np.argsort(np.concatenate(rows))]

        return score

    def _of_head(self, head: int, features: np.ndarray, noise: Array) -> np.ndarray:
        size = max(_LEAST, 1 << (len(features) - 1).bit_length())
        filled = np.pad(features, ((0, size - len(features)), (0, 0)))
        logits = self._logits[self._heads[head].settings.objective](self._params[head], noise, filled)
        return scipy.special.softmax(np.asarray(logits, np.float64)[: len(features)], -1)


class HeadAttacks:
    """Trained heads on one encoder, all of which are attacked, and the texts that they are attacked with."""

    def __init__(
        self,
        config: TextConfig,
        features: Features,
        encoder: TextEncoder,
        heads: Sequence[TrainedModel],
        classifiers: Mapping[str, Classifier],
    ):
        self._config, self._heads = config, [head.settings for head in heads]
        self._texts = features.test_texts
        self._labels = features.dataset.test.labels[: len(self._texts)]
        params, compute = jax.device_put(encoder.params), jax.jit(encoder.features)
        self._pool = text.Pool(
            encoder.tokenise,
            lambda tokens: compute(params, tokens),
            batch_size=config.encoder_batch_size,
            lengths=encoder.lengths,
        )
        self.scores = HeadScores(self._pool, heads, classifiers)
        self._judge = self.scores.score(stream(_SEED, "judge"), config.num_judge_samples)

    def attack(self, name: str, console: Console) -> Answers:
        """Attacks every head with every text, but for those that have answers already; `name` is the attack's."""
        config, texts = self._config, self._texts
        score = self.scores.score(stream(_SEED, "attack"), config.num_score_samples)
        runners = {
            stochastic: text.TextRunner(make_attack(config, name, stochastic=stochastic), score, self._judge)
            for stochastic in (False, True)
        }
        start, before, answers = time.monotonic(), self._pool.num_computed, []
        with progress.WorkLine(console, len(texts)) as line:
            for first in range(0, len(texts), config.attacked_at_once):
                rows = range(len(texts))[first : first + config.attacked_at_once]
                answers += self._attack_rows(runners, name, rows)
                rate = (self._pool.num_computed - before) / (time.monotonic() - start)
                line(name, f"texts to {rows.stop} of {len(texts)}, {rate:.0f} passes of the encoder/s", len(rows))
        return {head.key: [_result(of_text[head.key]) for of_text in answers] for head in self._heads}

    def measure(self, name: str, answers: Answers, head: HeadConfig) -> Iterator[Measurement]:
        """What an attack did to a head; on one fresh sample of z; and the texts that it made on a vanilla head."""
        config, own = self._config, answers[head.key]
        names = ("num_score_samples", "num_judge_samples", "query_budget", *["scoring"] * (name == PWWS))
        at = {"attack": name, **{each: getattr(config, each) for each in names}}
        at |= {"margin": config.margin * head.stochastic, "num_texts": len(self._texts)}
        values = text.summarise(own)._asdict()
        attacked = {"num_attacked": values.pop("num_texts") - values.pop("num_skipped")}
        shares = {measure: values.pop(measure) / 100 for measure in _SHARES}
        yield Measurement(at, attacked | shares | values)
        if config.num_judge_samples > 1:
            rows, one = [not each.skipped for each in own], self.scores.score(stream(_SEED, "one_sample"), 1)
            yield Measurement(at | {"num_judge_samples": 1}, self._wrong(one, head, own, np.flatnonzero(rows)))
        source = f"{VANILLA}_seed{int(head.key == f'{VANILLA}_seed0')}"  # another head than the one that is asked
        if source in answers:
            right = is_right(most_probable(self._asked(self._judge, head, self._texts)), self._labels)
            values = self._wrong(self._judge, head, answers[source], np.flatnonzero(right))
            yield Measurement(at | {"margin": 0.0, "source": VANILLA}, values)

    def _wrong(
        self, score: text.Score, head: HeadConfig, made: Sequence[TextResult], rows: np.ndarray
    ) -> dict[str, Any]:
        """How many of the texts at `rows`, which are right as they are, deceive a head in what was made of them."""
        if not len(rows):
            return {"num_attacked": 0, "success_rate": None}
        answers = most_probable(self._asked(score, head, [made[row].perturbed for row in rows]))
        return {"num_attacked": len(rows), "success_rate": float((~is_right(answers, self._labels[rows])).mean())}

    def _asked(self, score: text.Score, head: HeadConfig, texts: Sequence[str]) -> np.ndarray:
        """The answers of one head."""
        return score(list(texts), np.full(len(texts), self._heads.index(head)))

    def _attack_rows(self, runners: Mapping[bool, text.TextRunner], name: str, rows: range) -> list[dict[str, Any]]:
        """By the key of a head the fields of its answer, for each text; those that were missing are written.

        A damaged file is refused by its name, never made again unasked.
        """
        folder = pathlib.Path(self._config.workdir) / "attacks" / name
        paths = {row: folder / f"text_{row:05d}.json" for row in rows}
        known = {row: _known(path) for row, path in paths.items()}
        for stochastic, runner in runners.items():
            own = [(index, head.key) for index, head in enumerate(self._heads) if head.stochastic == stochastic]
            todo = [(row, index, key) for row in rows for index, key in own if key not in known[row]]
            if todo:
                asked = [row for row, *_ in todo]
                texts, heads = [self._texts[row] for row in asked], np.array([index for _, index, _ in todo])
                for (row, _, key), result in zip(todo, runner(_SEED, texts, self._labels[asked], heads), strict=True):
                    known[row][key] = result._asdict()
                for row, answers in known.items():
                    json_files.write_json(paths[row], answers)
        return list(known.values())


def _known(path: pathlib.Path) -> dict[str, Any]:
    """By the key of a head the fields of its answer, as a file has them."""
    if not path.exists():
        return {}
    remedy = "delete it to have its text attacked again"
    known = read_json(path, remedy)
    with reading(path, remedy):
        list(map(_result, known.values()))  # are they answers?
    return known


def _sampled_logits(model: Classifier, stochastic: bool) -> Callable[[Params, Array, Array], Array]:
    """Logits of the mean probabilities: float64, on the host, tells apart what a softmax in float32 would tie."""

    def logits(params: Params, noise: Array, features: Array) -> Array:
        encoding = model.encode(params, features)
        codes = losses.reparameterise(encoding, noise[:, None, :]) if stochastic else encoding.mean[None]
        return losses.pooled_logits(model.decode(params, codes))

    return logits


def _result(fields: Mapping[str, Any]) -> TextResult:
    """From a JSON file, where tuples are lists."""
    of_lists: dict[str, Any] = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
    return TextResult(**{**fields, **of_lists})
