"""DeepWordBug: typing errors in the words that matter most."""

import string
from collections.abc import Collection, Sequence

from ib_jax.attacks.text.attack import TextAttack
from ib_jax.attacks.text.candidates import character_edits
from ib_jax.attacks.text.constraints import Constraint, edit_distance, no_stop_words
from ib_jax.attacks.text.goal import Goal, untargeted
from ib_jax.attacks.text.greedy import greedy


def deep_word_bug(
    *,
    goal: Goal | None = None,
    constraints: Sequence[Constraint] | None = None,
    stop_words: Collection[str] | None = None,
    letters: str = string.ascii_letters,
    unknown: str = "[UNK]",
    max_queries: int | None = None,
    margin: float = 0.0,
) -> TextAttack:
    r"""DeepWordBug: adds typing errors to the words that matter most.

    The attack ranks words by importance :math:`I_i = s(x_{1..i-1}, u, x_{i+1..n}) - s(x)`, with s the goal's score
    (:math:`1 - p_y`) and u the unknown token. In this order each word gets the best of up to four random edits, if that
    raises the score: two neighbours swapped, a character substituted, deleted or inserted. Stop words and words of one
    character are never changed, and no word is changed twice.

    The Levenshtein distance of the whole text to the original keeps the limit of `edit_distance`. The same seed and
    text give the same edits for every model.

    Args:
      goal: `untargeted()` by default, or `targeted(class)`.
      constraints: `(edit_distance(30),)` by default; `share_of_words(0.1)`, for example, can be added.
      stop_words: never changed, regardless of case; None uses scikit-learn's English list; TextAttack's list is
        `nltk_stop_words()`.
      letters: the letters for substitution and insertion; pass the alphabet of the text.
      unknown: the tokeniser's unknown token.
      max_queries: model queries for one example, including the original; None is no limit.
      margin: the margin, in probability, by which the search must reach the goal before it ends; see `TextAttack`.

    Returns:
      TextAttack, for `TextRunner`.

    Raises:
      ValueError: `max_queries` is less than 1, `margin` is not in [0, 1), or `letters` holds fewer than two characters.

    Source: Gao et al., Black-box Generation of Adversarial Text Sequences to Evade Deep Learning Classifiers, 2018;
    importance and constraints as in TextAttack's recipe deepwordbug_gao_2018.

    Example:
      >>> import numpy as np
      >>> from ib_jax.attacks import text
      >>> def score(texts, models):
      ...     positive = np.array([0.9 if "good" in one else 0.2 for one in texts])
      ...     return np.stack([1 - positive, positive], -1)
      >>> (result,) = text.TextRunner(text.deep_word_bug(), score)(0, ["A good film!"], np.array([1]))
      >>> result.success, result.changed
      (True, (1,))
    """
    return TextAttack(
        goal=untargeted() if goal is None else goal,
        candidates=character_edits(letters),
        may_touch=no_stop_words(stop_words),
        constraints=(edit_distance(30),) if constraints is None else tuple(constraints),
        search=greedy(unknown),
        max_queries=max_queries,
        margin=margin,
    ).checked()
