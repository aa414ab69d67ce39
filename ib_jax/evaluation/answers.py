"""Answers under attack: none is missing, and only what was right before can stand."""

from typing import Any

import numpy as np

from ib_jax.types import Array

Answers = Array | np.ndarray
"""int [..., N], a class for each example, or -1 where the model has none: see `losses.predicted_class`."""


def most_probable(probabilities: np.ndarray) -> np.ndarray:
    """`losses.predicted_class` for NumPy arrays, in their own precision: float64 separates what float32 ties.

    Args:
      probabilities: float [..., C], or logits.

    Returns:
      int [...]; -1 where one is NaN.

    Example:
      >>> import numpy as np
      >>> from ib_jax import evaluation
      >>> evaluation.most_probable(np.array([[0.2, 0.8], [np.nan, 1.0]]))
      array([ 1, -1])
    """
    return np.where(np.isnan(probabilities).any(-1), -1, probabilities.argmax(-1))


def decided(answers: Answers) -> np.ndarray:
    """The answers unchanged, if every example has one.

    Args:
      answers: int [..., N].

    Returns:
      NumPy int [..., N].

    Raises:
      ValueError: some are -1, so that there is no accuracy.

    Example:
      >>> import numpy as np
      >>> from ib_jax import evaluation
      >>> evaluation.decided(np.array([2, 0]))
      array([2, 0])
    """
    answers = np.asarray(answers)
    if (missing := answers < 0).any():
        rows = np.unique(missing.nonzero()[-1])
        raise ValueError(
            f"the model answers NaN at {len(rows)} of {answers.shape[-1]} examples, the first of them {rows[0]}: they "
            "are neither right nor wrong, so there is no accuracy to report; retrain the model, or fix it"
        )
    return answers


def is_right(answers: Answers, labels: Answers) -> np.ndarray:
    """Whether each answer is the label.

    Args:
      answers: int [..., N].
      labels: int [N].

    Returns:
      bool [..., N].

    Raises:
      ValueError: as `decided`; `labels` has another shape.

    Example:
      >>> import numpy as np
      >>> from ib_jax import evaluation
      >>> evaluation.is_right(np.array([2, 0]), np.array([2, 1]))
      array([ True, False])
    """
    given, classes = decided(answers), np.asarray(labels)
    if classes.shape != given.shape[-1:] or classes.dtype.kind not in "iu":
        raise ValueError(f"labels must be int {list(given.shape[-1:])}, got {classes.dtype} {list(classes.shape)}")
    return np.asarray(given == classes)


def standing(answers: Answers, labels: Answers, clean: np.ndarray) -> np.ndarray:
    """Whether each example stands under an attack: right before it and right after it.

    An image that was wrong before does not count as robust if the attack moves it to its label.

    Args:
      answers: int [n], to the first n attacked examples.
      labels: int [N], true ones, N >= n.
      clean: bool [N], right before the attack, by the same judge.

    Returns:
      bool [n].

    Raises:
      ValueError: as `decided`.

    Example:
      >>> import numpy as np
      >>> from ib_jax import evaluation
      >>> evaluation.standing(np.array([1, 1, 0]), np.array([1, 1, 1, 1]), np.array([True, False, True, True]))
      array([ True, False, False])
    """
    count = len(answers)
    return is_right(answers, labels[:count]) & clean[:count]


def median_distance(distances: np.ndarray, stands: np.ndarray, clean: np.ndarray) -> float:
    """The median perturbation size over examples that were right before; one that stands counts as infinitely far.

    Args:
      distances: float [n].
      stands: bool [n], as of `standing`.
      clean: bool [N], right before the attack, N >= n.

    Returns:
      The median, the lower of the two in the middle; NaN if no example was right.

    Example:
      >>> import numpy as np
      >>> from ib_jax import evaluation
      >>> distances = np.array([0.0, 1.0, 2.0, 9.0])
      >>> evaluation.median_distance(distances, np.array([False, False, False, True]), np.arange(4) > 0)
      2.0
    """
    far: Any = np.where(stands, np.inf, distances)[clean[: len(distances)]]
    return float(np.quantile(far, 0.5, method="lower")) if far.size else float("nan")
