"""PWWS's search: replaces words in order of saliency times the effect of their best substitute."""

from typing import Literal, get_args

import numpy as np
import scipy

from ib_jax.attacks.text.attack import Search, Searching, TextProblem
from ib_jax.attacks.text.greedy import climb
from ib_jax.attacks.text.words import Swaps

Scoring = Literal["paper", "textattack"]


def weighted_saliency(scoring: Scoring = "paper", unknown: str = "[UNK]") -> Search:
    r"""Replaces words in order of the softmax of their saliency times the effect of their best substitute.

    .. math:: H_i = \mathrm{softmax}(S)_i\, \Delta_i, \quad S_i = s(x_{1..i-1}, u, x_{i+1..n}) - s(x), \quad
              \Delta_i = \max_{w} s(x_{1..i-1}, w, x_{i+1..n}) - s(x)

    with s the goal's score (so the differences are drops of :math:`p_y`) and u the unknown token. One round of queries
    on the original text covers all saliencies and substitutes.

    "paper": substitutes words in order of H until the goal is reached, each by its best substitute on the original
    text, with one query each, whether it helps or not. The softmax is over words with a substitute; other words would
    only scale it. A substitute that would break a constraint at its turn is skipped.

    "textattack": does not subtract :math:`s(x)`; queries words without a substitute too and gives them :math:`H = 0`;
    then queries the substitutes of each word again on the current text, and keeps the best if it scores higher.

    Args:
      scoring: "paper" or "textattack".
      unknown: the tokeniser's unknown token.

    Returns:
      Search.

    Raises:
      ValueError: `scoring` is unknown.

    Source: Ren et al., 2019, section 3.2 and Algorithm 1; TextAttack's recipe pwws_ren_2019.
    """
    if scoring not in get_args(Scoring):
        raise ValueError(f"scoring must be one of {get_args(Scoring)}, got {scoring!r}")

    def search(problem: TextProblem) -> Searching:
        start = problem.start
        options = {index: problem.options(start, index) for index in problem.indices}
        words = [index for index in problem.indices if options[index] or scoring == "textattack"]
        substitutes = [(index, new) for index in words for new in options[index]]
        request = Swaps(start.text, [(index, unknown) for index in words] + substitutes)
        if not request:
            return start
        answers = yield request
        if len(answers) < len(request):
            return start
        scores = problem.scores(answers)
        if scoring == "paper":
            scores = scores - problem.scores(start.probabilities[None])
        weights = scipy.special.softmax(scores[: len(words)])
        effects, best = np.zeros(len(words)), {}
        last = len(words)
        for rank, index in enumerate(words):
            first, last = last, last + len(options[index])
            if options[index]:
                at = int(scores[first:last].argmax())
                effects[rank], best[index] = scores[first + at], options[index][at]
        order = [words[rank] for rank in np.argsort(-weights * effects, kind="stable")]
        if scoring == "textattack":
            return (yield from climb(problem, order))
        return (yield from _substitute(problem, [(index, best[index]) for index in order]))

    return search


def _substitute(problem: TextProblem, swaps: list[tuple[int, str]]) -> Searching:
    standing, best = problem.start, problem.start
    for index, new in swaps:
        if not problem.allows(standing, index, new):
            continue
        answers = yield Swaps(standing.text, [(index, new)])
        if not len(answers):
            break
        standing = problem.take(standing, index, new, answers[0])
        if problem.reached(standing.probabilities):
            return standing
        best = max(best, standing, key=lambda each: problem.scores(each.probabilities[None])[0])
    # With a margin, an earlier text may have reached the goal by less than the margin.
    return best if problem.margin else standing
