"""PWWS, probability weighted word saliency: synonyms for the words that matter most."""

from collections.abc import Collection, Mapping, Sequence

from ib_jax.attacks.text.attack import TextAttack
from ib_jax.attacks.text.candidates import Synonyms, Tagger, synonym_swaps
from ib_jax.attacks.text.constraints import Constraint, no_stop_words
from ib_jax.attacks.text.goal import Goal, untargeted
from ib_jax.attacks.text.weighted_saliency import Scoring, weighted_saliency
from ib_jax.attacks.text.wordnet import wordnet_synonyms


def pwws(
    *,
    scoring: Scoring = "paper",
    synonyms: Synonyms | None = None,
    tagger: Tagger | None = None,
    named_entities: Mapping[str, Sequence[str]] | None = None,
    goal: Goal | None = None,
    constraints: Sequence[Constraint] = (),
    stop_words: Collection[str] | None = None,
    unknown: str = "[UNK]",
    max_queries: int | None = None,
    margin: float = 0.0,
) -> TextAttack:
    r"""PWWS: replaces the words that matter most by synonyms.

    .. math:: H_i = \mathrm{softmax}(S)_i\, \Delta_i, \quad S_i = p_y(x) - p_y(x_{1..i-1}, u, x_{i+1..n}), \quad
              \Delta_i = \max_{w \in L_i} p_y(x) - p_y(x_{1..i-1}, w, x_{i+1..n})

    ranks the words, with u the unknown token and :math:`L_i` the synonyms of word i. The attack substitutes words in
    this order until the goal is reached. One round of queries covers all saliencies and synonyms of a text;
    `weighted_saliency` describes the two scorings. Stop words are never changed, and no word is changed twice.

    Args:
      scoring: "paper", or "textattack", which scores :math:`1 - p_y` in place of the differences, and selects synonyms
        again on the current text.
      synonyms: see `Synonyms`; None uses WordNet's.
      tagger: see `Tagger`, for example `nltk_tagger()`, to match the part of speech. None allows any part of speech.
      named_entities: replacements of names, in place of synonyms.
      goal: `untargeted()` by default, or `targeted(class)`, whose score replaces :math:`1 - p_y`.
      constraints: none by default; `share_of_words(0.2)` or `edit_distance(30)`, for example.
      stop_words: never changed, regardless of case; None uses scikit-learn's English list; TextAttack's list is
        `nltk_stop_words()`.
      unknown: the tokeniser's unknown token.
      max_queries: model queries for one example, including the original; None is no limit.
      margin: the margin, in probability, by which the search must reach the goal before it ends; see `TextAttack`.

    Returns:
      TextAttack, for `TextRunner`.

    Raises:
      ValueError: `max_queries` is less than 1, `margin` is not in [0, 1), or `scoring` is unknown.
      ModuleNotFoundError, LookupError: WordNet is needed, but nltk or the corpus is missing; the message says how to
        get it.

    Source: Ren et al., Generating Natural Language Adversarial Examples through Probability Weighted Word Saliency,
    2019; TextAttack's recipe pwws_ren_2019.

    Example:
      >>> import numpy as np
      >>> from ib_jax.attacks import text
      >>> def score(texts, models):
      ...     positive = np.array([0.9 if "good" in one.lower() else 0.2 for one in texts])
      ...     return np.stack([1 - positive, positive], -1)
      >>> attack = text.pwws(synonyms=lambda word, part: {"good": ["fine", "decent"]}.get(word.lower(), ()))
      >>> (result,) = text.TextRunner(attack, score)(0, ["A Good film!"], np.array([1]))
      >>> result.perturbed, result.num_queries
      ('A Fine film!', 5)
    """
    return TextAttack(
        goal=untargeted() if goal is None else goal,
        candidates=synonym_swaps(
            wordnet_synonyms() if synonyms is None else synonyms, tagger=tagger, named_entities=named_entities
        ),
        may_touch=no_stop_words(stop_words),
        constraints=tuple(constraints),
        search=weighted_saliency(scoring, unknown),
        max_queries=max_queries,
        margin=margin,
    ).checked()
