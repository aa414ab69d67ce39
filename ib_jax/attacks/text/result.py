"""The results of an attack on texts, for each text and in summary."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class TextResult(NamedTuple):
    """The result of an attack on one text.

    Attributes:
      original: the text.
      perturbed: the adversarial text after a success, the last text of the search after a failure, the original if
        skipped.
      label: its true class.
      prediction_before: the model's class for the original.
      prediction_after: the model's class for `perturbed`.
      success: whether the perturbed text reaches the goal.
      skipped: whether it was not attacked: misclassified from the start, or the goal was already reached.
      num_queries: model queries, including the original. Repeated queries count again; queries to the judge do not
        count.
      num_words: of the original.
      changed: indices of the replaced words, ascending.
      replacements: the new words at these indices.
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
    """The summary of an attack on many texts; a mean over no texts is NaN.

    Attributes:
      num_texts: number of texts.
      num_skipped: texts that were not attacked.
      num_successes: successes among the attacked texts.
      success_rate: successes in % of the attacked texts.
      accuracy_before: accuracy in % of all texts.
      accuracy_after: correctly classified texts on which the attack fails or is skipped, in % of all texts.
      words_changed: mean over successes of the replaced words, in % of the text's words.
      mean_queries: mean over the attacked texts.
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
    """Summarises the results of an attack.

    Args:
      results: from `TextRunner`; may be empty.

    Returns:
      TextSummary; without results the counts are 0 and the means NaN.

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
