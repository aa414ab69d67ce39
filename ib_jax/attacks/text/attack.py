"""An attack on text, composed of four parts, and the problem of one text that a search solves."""

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
    """The state of a search, also its result at the end.

    Attributes:
      text: the current text.
      probabilities: float [C], the model's probabilities for it.
      spent: the cost so far under each constraint.
    """

    text: Words
    probabilities: np.ndarray
    spent: tuple[float, ...]


class TextProblem(NamedTuple):
    """One text under attack.

    Attributes:
      start: the original text, at cost zero.
      label: its true class.
      indices: of the words that may be replaced.
      goal: of the attack.
      replacements: index of a word -> its possible replacements.
      constraints: enforced at every step.
      margin: the margin, in probability, by which the search must reach the goal before it ends.
    """

    start: Standing
    label: int
    indices: tuple[int, ...]
    goal: Goal
    replacements: Callable[[int], Sequence[str]]
    constraints: tuple[Constraint, ...]
    margin: float = 0.0

    def scores(self, probabilities: np.ndarray) -> np.ndarray:
        """The goal's scores [n] of probabilities [n, C]."""
        return self.goal.score(probabilities, self.label)

    def reached(self, probabilities: np.ndarray) -> bool:
        """Whether probabilities [C] reach the goal by the margin."""
        return bool(self.goal.reached(probabilities[None], self.label, self.margin)[0])

    def options(self, standing: Standing, index: int) -> list[str]:
        """The replacements of a word that keep all constraints."""
        return [new for new in self.replacements(index) if self.allows(standing, index, new)]

    def allows(self, standing: Standing, index: int, new: str) -> bool:
        """Whether one replacement keeps all constraints."""
        original = self.start.text
        spent = self._spent(standing, index, new)
        return all(sum_ <= constraint.limit(original) for sum_, constraint in zip(spent, self.constraints, strict=True))

    def take(self, standing: Standing, index: int, new: str, probabilities: np.ndarray) -> Standing:
        """The state after a replacement."""
        return Standing(standing.text.replace(index, new), probabilities, self._spent(standing, index, new))

    def _spent(self, standing: Standing, index: int, new: str) -> tuple[float, ...]:
        word = self.start.text.words[index]
        return tuple(
            spent + constraint.cost(word, new)
            for spent, constraint in zip(standing.spent, self.constraints, strict=True)
        )


Searching = Generator[Sequence[str], np.ndarray, Standing]
"""A running search: it yields texts, is sent their probabilities [n, C], and returns its final state. Fewer rows than
texts mean that the query budget is used up: the search uses these rows and ends."""

Search = Callable[[TextProblem], Searching]
"""A search strategy. It sees one text, and no batches, budgets or other texts."""


class TextAttack(NamedTuple):
    """An attack on text.

    Attributes:
      goal: the model output that the attack seeks.
      candidates: the possible replacements of a word.
      may_touch: word -> whether it may be replaced at all.
      constraints: limits on the change of the text.
      search: the order in which words are tried and replaced.
      max_queries: model queries for one example, including the original; None is no limit.
      margin: the margin, in probability, by which a search must reach the goal before it ends. Use a value above 0 for
        a stochastic model, whose fresh samples would undo half of the successes that stop right at the boundary.
    """

    goal: Goal
    candidates: Candidates
    may_touch: Callable[[str], bool]
    constraints: tuple[Constraint, ...]
    search: Search
    max_queries: int | None = None
    margin: float = 0.0

    def problem(self, seed: int, text: str, label: int, probabilities: np.ndarray) -> TextProblem:
        """The problem of one text, given the model's probabilities for it (float [C])."""
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
