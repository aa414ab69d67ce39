"""Replacements of a word: edits of its characters, or synonyms."""

import hashlib
import string
from collections.abc import Callable, Mapping, Sequence

from ib_jax.attacks.text.words import Words
from ib_jax.strings import shown

Candidates = Callable[[int, Words], Callable[[int], Sequence[str]]]
"""(seed, the original text) -> (index of a word -> its replacements, without the word itself)."""

Synonyms = Callable[[str, str | None], Sequence[str]]
"""(word, part of speech "n", "v", "a" or "r", or None for any) -> synonyms."""

Tagger = Callable[[Sequence[str]], Sequence[str | None]]
"""The words of a text -> their parts of speech "n", "v", "a" or "r", None for a word of any other."""


def character_edits(letters: str = string.ascii_letters) -> Candidates:
    """DeepWordBug's four edits of a word, one random edit of each kind: swap, substitution, deletion, insertion.

    The edits swap two different neighbours, substitute a character by another letter, delete a character, and insert a
    letter at any place. Characters are code points. Words of one character are not edited. The random numbers are a
    hash of the seed, the whole original text and the word's index. They depend neither on the model nor on earlier
    queries, so models attacked with the same seed share many queries.

    Args:
      letters: the letters for substitution and insertion, at least two different ones.

    Returns:
      Candidates, up to four for a word.

    Raises:
      ValueError: `letters` holds fewer than two different characters.

    Source: Gao et al., Black-box Generation of Adversarial Text Sequences to Evade Deep Learning Classifiers, 2018,
    section III.C.

    Example:
      >>> from ib_jax.attacks import text
      >>> edits = text.character_edits()(0, text.split("A film"))
      >>> edits(0), edits(1)
      ((), ('flim', 'fWlm', 'fim', 'filmt'))
    """
    if len(set(letters)) < 2:
        raise ValueError(f"letters must hold at least two different characters, got {letters!r}")

    def of_text(seed: int, original: Words) -> Callable[[int], Sequence[str]]:
        # Lone surrogates have no UTF-8 form, but Python's strings may hold them.
        digest = hashlib.blake2b(original.string.encode("utf-8", "surrogatepass")).digest()

        def of_word(index: int) -> Sequence[str]:
            word = original.words[index]
            if len(word) < 2:
                return ()
            draws = hashlib.blake2b(f"{seed} {index} ".encode() + digest).digest()
            numbers = [int.from_bytes(draws[at : at + 8], "big") for at in range(0, 48, 8)]
            return tuple(dict.fromkeys(_edits(word, letters, numbers)))

        return of_word

    return of_text


def _edits(word: str, letters: str, numbers: Sequence[int]) -> list[str]:
    swap, place, letter, gone, into, new = numbers
    edits = []
    unlike = [at for at in range(len(word) - 1) if word[at] != word[at + 1]]
    if unlike:
        at = unlike[swap % len(unlike)]
        edits.append(word[:at] + word[at + 1] + word[at] + word[at + 2 :])
    at = place % len(word)
    others = [other for other in letters if other != word[at]]
    edits.append(word[:at] + others[letter % len(others)] + word[at + 1 :])
    at = gone % len(word)
    edits.append(word[:at] + word[at + 1 :])
    at = into % (len(word) + 1)
    edits.append(word[:at] + letters[new % len(letters)] + word[at:])
    return edits


def synonym_swaps(
    synonyms: Synonyms, *, tagger: Tagger | None = None, named_entities: Mapping[str, Sequence[str]] | None = None
) -> Candidates:
    """Synonyms in the case of the word they replace (Great -> Outstanding, GREAT -> OUTSTANDING).

    Args:
      synonyms: see `Synonyms`, for example `wordnet_synonyms()`.
      tagger: see `Tagger`, for example `nltk_tagger()`. With a tagger, a word is replaced only by synonyms of its own
        part of speech, and only nouns, verbs, adjectives and adverbs are replaced.
      named_entities: replacements of names, keyed by the name as written in the text. They take the place of synonyms
        and are inserted unchanged.

    Returns:
      Candidates, in the order of `synonyms`.

    Raises:
      TypeError: from the candidates: a function returned one string instead of a sequence of strings.
      ValueError: from the candidates: the tagger does not return a tag for each word.

    Source: Ren et al., Generating Natural Language Adversarial Examples through Probability Weighted Word Saliency,
    2019, section 3.2.1.

    Example:
      >>> from ib_jax.attacks import text
      >>> table = {"great": ["outstanding", "great"]}
      >>> candidates = text.synonym_swaps(lambda word, part: table.get(word.lower(), ()))
      >>> candidates(0, text.split("A Great film"))(1)
      ('Outstanding',)
    """
    names = named_entities or {}

    def of_text(seed: int, original: Words) -> Callable[[int], Sequence[str]]:
        tags = None if tagger is None else list(tagger(original.words))
        if tags is not None and len(tags) != len(original.words):
            raise ValueError(f"tagger must return a tag for each of {len(original.words)} words, got {len(tags)}")

        def of_word(index: int) -> Sequence[str]:
            word = original.words[index]
            if word in names:
                found: Sequence[str] = _several("named_entities", word, names[word])
            elif tags is not None and tags[index] is None:
                return ()
            else:
                means = _several("synonyms", word, synonyms(word, None if tags is None else tags[index]))
                found = [in_case_of(word, new) for new in means if new.lower() != word.lower()]
            return tuple(new for new in dict.fromkeys(found) if new != word)

        return of_word

    return of_text


def _several(name: str, word: str, found: Sequence[str]) -> Sequence[str]:
    """The replacements of a word; TypeError for one string, which would be split into its characters."""
    if isinstance(found, str):
        raise TypeError(
            f"{name} must give a sequence of strings, got one, {shown(found)} for {word!r}; put it in a list"
        )
    return found


def in_case_of(word: str, new: str) -> str:
    """`new` in the case of `word`: upper, capitalised or lower; unchanged if `word` has mixed case."""
    if word.islower():
        return new.lower()
    if len(word) > 1 and word.isupper():
        return new.upper()
    if word[:1].isupper() and word[1:] == word[1:].lower():
        return new[:1].upper() + new[1:].lower()
    return new
