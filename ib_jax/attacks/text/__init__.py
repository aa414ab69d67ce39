"""Attacks on text, each composed of a goal, candidates, constraints and a search that runs on the host.

A factory takes the attack's settings and returns a `TextAttack`. A `TextRunner` runs it on many texts, and a `Pool`
answers their queries with a jitted function in full batches.
"""

from ib_jax.attacks.text.attack import Search, Standing, TextAttack, TextProblem
from ib_jax.attacks.text.candidates import Candidates, Synonyms, Tagger, character_edits, synonym_swaps
from ib_jax.attacks.text.constraints import Constraint, edit_distance, no_stop_words, share_of_words
from ib_jax.attacks.text.deep_word_bug import deep_word_bug
from ib_jax.attacks.text.goal import Goal, targeted, untargeted
from ib_jax.attacks.text.greedy import greedy
from ib_jax.attacks.text.pool import Pool, Tokenise
from ib_jax.attacks.text.pwws import pwws
from ib_jax.attacks.text.result import TextResult, TextSummary, summarise
from ib_jax.attacks.text.runner import Score, TextProgress, TextRunner
from ib_jax.attacks.text.weighted_saliency import weighted_saliency
from ib_jax.attacks.text.wordnet import nltk_stop_words, nltk_tagger, wordnet_synonyms
from ib_jax.attacks.text.words import Swaps, Words, split

__all__ = [
    "Candidates",
    "Constraint",
    "Goal",
    "Pool",
    "Score",
    "Search",
    "Standing",
    "Swaps",
    "Synonyms",
    "Tagger",
    "TextAttack",
    "TextProblem",
    "TextProgress",
    "TextResult",
    "TextRunner",
    "TextSummary",
    "Tokenise",
    "Words",
    "character_edits",
    "deep_word_bug",
    "edit_distance",
    "greedy",
    "nltk_stop_words",
    "nltk_tagger",
    "no_stop_words",
    "pwws",
    "share_of_words",
    "split",
    "summarise",
    "synonym_swaps",
    "targeted",
    "untargeted",
    "weighted_saliency",
    "wordnet_synonyms",
]
