"""DeepWordBug and PWWS as one would write them down: text by text, one question at a time, nothing kept.

It shares with the attacks what words are, which may be touched and what may replace them, and nothing of the search.
So it shows what pooling and caching save, and that they change no result.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ib_jax.attacks.text import TextAttack, split

UNKNOWN = "[UNK]"
ORDERS = ("importance", "textattack", "paper")


class NaiveResult(NamedTuple):
    """What became of a text.

    Attributes:
      perturbed: the text at the end.
      success: whether the model's answer is a wrong class now, and was the right one.
      num_queries: questions asked.
    """

    perturbed: str
    success: bool
    num_queries: int


def search(
    attack: TextAttack, order: str, ask: Callable[[str], np.ndarray], *, seed: int, text: str, label: int
) -> NaiveResult:
    """Attacks one text, untargeted and without a budget.

    Args:
      attack: whose candidates, stop words and constraints are taken.
      order: of the words: "importance", DeepWordBug's; or PWWS's, by "textattack" or the "paper".
      ask: the model, one text -> probabilities float [C].
      seed: of the candidates.
      text: the original.
      label: its class.
    """
    if order not in ORDERS:
        raise ValueError(f"order must be one of {', '.join(ORDERS)}, got {order!r}")
    asked = 0

    def score(text: str) -> tuple[float, bool]:
        nonlocal asked
        asked += 1
        probabilities = np.asarray(ask(text), np.float64)
        return 1 - probabilities[label], bool(probabilities.argmax() != label)

    original = split(text)
    replacements = attack.candidates(seed, original)
    base, wrong = score(text)
    if wrong:
        return NaiveResult(text, False, asked)
    words = [index for index, word in enumerate(original.words) if attack.may_touch(word)]
    if order == "paper":
        words = [index for index in words if replacements(index)]
    saliency = np.array([score(original.with_word(index, UNKNOWN))[0] for index in words])
    weights, best = saliency, {}
    if order != "importance":
        offset = base if order == "paper" else 0.0
        effects = np.zeros(len(words))
        for rank, index in enumerate(words):
            tried = [(score(original.with_word(index, new))[0], new) for new in replacements(index)]
            if tried:
                effect, best[index] = max(tried, key=lambda each: each[0])
                effects[rank] = effect - offset
        powers = np.exp(saliency - saliency.max()) if len(words) else saliency
        weights = powers / powers.sum() * effects
    now, value, spent = original, base, 0.0
    for rank in np.argsort(-weights, kind="stable").tolist():
        index = words[rank]
        options = [best[index]] if order == "paper" else replacements(index)
        choices: list[tuple[float, bool, str, float]] = []
        for new in options:
            costs = [constraint.cost(original.words[index], new) for constraint in attack.constraints]
            limits = [constraint.limit(original) for constraint in attack.constraints]
            assert len(costs) <= 1  # a sum for each would be needed
            if not costs or spent + costs[0] <= limits[0]:
                choices.append((*score(now.with_word(index, new)), new, sum(costs)))
        if not choices:
            continue
        highest, wrong, new, cost = max(choices, key=lambda each: each[0])
        if order == "paper" or highest > value:
            now, value, spent = now.replace(index, new), highest, spent + cost
            if wrong:
                return NaiveResult(now.string, True, asked)
    return NaiveResult(now.string, False, asked)
