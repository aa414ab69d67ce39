"""Attacks all heads of `experiments.imdb_vub` side by side, text by text, and keeps every answer on disk."""

import pathlib
import time
import zlib
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
from experiments.imdb_vub.settings import DEEP_WORD_BUG, PAPER, PWWS, VANILLA, TextConfig, Trial
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


def make_attack(config: TextConfig, trial: Trial, *, stochastic: bool) -> text.TextAttack:
    """The attack of a trial, with the settings of a configuration."""
    settings: dict[str, Any] = {"max_queries": config.query_budget or None, "margin": config.margin * stochastic}
    if trial.protocol == PAPER:
        settings |= {"margin": 0.0, "stop_words": attacks.text.nltk_stop_words()}
    if trial.attack == DEEP_WORD_BUG:
        return attacks.text.deep_word_bug(**settings)
    return attacks.text.pwws(scoring=_scoring(config, trial), **settings)  # type: ignore[arg-type]


def _scoring(config: TextConfig, trial: Trial) -> str:
    return "textattack" if trial.protocol == PAPER else config.scoring


class HeadScores:
    """Answers of many heads on one frozen encoder, whose features are computed once for all of them.

    The samples of z are the same for every head, and for every text unless each is to have its own, so that an answer
    follows from text, head and key alone; who searches with one key and judges with another judges on fresh samples.

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

    def score(self, key: Array, num_samples: int, *, anew: bool = False) -> text.Score:
        """(texts, which head) -> the mean probabilities over `num_samples` samples of z.

        They are drawn once by `key`; `anew` by key and text, so that a text asked about again has its answer again, as
        in TextAttack, which keeps all answers.
        """
        shape = (num_samples, self._heads[0].settings.latent_dim)
        once = jax.random.normal(key, shape)[:, None]
        of_texts = jax.jit(jax.vmap(lambda own: jax.random.normal(jax.random.fold_in(key, own), shape), out_axes=1))

        def score(texts: Sequence[str], which: np.ndarray) -> np.ndarray:
            features, asked = np.asarray(self._pool(texts)), np.unique(which).tolist()
            rows = [np.flatnonzero(which == head) for head in asked]
            noise: list[Any] = [once] * len(asked)
            if anew:
                seeds = np.array([zlib.crc32(each.encode(errors="surrogatepass")) for each in texts], np.uint32)
                of_all = np.asarray(of_texts(_filled(seeds)))
                noise = [_filled(of_all[:, each], axis=1) for each in rows]
            own = [
                self._of_head(head, features[each], drawn) for head, each, drawn in zip(asked, rows, noise, strict=True)
            ]
            return np.concatenate(own)[np.argsort(np.concatenate(rows))]

        return score

    def _of_head(self, head: int, features: np.ndarray, noise: Any) -> np.ndarray:
        logits = self._logits[self._heads[head].settings.objective](self._params[head], noise, _filled(features))
        return scipy.special.softmax(np.asarray(logits, np.float64)[: len(features)], -1)


def _filled(rows: np.ndarray, axis: int = 0) -> np.ndarray:
    """With rows of zeros up to one of few sizes."""
    count = rows.shape[axis]
    more = max(_LEAST, 1 << (count - 1).bit_length()) - count
    return np.pad(rows, [(0, more * (each == axis)) for each in range(rows.ndim)])


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

    def attack(self, trial: Trial, console: Console) -> Answers:
        """Attacks every head with every text, but for those that have answers already."""
        config, texts, name = self._config, self._texts, trial.key
        score = self.scores.score(stream(_SEED, "attack"), config.num_score_samples)
        judge: text.Score | None = self._judge
        if trial.protocol == PAPER:
            score, judge = self.scores.score(stream(_SEED, "attack"), 1, anew=True), None
        runners = {
            stochastic: text.TextRunner(make_attack(config, trial, stochastic=stochastic), score, judge)
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

    def measure(self, trial: Trial, answers: Answers, head: HeadConfig) -> Iterator[Measurement]:
        """What an attack did to a head, also on one fresh sample of z; and the texts that it made on a vanilla head.

        By the paper's protocol what the search found, and how much of that fools fresh samples: their mean, and one.
        """
        config, own = self._config, answers[head.key]
        names = ("num_score_samples", "num_judge_samples", "query_budget")
        at = {"attack": trial.attack, **{each: getattr(config, each) for each in names}, "num_texts": len(self._texts)}
        at |= {"scoring": _scoring(config, trial)} if trial.attack == PWWS else {}
        if trial.protocol == PAPER:
            at |= {"procedure": PAPER, "margin": 0.0, "num_score_samples": 1, "num_judge_samples": 0}
        else:
            at |= {"margin": config.margin * head.stochastic}
        values = text.summarise(own)._asdict()
        attacked = {"num_attacked": values.pop("num_texts") - values.pop("num_skipped")}
        shares = {measure: values.pop(measure) / 100 for measure in _SHARES}
        yield Measurement(at, attacked | shares | values)
        rows = np.flatnonzero([not each.skipped for each in own])
        for num_samples in sorted({1, config.num_judge_samples} - {at["num_judge_samples"]}):
            judge = self.scores.score(stream(_SEED, "one_sample"), 1) if num_samples == 1 else self._judge
            yield Measurement(at | {"num_judge_samples": num_samples}, self._wrong(judge, head, own, rows))
        if trial.protocol == PAPER:
            return
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
        codes = losses.reparameterise(encoding, noise) if stochastic else encoding.mean[None]
        return losses.pooled_logits(model.decode(params, codes))

    return logits


def _result(fields: Mapping[str, Any]) -> TextResult:
    """From a JSON file, where tuples are lists."""
    of_lists: dict[str, Any] = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
    return TextResult(**{**fields, **of_lists})
