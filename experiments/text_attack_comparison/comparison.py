"""What an attack on texts achieved, by one model's answers for every library, and two attacks on the same texts."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.stats

from ib_jax.evaluation import is_right, most_probable


class AttackOutcome(NamedTuple):
    """An attack on n texts.

    Attributes:
      perturbed: the texts at its end.
      attacked: bool [n], those that the model gets right.
      success: bool [n], those of them that it gets wrong when perturbed.
      changed: float [n], share of the pieces between white space that are others now.
      num_queries: int [n], by the library's own count.
      seconds: of all.
      disagreements: texts whose success the library tells otherwise.
    """

    perturbed: list[str]
    attacked: np.ndarray
    success: np.ndarray
    changed: np.ndarray
    num_queries: np.ndarray
    seconds: float
    disagreements: int

    def values(self) -> dict[str, float]:
        """For a record."""
        return {
            "num_attacked": int(self.attacked.sum()),
            "num_successes": int(self.success.sum()),
            "success_rate": _mean(self.success[self.attacked]),
            "words_changed": _mean(self.changed[self.success]),
            "mean_queries": _mean(self.num_queries[self.attacked]),
            "seconds": self.seconds,
            "queries_per_second": float(self.num_queries.sum()) / self.seconds if self.seconds else math.nan,
            "disagreements": self.disagreements,
        }

    def texts(self) -> dict[str, list[Any]]:
        """For a record's details: what became of each text."""
        return {name: getattr(self, name).tolist() for name in ("success", "changed", "num_queries")}


class Evaluator:
    """Decides on success by one model for all libraries.

    Args:
      score: texts -> probabilities [n, C].
      texts: the originals, N of them.
      labels: int [N].
    """

    def __init__(self, score: Callable[[Sequence[str]], np.ndarray], texts: Sequence[str], labels: np.ndarray):
        self.texts, self.labels = list(texts), np.asarray(labels)
        self.probabilities = lambda texts: np.asarray(score(texts))
        self.clean = self.probabilities(self.texts)
        self.correct = is_right(most_probable(self.clean), self.labels)

    def __call__(self, results: Sequence[Any], seconds: float) -> AttackOutcome:
        """The outcome of an attack on the first n texts.

        Args:
          results: n of them with `perturbed`, `success` and `num_queries`, such as `TextResult`.
          seconds: of all.
        """
        perturbed, count = [result.perturbed for result in results], len(results)
        attacked = self.correct[:count]
        success = attacked & ~is_right(most_probable(self.probabilities(perturbed)), self.labels[:count])
        reported = np.array([result.success for result in results], bool)
        return AttackOutcome(
            perturbed,
            attacked,
            success,
            changed=np.array([share_changed(*pair) for pair in zip(self.texts[:count], perturbed, strict=True)]),
            num_queries=np.array([result.num_queries for result in results], np.int64),
            seconds=seconds,
            disagreements=int((reported != success).sum()),
        )


def share_changed(original: str, perturbed: str) -> float:
    """The share of pieces between white space that differ: a count that is the same for every library.

    Raises:
      ValueError: white space was changed, so that the pieces do not pair.

    Example:
      >>> share_changed("two fine films here", "two fien films here")
      0.25
    """
    before, after = original.split(), perturbed.split()
    if len(before) != len(after):
        raise ValueError(f"the texts must have as many pieces, got {len(before)} and {len(after)}")
    return sum(old != new for old, new in zip(before, after, strict=True)) / max(len(before), 1)


class Paired(NamedTuple):
    """A paired comparison.

    Attributes:
      num: pairs.
      ours: mean over them.
      theirs: mean over them.
      difference: ours less theirs.
      standard_error: of the difference; NaN for fewer than two pairs.
      p_value: of a difference at least as large, if there were none; 1 where all pairs are equal; NaN where there is
        nothing to judge by.
    """

    num: int
    ours: float
    theirs: float
    difference: float
    standard_error: float
    p_value: float


def paired_rates(ours: np.ndarray, theirs: np.ndarray) -> Paired:
    """Compares two shares of the same texts, bool [n], by McNemar's exact test: pairs that differ are tosses of a coin.

    Example:
      >>> import numpy as np
      >>> paired_rates(np.array([1, 1, 1, 0], bool), np.array([1, 0, 0, 0], bool)).p_value
      0.5
    """
    only_ours, only_theirs = int((ours & ~theirs).sum()), int((~ours & theirs).sum())
    differ = only_ours + only_theirs
    p_value = float(scipy.stats.binomtest(only_ours, differ).pvalue) if differ else 1.0
    return _paired(ours.astype(float), theirs.astype(float), p_value)


def paired_means(ours: np.ndarray, theirs: np.ndarray) -> Paired:
    """Compares two means over the same texts, float [n], by Student's paired test.

    Example:
      >>> import numpy as np
      >>> paired_means(np.array([1.0, 2.0, 6.0]), np.array([1.0, 2.0, 6.0])).p_value
      1.0
    """
    if len(ours) > 1 and np.ptp(ours - theirs) > 0:
        return _paired(ours, theirs, float(scipy.stats.ttest_rel(ours, theirs).pvalue))
    # One pair, or the same difference in all: if it is none, nothing differs; else there is nothing to judge by.
    return _paired(ours, theirs, 1.0 if np.array_equal(ours, theirs) else math.nan)


def compare(ours: AttackOutcome, theirs: AttackOutcome) -> dict[str, float]:
    """Ours less theirs, which may be of fewer texts: success and words changed in pairs, and how many times faster.

    Of fewer texts ours are taken to have cost the share of the time that they have of the queries.

    Returns:
      The fields of two `Paired` as `success_...` and `words_changed_...`; `identical`, perturbed texts that both have;
      `same_queries`, whether both asked as often of every text; and `times_faster`.
    """
    count = len(theirs.perturbed)
    attacked = ours.attacked[:count] & theirs.attacked
    both = ours.success[:count] & theirs.success
    paired = {
        "success": paired_rates(ours.success[:count][attacked], theirs.success[attacked]),
        "words_changed": paired_means(ours.changed[:count][both], theirs.changed[both]),
    }
    share = float(ours.num_queries[:count].sum() / ours.num_queries.sum())
    return {
        **{f"{name}_{field}": value for name, each in paired.items() for field, value in each._asdict().items()},
        "identical": sum(one == other for one, other in zip(ours.perturbed, theirs.perturbed, strict=False)),
        "same_queries": bool((ours.num_queries[:count] == theirs.num_queries).all()),
        "times_faster": theirs.seconds / (ours.seconds * share) if ours.seconds else math.nan,
    }


def _paired(ours: np.ndarray, theirs: np.ndarray, p_value: float) -> Paired:
    num, difference = len(ours), ours - theirs
    error = float(difference.std(ddof=1) / math.sqrt(num)) if num > 1 else math.nan
    return Paired(num, _mean(ours), _mean(theirs), _mean(difference), error, p_value if num else math.nan)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else math.nan
