"""Runs an attack on many texts at once: the searches run in rounds, and each round pools their queries."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ib_jax.attacks.text.answers import classes, probability_rows, whole_number
from ib_jax.attacks.text.attack import TextAttack
from ib_jax.attacks.text.result import TextResult
from ib_jax.attacks.text.searching import OpenSearch
from ib_jax.attacks.text.words import split
from ib_jax.strings import text_list

Score = Callable[[Sequence[str], np.ndarray], np.ndarray]
"""(texts, model index of each, int [n]) -> probabilities float [n, C]. A row is a function of its own text and model.
For a stochastic model it is the mean over a fixed number of samples, fresh for each text or the same for all."""


class TextProgress(NamedTuple):
    """The progress after each round.

    Attributes:
      num_done: texts whose search is over, including skipped ones.
      num_texts: number of texts.
      num_queries: queries so far.
      seconds: time since the start.
    """

    num_done: int
    num_texts: int
    num_queries: int
    seconds: float


class TextRunner:
    """Runs an attack on texts, round by round.

    In each round every running search submits its queries, and one call answers all of them. Searches are independent
    of each other, so neither the other texts nor `max_requests` changes a result.

    Args:
      attack: see `TextAttack`.
      score: the model as the search queries it, see `Score`.
      judge: the same model with fresh samples. It decides whether a text is classified correctly at the start and
        whether the perturbed text reaches the goal. None uses the answers of the search, which is valid only for a
        deterministic model: a search over a stochastic model selects lucky samples. A text that the judge classifies
        correctly is attacked even if the search sees it misclassified, and counts as a success only if it changes.
      max_requests: texts in one call of `score`, >= 1, to bound memory; None is no bound.

    Raises:
      ValueError: `max_requests` is out of range; from a call: lengths differ, labels are not classes of the model, or
        the score or the judge does not return probabilities of the same number of classes.
      TypeError: from a call: the texts are one string, or not all of them are strings.

    Example:
      >>> import numpy as np
      >>> from ib_jax.attacks import text
      >>> def score(texts, models):  # positive where it finds "good"
      ...     positive = np.array([0.9 if "good" in one else 0.2 for one in texts])
      ...     return np.stack([1 - positive, positive], -1)
      >>> run = text.TextRunner(text.deep_word_bug(stop_words=()), score)
      >>> result, skipped = run(0, ["a good film", "a bad film"], np.array([1, 1]))
      >>> result.success, result.changed, result.num_queries, skipped.skipped
      (True, (1,), 8, True)
    """

    def __init__(
        self, attack: TextAttack, score: Score, judge: Score | None = None, *, max_requests: int | None = 4096
    ):
        if max_requests is not None and whole_number("max_requests", max_requests) < 1:
            raise ValueError(f"max_requests must be None or at least 1, got {max_requests}")
        self._attack, self._score, self._judge = attack, score, judge
        self._max_requests = max_requests

    def __call__(
        self,
        seed: int,
        texts: Sequence[str],
        labels: np.ndarray,
        models: np.ndarray | None = None,
        report: Callable[[TextProgress], None] | None = None,
    ) -> list[TextResult]:
        """Attacks N >= 0 texts.

        Args:
          seed: of the attack's random numbers, any whole number. They do not depend on a text's position.
          texts: N strings. Texts, labels and models are matched by position, even if they are columns of a table with
            an index.
          labels: int [N], the true classes.
          models: int [N], passed to `score` with every query for this example; zeros by default.
          report: called after each round.

        Returns:
          A TextResult for each text, in order.
        """
        texts = text_list(texts)
        labels = classes("labels", labels, len(texts))
        models = np.zeros(len(texts), np.int32) if models is None else classes("models", models, len(texts))
        if not texts:
            return []
        clean = self._ask("score", self._score, texts, models)
        num_classes = clean.shape[1]
        if labels.min() < 0 or labels.max() >= num_classes:
            raise ValueError(f"labels must lie in [0, {num_classes}), got {labels.min()} to {labels.max()}")
        before = clean if self._judge is None else self._ask("judge", self._judge, texts, models, num_classes)
        searches: dict[int, OpenSearch] = {}
        for row, label in enumerate(labels.tolist()):
            if before[row].argmax() == label and not self._reached(before[row], label):
                searches[row] = OpenSearch(self._attack, seed, texts[row], label, int(models[row]), clean[row])
        clock = _Clock(len(texts), report)
        clock.tell(searches.values())
        working = list(searches.values())
        while working:
            self._round(working, num_classes)
            clock.tell(searches.values())
            working = [search for search in working if search.standing is None]
        return self._results(texts, labels, models, before, searches)

    def _round(self, working: Sequence[OpenSearch], num_classes: int) -> None:
        questions: list[str] = []
        asked: list[tuple[OpenSearch, int]] = []
        for search in working:
            room = None if self._max_requests is None else self._max_requests - len(questions)
            if room == 0:
                break
            part = search.ask(room)
            questions += part
            asked.append((search, len(part)))
        if not questions:
            return
        models = np.repeat([s.model for s, _ in asked], [n for _, n in asked])
        answers = self._ask("score", self._score, questions, models, num_classes)
        for (search, count), own in zip(asked, np.split(answers, np.cumsum([n for _, n in asked])[:-1]), strict=True):
            if count:
                search.answer(own)

    def _ask(
        self, name: str, function: Score, texts: list[str], models: np.ndarray, num_classes: int | None = None
    ) -> np.ndarray:
        size = self._max_requests or len(texts)
        parts = []
        for first in range(0, len(texts), size):
            part = texts[first : first + size]
            # A copy, so that the function cannot change the texts here.
            answers = function(list(part), models[first : first + size])
            parts.append(probability_rows(name, answers, part, num_classes))
            num_classes = parts[-1].shape[1]
        return np.concatenate(parts)

    def _reached(self, probabilities: np.ndarray, label: int) -> bool:
        return bool(self._attack.goal.reached(probabilities[None], label)[0])

    def _results(
        self,
        texts: list[str],
        labels: np.ndarray,
        models: np.ndarray,
        before: np.ndarray,
        searches: Mapping[int, OpenSearch],
    ) -> list[TextResult]:
        ends = {row: search.standing for row, search in searches.items() if search.standing is not None}
        moved = [row for row, end in ends.items() if end.text.string != texts[row]]
        after = before.copy()
        if moved and self._judge is None:
            after[moved] = [ends[row].probabilities for row in moved]
        elif moved and self._judge is not None:
            judged = [ends[row].text.string for row in moved]
            after[moved] = self._ask("judge", self._judge, judged, models[moved], before.shape[1])
        results = []
        for row, text in enumerate(texts):
            label, words = int(labels[row]), split(text).words
            final = ends[row].text if row in ends else None
            changed = [] if final is None else [at for at, word in enumerate(words) if final.words[at] != word]
            results.append(
                TextResult(
                    original=text,
                    perturbed=text if final is None else final.string,
                    label=label,
                    prediction_before=int(before[row].argmax()),
                    prediction_after=int(after[row].argmax()),
                    success=bool(changed) and self._reached(after[row], label),
                    skipped=row not in searches,
                    num_queries=searches[row].num_queries if row in searches else 1,
                    num_words=len(words),
                    changed=tuple(changed),
                    replacements=tuple(final.words[at] for at in changed) if final is not None else (),
                )
            )
        return results


class _Clock:
    """Reports the progress of the searches to the caller."""

    def __init__(self, num_texts: int, report: Callable[[TextProgress], None] | None):
        self._num_texts, self._report, self._start = num_texts, report, time.monotonic()

    def tell(self, searches: Collection[OpenSearch]) -> None:
        if self._report is None:
            return
        skipped = self._num_texts - len(searches)
        working = sum(search.standing is None for search in searches)
        queries = skipped + sum(search.num_queries for search in searches)
        self._report(TextProgress(self._num_texts - working, self._num_texts, queries, time.monotonic() - self._start))
