"""What an attack on texts did, text by text and in all."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class TextResult(NamedTuple):
    """What became of one text.

    Attributes:
      original: the text.
      perturbed: what the attack made of it: of a success the adversarial text, of a failure where the search ended, of
        a skipped example the original.
      label: its true class.
      prediction_before: the model's class for the original.
      prediction_after: the model's class for `perturbed`.
      success: whether the perturbed text reaches the goal.
      skipped: whether it was not attacked: misclassified from the start, or the goal was already reached.
      num_queries: texts the model was asked about, one at a time, the original among them. What was asked twice counts
        twice; what the judge is asked does not count.
      num_words: of the original.
      changed: indices of the replaced words, ascending.
      replacements: what stands there now.
    """

    original: str
    perturbed: str
    label: int
    prediction_before: int
    prediction_after: int
    success: bool
    skipped: bool
    num_queries: int
    num_words: int
    changed: tuple[int, ...]
    replacements: tuple[str, ...]


class TextSummary(NamedTuple):
    """An attack on many texts in a few numbers; NaN where a mean has nothing to be taken over.

    Attributes:
      num_texts: texts in all.
      num_skipped: of them, not attacked.
      num_successes: of those attacked.
      success_rate: successes in % of the texts attacked.
      accuracy_before: in % of all texts.
      accuracy_after: texts that the model gets right and that the attack does not bring down, in % of all.
      words_changed: mean over successes of the words replaced, in % of the text's words.
      mean_queries: over the texts attacked.
    """

    num_texts: int
    num_skipped: int
    num_successes: int
    success_rate: float
    accuracy_before: float
    accuracy_after: float
    words_changed: float
    mean_queries: float


def summarise(results: Sequence[TextResult]) -> TextSummary:
    """Sums up an attack.

    Args:
      results: of `TextRunner`, none as well.

    Returns:
      TextSummary; of no result the numbers are 0 and the means NaN.

    Example:
      >>> from ib_jax.attacks import text
      >>> fallen = text.TextResult("good film", "god film", 1, 1, 0, True, False, 5, 2, (0,), ("god",))
      >>> missed = text.TextResult("bad film", "bad film", 1, 0, 0, False, True, 1, 2, (), ())
      >>> text.summarise([fallen, missed]).success_rate
      100.0
    """
    results = list(results)
    attacked = [result for result in results if not result.skipped]
    fallen = [result for result in attacked if result.success]
    right = [result.label == result.prediction_before for result in results]
    return TextSummary(
        num_texts=len(results),
        num_skipped=len(results) - len(attacked),
        num_successes=len(fallen),
        success_rate=100 * _mean([result.success for result in attacked]),
        accuracy_before=100 * _mean(right),
        accuracy_after=100 * _mean([ok and not one.success for ok, one in zip(right, results, strict=True)]),
        words_changed=100 * _mean([len(result.changed) / result.num_words for result in fallen]),
        mean_queries=_mean([result.num_queries for result in attacked]),
    )


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
