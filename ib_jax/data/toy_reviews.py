"""Made-up film reviews of a sentence or two, for tests and first runs. Results on them say nothing about real texts.

A small grammar writes them: clauses of a subject, a verb, perhaps an adverb, perhaps a negation, and an adjective of
praise or blame. A negation reverses the adjective, and a clause after "but" overrules the one before it.
One review in ten praises and blames in equal parts, and its label is the toss of a coin: no classifier can expect to be
right about more than 95 % of such reviews.

The same 1,600 training and 200 test reviews are written on every machine, no two of them alike.
"""

import functools
import random

import numpy as np

from ib_jax.data.text import TextSplit

CLASS_NAMES = ("negative", "positive")
AMBIGUOUS_SHARE = 0.1
_NUM_TRAIN, _NUM_TEST = 1600, 200
_SEED = 7

_BLAME = """awful bad boring clumsy confusing disappointing dreary dull empty flat foolish horrible lifeless messy poor
    predictable sloppy stale stupid terrible tedious tiresome ugly weak"""
_PRAISE = """beautiful brilliant charming clever delightful enjoyable excellent exciting fine funny good graceful great
    honest lovely magnificent memorable moving remarkable smart splendid superb warm wonderful"""
_ADJECTIVES = (_BLAME.split(), _PRAISE.split())  # by the class they speak for
_SUBJECTS = [
    *("the film", "the plot", "the acting", "the music", "the script", "the ending", "the first half"),
    *("the camera work", "the dialogue", "the main actor", "her performance", "this story", "the whole thing"),
    "the second part",
]
_VERBS = ["is", "was", "seems", "seemed", "felt", "looked"]
_ADVERBS = ["really", "quite", "rather", "very", "truly", "simply"]
_OPENINGS = [
    "I saw it last night",
    "we watched it at home with friends",
    "my brother chose it",
    "I had read the book before",
    "it runs for two hours",
    "there were few people in the cinema",
    "it is his third film",
    "I knew nothing about it",
]
_CLOSINGS = ["That is all I can say.", "I watched it twice.", "It is out on disc now.", "You have been told."]


class _Writer:
    """Draws by `random()` alone, the one method whose numbers Python keeps the same from version to version."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed).random

    def chance(self, probability: float) -> bool:
        return self._random() < probability

    def pick(self, choices: list[str]) -> str:
        return choices[int(self._random() * len(choices))]

    def clause(self, sense: int) -> str:
        negated = self.chance(0.05)
        adjective = self.pick(_ADJECTIVES[1 - sense if negated else sense])
        words = [self.pick(_SUBJECTS), self.pick(_VERBS)]
        if words[1] in ("is", "was"):
            words += ["not"] if negated else []
        elif negated:
            words.insert(1, "never")
        if self.chance(0.4):
            words.append(self.pick(_ADVERBS))
        return " ".join([*words, adjective])

    def review(self) -> tuple[str, int]:
        label = int(self.chance(0.5))
        if self.chance(AMBIGUOUS_SHARE):
            first = int(self.chance(0.5))
            body = f"{self.clause(first)} and {self.clause(1 - first)}"
        elif self.chance(0.1):
            body = f"{self.clause(1 - label)}, but {self.clause(label)}"
        else:
            body = " and ".join(self.clause(label) for _ in range(1 + self.chance(0.4) + self.chance(0.2)))
        sentences = [self.pick(_OPENINGS), body] if self.chance(0.4) else [body]
        text = " ".join(f"{sentence[0].upper()}{sentence[1:]}." for sentence in sentences)
        return (f"{text} {self.pick(_CLOSINGS)}" if self.chance(0.2) else text), label


@functools.cache
def _write() -> tuple[TextSplit, TextSplit]:
    writer = _Writer(_SEED)
    reviews: dict[str, int] = {}
    while len(reviews) < _NUM_TRAIN + _NUM_TEST:
        text, label = writer.review()
        reviews.setdefault(text, label)
    texts, labels = tuple(reviews), np.array(list(reviews.values()), np.int32)
    labels.flags.writeable = False  # every caller gets the same arrays
    return TextSplit(texts[:_NUM_TRAIN], labels[:_NUM_TRAIN]), TextSplit(texts[_NUM_TRAIN:], labels[_NUM_TRAIN:])


def load_splits() -> tuple[TextSplit, TextSplit]:
    """Writes the reviews.

    Returns:
      train with 1600 and test with 200 reviews; labels int32 [N], read-only, 0 for negative and 1 for positive.

    Example:
      >>> train, test = load_splits()
      >>> len(train.texts), len(test.texts)
      (1600, 200)
    """
    return _write()
