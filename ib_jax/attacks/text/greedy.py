"""Greedy search: replaces words in order of importance, each by its best replacement."""

from collections.abc import Iterable

import numpy as np

from ib_jax.attacks.text.attack import Search, Searching, TextProblem
from ib_jax.attacks.text.words import Swaps


def greedy(unknown: str = "[UNK]") -> Search:
    r"""Replaces words in order of importance, each by its best replacement if that raises the score.

    .. math:: I_i = s(x_{1..i-1}, u, x_{i+1..n}) - s(x)

    is the importance of word i, with s the goal's score and u the unknown token. One round of queries gives all
    importances. The search then goes word by word through the current text. It keeps the replacement with the highest
    score if that exceeds the score of the text, until the goal is reached. Ties keep the order of the text.

    Args:
      unknown: the tokeniser's unknown token.

    Returns:
      Search.

    Source: Gao et al., 2018, Algorithm 1, with the importance of TextAttack's recipe (the paper's own scores assume a
    model that reads from left to right).
    """

    def search(problem: TextProblem) -> Searching:
        request = Swaps(problem.start.text, [(index, unknown) for index in problem.indices])
        if not request:
            return problem.start
        answers = yield request
        if len(answers) < len(request):
            return problem.start
        # The constant s(x) does not change the order.
        order = np.argsort(-problem.scores(answers), kind="stable")
        return (yield from climb(problem, (problem.indices[rank] for rank in order)))

    return search


def climb(problem: TextProblem, order: Iterable[int]) -> Searching:
    """Replaces words in this order, each by its best replacement if that scores higher than the current text."""
    standing = problem.start
    for index in order:
        options = problem.options(standing, index)
        if not options:
            continue
        answers = yield Swaps(standing.text, [(index, new) for new in options])
        # The highest score may be below the text's own. Without answers there is no score.
        scores = np.append(problem.scores(answers), problem.scores(standing.probabilities[None]))
        best = int(scores[:-1].argmax()) if len(answers) else 0
        if scores[best] > scores[-1]:
            standing = problem.take(standing, index, options[best], answers[best])
            if problem.reached(standing.probabilities):
                break
        if len(answers) < len(options):
            break
    return standing
