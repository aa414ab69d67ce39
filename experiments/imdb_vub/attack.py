"""Attacks all heads of `experiments.imdb_vub` side by side, text by text, and keeps every answer on disk."""

import json
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from rich.console import Console

from experiments.core import progress as show
from experiments.core import records
from experiments.core.keys import stream
from experiments.imdb_vub import heads
from experiments.imdb_vub.encoder import TextEncoder
from experiments.imdb_vub.features import Features
from experiments.imdb_vub.settings import DEEP_WORD_BUG, VANILLA, Model, TextConfig, objectives
from experiments.imdb_vub.victims import Victims
from ib_jax import attacks, evaluation
from ib_jax.attacks.text import TextResult

_SEED = 0  # of the samples of z, the same for all heads, and of the edits that DeepWordBug draws

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


class Siege:
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
        params = jax.device_put(encoder.params)
        compute = jax.jit(encoder.features)
        self._pool = attacks.text.Pool(
            encoder.tokenise,
            lambda tokens: compute(params, tokens),
            batch_size=config.encoder_batch_size,
            lengths=encoder.lengths,
        )
        recipes = {objective: heads.recipe_of(config, objective, features) for objective in objectives(config)}
        self._victims = Victims(
            self._pool,
            self._models,
            heads.restore(workdir, self._models),
            {objective: recipe.model for objective, recipe in recipes.items()},
            recipes[VANILLA].config.latent_dim,
        )
        self._judge = self._victims.score(stream(_SEED, "judge"), config.num_judge_samples)

    def attack(self, name: str, console: Console) -> Answers:
        """Attacks every head with every text, but for those that have answers already.

        Args:
          name: of the attack.
          console: where to show progress.

        Returns:
          Answers.
        """
        config = self._config
        score = self._victims.score(stream(_SEED, "attack"), config.num_score_samples)
        runners = {
            kind: attacks.text.TextRunner(make_attack(config, name, stochastic=kind), score, self._judge)
            for kind in (False, True)
        }
        step, start, before = config.attacked_at_once, time.monotonic(), self._pool.num_computed
        with show.WorkLine(console, len(self._texts)) as line:
            for first in range(0, len(self._texts), step):
                rows = range(first, min(first + step, len(self._texts)))
                self._attack_rows(runners, name, rows)
                rate = (self._pool.num_computed - before) / (time.monotonic() - start)
                line(name, f"texts to {rows.stop} of {len(self._texts)}, {rate:.0f} passes of the encoder/s", len(rows))
        found = [self._read(name, row) for row in range(len(self._texts))]
        return {model.name: [TextResult(**_tuples(answers[model.name])) for answers in found] for model in self._models}

    def transfer(self, crafted: Sequence[str], model: Model) -> dict[str, Any]:
        """Shows a head the texts that were made on another one.

        Args:
          crafted: the perturbed form of each text.
          model: the head.

        Returns:
          `success_rate` in % of the texts that it gets right before, and `num_texts`, their number.
        """
        which = np.full(len(self._texts), self._models.index(model))
        right, left = (
            evaluation.is_right(evaluation.most_probable(self._judge(list(texts), which)), self._labels)
            for texts in (self._texts, crafted)
        )
        return {
            "success_rate": 100 * float((~left)[right].mean()) if right.any() else None,
            "num_texts": int(right.sum()),
        }

    def success_at_one_sample(self, answers: Sequence[TextResult], model: Model) -> float | None:
        """How many of a head's own adversarial texts deceive one fresh sample of z, in % of those attacked."""
        score = self._victims.score(stream(_SEED, "one_sample"), 1)
        attacked = [answer for answer in answers if not answer.skipped]
        if not attacked:
            return None
        which = np.full(len(attacked), self._models.index(model))
        labels = np.array([answer.label for answer in attacked])
        found = evaluation.most_probable(score([answer.perturbed for answer in attacked], which))
        return 100 * float((~evaluation.is_right(found, labels)).mean())

    def _attack_rows(self, runners: Mapping[bool, attacks.text.TextRunner], name: str, rows: range) -> None:
        known = {row: self._read(name, row) for row in rows}
        for kind, runner in runners.items():
            heads_of_kind = [(index, model) for index, model in enumerate(self._models) if model.stochastic == kind]
            pairs = [(row, *head) for row in rows for head in heads_of_kind if head[1].name not in known[row]]
            if not pairs:
                continue
            which, labels = (
                np.array([index for _, index, _ in pairs]),
                np.array([self._labels[row] for row, *_ in pairs]),
            )
            results = runner(_SEED, [self._texts[row] for row, *_ in pairs], labels, which)
            for (row, _, model), result in zip(pairs, results, strict=True):
                known[row][model.name] = result._asdict()
            for row, answers in known.items():
                records.write_json(self._path(name, row), answers)

    def _read(self, name: str, row: int) -> dict[str, Any]:
        path = self._path(name, row)
        return json.loads(path.read_text()) if path.exists() else {}

    def _path(self, name: str, row: int) -> pathlib.Path:
        return self._workdir / "attacks" / name / f"text_{row:05d}.json"


def _tuples(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
