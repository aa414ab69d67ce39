"""What an attack on texts achieved, judged alike for every library, and two of them beside each other."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from experiments.text_attack_comparison import paired
from experiments.text_attack_comparison.settings import SPEED_UP
from ib_jax import evaluation


@dataclasses.dataclass(frozen=True)
class Outcome:
    """An attack on n texts.

    Attributes:
      perturbed: the texts at its end.
      attacked: bool [n], those that the model gets right.
      success: bool [n], those of them that it gets wrong when perturbed.
      changed: float [n], share of the pieces between white space that are others now.
      num_queries: int [n], by the library's own count.
      seconds: of all.
      disagreements: texts that the library took for a success and the judge did not, or the other way round.
    """

    perturbed: list[str]
    attacked: np.ndarray
    success: np.ndarray
    changed: np.ndarray
    num_queries: np.ndarray
    seconds: float
    disagreements: int

    @property
    def queries_per_second(self) -> float:
        """Questions, cached ones too."""
        return float(self.num_queries.sum()) / self.seconds if self.seconds else math.nan

    def summary(self) -> dict[str, Any]:
        """For a record."""
        return {
            "num_texts": len(self.perturbed),
            "num_attacked": int(self.attacked.sum()),
            "num_successes": int(self.success.sum()),
            "success_rate": _mean(self.success[self.attacked]),
            "words_changed": _mean(self.changed[self.success]),
            "mean_queries": _mean(self.num_queries[self.attacked]),
            "seconds": self.seconds,
            "queries_per_second": self.queries_per_second,
            "disagreements": self.disagreements,
            "texts": {
                "success": self.success.tolist(),
                "changed": self.changed.tolist(),
                "num_queries": self.num_queries.tolist(),
            },
        }


class Judge:
    """Decides on success by one model for all libraries.

    Args:
      score: texts -> probabilities [n, C].
      texts: the originals, N of them.
      labels: int [N].
    """

    def __init__(self, score: Callable[[Sequence[str]], np.ndarray], texts: Sequence[str], labels: np.ndarray):
        self._score, self._texts, self._labels = score, list(texts), np.asarray(labels)
        self.clean = np.asarray(score(self._texts))
        self.correct = evaluation.is_right(evaluation.most_probable(self.clean), self._labels)

    def __call__(
        self, perturbed: Sequence[str], claimed: Sequence[bool], num_queries: Sequence[int], seconds: float
    ) -> Outcome:
        """The outcome of an attack on the first n texts.

        Args:
          perturbed: n texts.
          claimed: of each whether the library took it for a success.
          num_queries: of each.
          seconds: of all.
        """
        count = len(perturbed)
        attacked = self.correct[:count]
        success = attacked & ~evaluation.is_right(
            evaluation.most_probable(self.answers(perturbed)), self._labels[:count]
        )
        pieces = [words_changed(*pair) for pair in zip(self._texts[:count], perturbed, strict=True)]
        return Outcome(
            list(perturbed),
            attacked,
            success,
            np.array([part / max(whole, 1) for part, whole in pieces]),
            np.asarray(num_queries, np.int64),
            seconds,
            int((np.asarray(claimed, bool) != success).sum()),
        )

    def answers(self, texts: Sequence[str]) -> np.ndarray:
        """Probabilities [n, C]."""
        return np.asarray(self._score(texts))


def words_changed(original: str, perturbed: str) -> tuple[int, int]:
    """Pieces between white space that differ, and all of them: a count that is the same for every library.

    Raises:
      ValueError: white space was changed, so that the pieces do not pair.

    Example:
      >>> words_changed("a fine film", "a fien film")
      (1, 3)
    """
    before, after = original.split(), perturbed.split()
    if len(before) != len(after):
        raise ValueError(f"the texts must have as many pieces, got {len(before)} and {len(after)}")
    return sum(old != new for old, new in zip(before, after, strict=True)), len(before)


def compare(ours: Outcome, theirs: Outcome) -> dict[str, Any]:
    """Ours beside theirs, which may be of fewer texts: success and words changed in pairs, and how many times faster.

    Of fewer texts ours are taken to have cost the share of the time that they have of the queries.
    """
    count = len(theirs.perturbed)
    attacked = ours.attacked[:count] & theirs.attacked
    both = ours.success[:count] & theirs.success
    success = paired.rates(ours.success[:count][attacked], theirs.success[attacked])
    changed = paired.means(ours.changed[:count][both], theirs.changed[both])
    share = float(ours.num_queries[:count].sum() / ours.num_queries.sum())
    faster = theirs.seconds / (ours.seconds * share) if ours.seconds else math.nan
    return {
        "num_texts": count,
        "success": success._asdict(),
        "words_changed": changed._asdict(),
        "identical": sum(one == other for one, other in zip(ours.perturbed, theirs.perturbed, strict=False)),
        "times_faster": faster,
        "met": {
            "success": success.within,
            "words_changed": changed.within,
            "times_faster": bool(faster >= SPEED_UP),
        },
    }


def verdict(comparison: Mapping[str, Any]) -> bool:
    """Whether everything is met."""
    return all(comparison["met"].values())


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else math.nan
