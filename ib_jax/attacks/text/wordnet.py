"""WordNet's synonyms, nltk's stop words and parts of speech. nltk is imported on use and never downloads anything."""

import functools
import importlib
from collections.abc import Callable
from typing import Any

from ib_jax.attacks.text.candidates import Synonyms, Tagger
from ib_jax.attacks.text.words import split

_TAGGER = "averaged_perceptron_tagger_eng"
_PARTS = {"N": "n", "V": "v", "J": "a", "R": "r"}


def wordnet_synonyms() -> Synonyms:
    """WordNet's synonyms of English words: the lemmas of all synsets of a word.

    Lemmas of several words and the word itself are omitted; the rest is sorted and in lower case. Inflected words are
    looked up by their base form. Lookups are cached.

    Returns:
      Synonyms.

    Raises:
      ModuleNotFoundError: nltk is not installed.
      LookupError: the corpus is missing; the message names the command that downloads it.

    Source: Miller, WordNet: a lexical database for English, 1995; as used by Ren et al., 2019.
    """
    corpus = _nltk("nltk.corpus").wordnet
    _present(corpus.ensure_loaded, "WordNet", "wordnet")

    @functools.lru_cache(maxsize=1 << 17)
    def of_lower(word: str, part: str | None) -> tuple[str, ...]:
        lemmas = {lemma.lower() for synset in corpus.synsets(word, part) for lemma in synset.lemma_names()}
        return tuple(sorted(lemma for lemma in lemmas - {word} if "_" not in lemma and split(lemma).words == (lemma,)))

    return lambda word, part: of_lower(word.lower(), part)


def nltk_tagger() -> Tagger:
    """Parts of speech of English words, by nltk's averaged perceptron.

    Returns:
      Tagger.

    Raises:
      ModuleNotFoundError: nltk is not installed.
      LookupError: the tagger's weights are missing; the message names the command that downloads them.
    """
    nltk = _nltk("nltk")
    _present(lambda: nltk.pos_tag(["a"]), "nltk's tagger", _TAGGER)

    @functools.lru_cache(maxsize=1 << 12)  # many models are attacked on the same texts
    def of_text(words: tuple[str, ...]) -> tuple[str | None, ...]:
        return tuple(_PARTS.get(tag[0]) for _, tag in nltk.pos_tag(list(words)))

    return lambda words: of_text(tuple(words))


def nltk_stop_words() -> frozenset[str]:
    """nltk's English stop words in lower case, the list of TextAttack's recipes, for `stop_words=`.

    Returns:
      The words. scikit-learn's list, the default of the attacks, is longer, with many adverbs and numerals.

    Raises:
      ModuleNotFoundError: nltk is not installed.
      LookupError: the list is missing; the message names the command that downloads it.

    Source: TextAttack's `StopwordModification`.
    """
    corpus = _nltk("nltk.corpus").stopwords
    _present(corpus.ensure_loaded, "nltk's list of stop words", "stopwords")
    return frozenset(corpus.words("english"))


def _nltk(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "synonyms, stop words and parts of speech need nltk: pip install ib-jax[text]"
        ) from error


def _present(load: Callable[[], object], what: str, package: str) -> None:
    try:
        load()
    except LookupError as error:
        raise LookupError(f"{what} is not on this machine; get it by: python -m nltk.downloader {package}") from error
