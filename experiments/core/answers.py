"""Answers under attack: none is missing, and only what was right before can stand."""

from typing import Any

import numpy as np

from ib_jax import evaluation
from ib_jax.types import Array, AttackResult

Answers = Array | np.ndarray
"""int [..., N], a class for each example, or -1 where the model has none: see `losses.predicted_class`."""


def most_probable(probabilities: np.ndarray) -> np.ndarray:
    """`losses.predicted_class` of NumPy arrays, in the precision that they have: float64 tells what float32 ties.

    Args:
      probabilities: float [..., C], or logits.

    Returns:
      int [...]; -1 where one is NaN.
    """
    return np.where(np.isnan(probabilities).any(-1), -1, probabilities.argmax(-1))


def decided(answers: Answers) -> np.ndarray:
    """The answers as they are, where there is one to every example.

    Raises:
      ValueError: some are -1; no share of right answers can be told from them.

    Example:
      >>> decided(np.array([2, 0]))
      array([2, 0])
    """
    answers = np.asarray(answers)
    if (missing := answers < 0).any():
        rows = np.unique(missing.nonzero()[-1])
        raise ValueError(
            f"the model answers NaN at {len(rows)} of {answers.shape[-1]} examples, the first of them {rows[0]}: they "
            "are neither right nor wrong, so there is no accuracy to report; train the model anew, or mend it"
        )
    return answers


def is_right(answers: Answers, labels: Answers) -> np.ndarray:
    """Whether each answer is the label, bool [..., N].

    Raises:
      ValueError: as `decided`.
    """
    return np.asarray(decided(answers) == np.asarray(labels))


def standing(answers: Answers, labels: Answers, clean: np.ndarray) -> np.ndarray:
    """Whether each example stands under an attack: right before it and right after it.

    An image that was wrong and that the attack moves to its label is no robustness.

    Args:
      answers: int [n], to the first n attacked examples.
      labels: int [N], true ones, N >= n.
      clean: bool [N], right before the attack, by the same judge.

    Returns:
      bool [n].

    Raises:
      ValueError: as `decided`.

    Example:
      >>> standing(np.array([1, 1, 0]), np.array([1, 1, 1, 1]), np.array([True, False, True, True]))
      array([ True, False, False])
    """
    count = len(answers)
    return is_right(answers, labels[:count]) & clean[:count]


def median_size(sizes: np.ndarray, stands: np.ndarray, clean: np.ndarray) -> float:
    """The median size of perturbations of the examples that were right before; what stands is infinitely far.

    Args:
      sizes: float [n].
      stands: bool [n], as of `standing`.
      clean: bool [N], right before the attack, N >= n.

    Returns:
      The median, the lower of the two in the middle; NaN if no example was right.

    Example:
      >>> median_size(np.array([0.0, 1.0, 2.0, 9.0]), np.array([False, False, False, True]), np.arange(4) > 0)
      2.0
    """
    far: Any = np.where(stands, np.inf, sizes)[clean[: len(sizes)]]
    return float(np.quantile(far, 0.5, method="lower")) if far.size else float("nan")


def told_by(attack: str, result: AttackResult) -> list[evaluation.Finding]:
    """What an attack says about its own search, under its name: `evaluation.check_search`."""
    if not len(np.asarray(result.success)):
        return []
    return [found._replace(message=f"{attack}: {found.message}") for found in evaluation.check_search(result)]
