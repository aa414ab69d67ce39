"""The goal of an attack on text: a score to maximise, and a test whether the goal is reached."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ib_jax.attacks.text.answers import whole_number


class Goal(NamedTuple):
    """The goal of an attack, as a function of the model's probabilities.

    Attributes:
      score: (probabilities [n, C], label) -> float [n], higher is better for the attack.
      reached: (probabilities [n, C], label, margin=0.0) -> bool [n], whether the predicted class meets the goal, and
        still would if its probability were lower by the margin.
    """

    score: Callable[[np.ndarray, int], np.ndarray]
    reached: Callable[..., np.ndarray]


def untargeted() -> Goal:
    r"""Seeks any class but the true one, with score :math:`1 - p_y`.

    Returns:
      Goal.

    Example:
      >>> import numpy as np
      >>> from ib_jax.attacks import text
      >>> text.untargeted().reached(np.array([[0.4, 0.6], [0.7, 0.3]]), 0)
      array([ True, False])
    """

    def reached(probabilities: np.ndarray, label: int, margin: float = 0.0) -> np.ndarray:
        return (probabilities + margin * (np.arange(probabilities.shape[-1]) == label)).argmax(-1) != label

    return Goal(lambda probabilities, label: 1 - probabilities[:, label], reached)


def targeted(target: int) -> Goal:
    r"""Seeks one class, with score :math:`p_t`. Examples that the model already assigns to it are not attacked.

    Args:
      target: the class t.

    Returns:
      Goal.

    Raises:
      TypeError: `target` is not a whole number.
      ValueError: `target` is negative; from the goal: the model has no such class.

    Example:
      >>> import numpy as np
      >>> from ib_jax.attacks import text
      >>> text.targeted(2).score(np.array([[0.4, 0.4, 0.2]]), 0)
      array([0.2])
    """
    target = whole_number("target", target)
    if target < 0:
        raise ValueError(f"target must be at least 0, got {target}")

    def score(probabilities: np.ndarray, label: int) -> np.ndarray:
        if target >= probabilities.shape[1]:
            raise ValueError(f"target must be one of the model's {probabilities.shape[1]} classes, got {target}")
        return probabilities[:, target]

    def reached(probabilities: np.ndarray, label: int, margin: float = 0.0) -> np.ndarray:
        return (probabilities - margin * (np.arange(probabilities.shape[-1]) == target)).argmax(-1) == target

    return Goal(score, reached)
