"""An attack on text as its four parts, and the one text that a search has before it."""

from collections.abc import Callable, Generator, Sequence
from typing import NamedTuple

import numpy as np

from ib_jax.attacks.text.answers import whole_number
from ib_jax.attacks.text.candidates import Candidates
from ib_jax.attacks.text.constraints import Constraint
from ib_jax.attacks.text.goal import Goal
from ib_jax.attacks.text.words import Words, split
from ib_jax.strings import shown


class Standing(NamedTuple):
    """Where a search stands, and what it returns at its end.

    Attributes:
      text: the text now.
      probabilities: float [C], the model's answer to it.
      spent: of each constraint.
    """

    text: Words
    probabilities: np.ndarray
    spent: tuple[float, ...]


class TextProblem(NamedTuple):
    """One text under attack.

    Attributes:
      start: the original text, with nothing spent.
      label: its true class.
      indices: of the words that may be touched.
      goal: what is wanted.
      replacements: index of a word -> what may replace it.
      constraints: to be kept at every step.
      margin: by how much, in probability, the goal is to be reached before the search ends.
    """

    start: Standing
    label: int
    indices: tuple[int, ...]
    goal: Goal
    replacements: Callable[[int], Sequence[str]]
    constraints: tuple[Constraint, ...]
    margin: float = 0.0

    def scores(self, probabilities: np.ndarray) -> np.ndarray:
        """Of answers [n, C], the goal's scores [n]."""
        return self.goal.score(probabilities, self.label)

    def reached(self, probabilities: np.ndarray) -> bool:
        """Whether one answer [C] is as wanted, by the margin."""
        return bool(self.goal.reached(probabilities[None], self.label, self.margin)[0])

    def options(self, standing: Standing, index: int) -> list[str]:
        """What may replace a word now, within all constraints."""
        return [new for new in self.replacements(index) if self.allows(standing, index, new)]

    def allows(self, standing: Standing, index: int, new: str) -> bool:
        """Whether one replacement keeps all constraints."""
        original = self.start.text
        spent = self._spent(standing, index, new)
        return all(sum_ <= constraint.limit(original) for sum_, constraint in zip(spent, self.constraints, strict=True))

    def take(self, standing: Standing, index: int, new: str, probabilities: np.ndarray) -> Standing:
        """The standing after a replacement."""
        return Standing(standing.text.replace(index, new), probabilities, self._spent(standing, index, new))

    def _spent(self, standing: Standing, index: int, new: str) -> tuple[float, ...]:
        word = self.start.text.words[index]
        return tuple(
            spent + constraint.cost(word, new)
            for spent, constraint in zip(standing.spent, self.constraints, strict=True)
        )


Searching = Generator[Sequence[str], np.ndarray, Standing]
"""A search at work: yields texts, is sent their probabilities [n, C], and returns where it stands at its end. Fewer
answers than texts mean that the queries are used up: it makes use of them and ends."""

Search = Callable[[TextProblem], Searching]
"""A way to look for replacements. It knows one text, and nothing of batches, budgets or other texts."""


class TextAttack(NamedTuple):
    """An attack on text.

    Attributes:
      goal: what is wanted of the model.
      candidates: what a word may be replaced by.
      may_touch: word -> whether it may be replaced at all.
      constraints: how far the text may be changed.
      search: in which order words are tried and replaced.
      max_queries: texts the model may be asked about for one example, the original among them; None is no limit.
      margin: by how much, in probability, a search must reach the goal before it ends. Above 0 it is for a stochastic
        model, whose fresh samples would undo half of the successes that stop right at the boundary.
    """

    goal: Goal
    candidates: Candidates
    may_touch: Callable[[str], bool]
    constraints: tuple[Constraint, ...]
    search: Search
    max_queries: int | None = None
    margin: float = 0.0

    def problem(self, seed: int, text: str, label: int, probabilities: np.ndarray) -> TextProblem:
        """One text, with the model's answer to it (float [C])."""
        words = split(text)
        start = Standing(words, probabilities, (0,) * len(self.constraints))
        indices = tuple(index for index, word in enumerate(words.words) if self.may_touch(word))
        replacements = self.candidates(seed, words)
        return TextProblem(start, label, indices, self.goal, replacements, self.constraints, self.margin)

    def checked(self) -> "TextAttack":
        """The attack itself, if its settings are valid.

        Raises:
          TypeError: a constraint is not a `Constraint`.
          ValueError: `max_queries` or `margin` is out of its range.
        """
        for constraint in self.constraints:
            if not isinstance(constraint, Constraint):
                raise TypeError(
                    f"constraints must be Constraints, got {shown(constraint)}; put a single one in a tuple"
                )
        if not 0 <= self.margin < 1:
            raise ValueError(f"margin must lie in [0, 1), got {self.margin}")
        if self.max_queries is not None and whole_number("max_queries", self.max_queries) < 1:
            raise ValueError(
                f"max_queries must be None or at least 1 (the original text is one), got {self.max_queries}"
            )
        return self
