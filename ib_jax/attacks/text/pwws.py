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
    r"""Synonyms for the words that matter most.

    .. math:: H_i = \mathrm{softmax}(S)_i\, \Delta_i, \quad S_i = p_y(x) - p_y(x_{1..i-1}, u, x_{i+1..n}), \quad
              \Delta_i = \max_{w \in L_i} p_y(x) - p_y(x_{1..i-1}, w, x_{i+1..n})

    ranks the words, with u the unknown token and L_i the synonyms of word i. They are substituted in this order until
    the goal is reached. All saliencies and synonyms of a text are one question; `weighted_saliency` says what the two
    scorings do. Stop words are left alone, and no word is changed twice.

    Args:
      scoring: "paper", or "textattack", which scores :math:`1 - p_y` in place of the differences, and picks synonyms
        anew on the text as it stands.
      synonyms: see `Synonyms`; None takes WordNet's.
      tagger: see `Tagger`; with one, such as `nltk_tagger()`, part of speech is matched. None takes synonyms of any.
      named_entities: replacements of names, in place of synonyms.
      goal: `untargeted()` by default, or `targeted(class)`, whose score stands where :math:`1 - p_y` does.
      constraints: none by default; `share_of_words(0.2)` or `edit_distance(30)`, for example.
      stop_words: left alone in whatever case; None takes scikit-learn's English ones; TextAttack's are
        `nltk_stop_words()`.
      unknown: the tokeniser's unknown token.
      max_queries: texts the model may be asked about for one example, the original among them; None is no limit.
      margin: by how much, in probability, the goal is to be reached before the search ends; see `TextAttack`.

    Returns:
      TextAttack, for `TextRunner`.

    Raises:
      ValueError: `max_queries` is less than 1, `margin` is not in [0, 1), or there is no such scoring.
      ModuleNotFoundError, LookupError: WordNet is wanted, but nltk or the corpus is missing; they say how to get it.

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
