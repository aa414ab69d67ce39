"""One running search: its pending queries and its query budget."""

from collections.abc import Sequence

import numpy as np

from ib_jax.attacks.text.attack import Searching, Standing, TextAttack


class OpenSearch:
    """Runs one search and enforces its query budget exactly.

    The text is not processed before the first call of `ask`, so thousands of searches can wait cheaply.

    Args:
      attack: see `TextAttack`.
      seed: of its random numbers.
      text: the original.
      label: its true class.
      model: index of the queried model.
      probabilities: float [C], the model's probabilities for the original, which was the first query.

    Attributes:
      num_queries: queries so far.
      standing: the final state of the search; None while it runs.
    """

    def __init__(self, attack: TextAttack, seed: int, text: str, label: int, model: int, probabilities: np.ndarray):
        self._attack, self._seed, self._text = attack, seed, text
        self._clean = probabilities
        self.label, self.model = label, model
        self.num_queries = 1
        self.standing: Standing | None = None
        self._searching: Searching | None = None
        self._request: Sequence[str] = ()
        self._answers: list[np.ndarray] = []
        self._allowed = 0

    def ask(self, room: int | None) -> list[str]:
        """The next texts to query, at most `room`; none if the search is over."""
        if self._searching is None:
            problem = self._attack.problem(self._seed, self._text, self.label, self._clean)
            self._searching = self._attack.search(problem)
            self._advance(None)
        if self.standing is not None:
            return []
        first = len(self._answers)
        last = self._allowed if room is None else min(self._allowed, first + room)
        return list(self._request[first:last])

    def answer(self, probabilities: np.ndarray) -> None:
        """Takes probabilities [n, C] for the last queried texts; resumes the search once its request is complete."""
        self._answers.extend(probabilities)
        if len(self._answers) == self._allowed:
            self._advance(np.stack(self._answers))

    def _advance(self, answers: np.ndarray | None) -> None:
        assert self._searching is not None
        limit = self._attack.max_queries
        while True:
            try:
                self._request = next(self._searching) if answers is None else self._searching.send(answers)
            except StopIteration as end:
                self.standing, self._request, self._answers = end.value, [], []
                return
            self._allowed = len(self._request)
            if limit is not None:
                self._allowed = min(self._allowed, limit - self.num_queries)
            self.num_queries += self._allowed
            self._answers = []
            if self._allowed:
                return
            answers = np.zeros((0, len(self._clean)))
