"""The classifier that texts are attacked on, what an attack achieved by its answers, and two attacks side by side."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats
from sklearn.linear_model import LogisticRegression

from experiments.imdb_vub import TextEncoder, features_of_texts
from ib_jax import data
from ib_jax.attacks.text import Pool
from ib_jax.evaluation import is_right, most_probable
from ib_jax.types import Array, Params


@dataclasses.dataclass(frozen=True, eq=False)
class TextClassifier:
    """A frozen BERT, the mean of its tokens' vectors, and a linear head.

    Attributes:
      encoder: the BERT with its tokeniser.
      kernel: float32 [H, C], from a text's features to its logits; with bias [C].
      bias: of the head.
      apply_fn: tokens int [B, L] -> probabilities float32 [B, C]; jitted, once for all pools.
    """

    encoder: TextEncoder
    kernel: np.ndarray
    bias: np.ndarray
    apply_fn: Callable[[np.ndarray], Array]

    def pool(self, batch_size: int, length_step: int, **settings: Any) -> Pool:
        """A `Pool` of this classifier that has nothing in its cache yet, whose lengths are multiples of a step.

        Two small batches at once take less time than one of twice the size: fewer rows are repeated to fill them up.
        """
        longest = self.encoder.tokenise.max_length
        lengths = (*range(length_step, longest, length_step), longest)
        settings = {"num_threads": 2, **settings}
        return Pool(self.encoder.tokenise, self.apply_fn, batch_size=batch_size, lengths=lengths, **settings)


def fit(encoder: TextEncoder, texts: Sequence[str], labels: np.ndarray) -> TextClassifier:
    """Fits the head by logistic regression on the features of texts; labels int [N], each class among them."""
    split = data.TextSplit(tuple(texts), np.asarray(labels, np.int32))
    features, _ = features_of_texts(encoder, split, batch_size=32)(encoder.params, range(len(texts)), jax.devices()[0])
    fitted = LogisticRegression(max_iter=5000).fit(features, split.labels)
    kernel, bias = np.asarray(fitted.coef_.T, np.float32), np.asarray(fitted.intercept_, np.float32)
    if kernel.shape[1] == 1:  # of two classes only the log odds are fitted
        kernel, bias = (np.concatenate([np.zeros_like(array), array], -1) for array in (kernel, bias))
    params = jax.device_put({"bert": encoder.params, "kernel": kernel, "bias": bias})

    @jax.jit
    def probabilities(params: Params, tokens: Array) -> Array:
        return jax.nn.softmax(encoder.features(params["bert"], tokens) @ params["kernel"] + params["bias"][None])

    return TextClassifier(encoder, kernel, bias, lambda tokens: probabilities(params, jnp.asarray(tokens)))


class AttackOutcome(NamedTuple):
    """An attack on n texts.

    Attributes:
      perturbed: the texts at its end.
      attacked: bool [n], those that the model gets right.
      success: bool [n], those of them that it gets wrong when perturbed.
      changed: float [n], share of the pieces between white space that are others now.
      num_queries: int [n], by the library's own count.
      seconds: of all.
      disagreements: texts whose success the library tells otherwise.
    """

    perturbed: list[str]
    attacked: np.ndarray
    success: np.ndarray
    changed: np.ndarray
    num_queries: np.ndarray
    seconds: float
    disagreements: int

    def values(self) -> dict[str, float]:
        """For a record."""
        return {
            "num_attacked": int(self.attacked.sum()),
            "num_successes": int(self.success.sum()),
            "success_rate": _mean(self.success[self.attacked]),
            "words_changed": _mean(self.changed[self.success]),
            "mean_queries": _mean(self.num_queries[self.attacked]),
            "seconds": self.seconds,
            "queries_per_second": float(self.num_queries.sum()) / self.seconds if self.seconds else math.nan,
            "disagreements": self.disagreements,
        }

    def texts(self) -> dict[str, list[Any]]:
        """For a record's details: what became of each text."""
        return {name: getattr(self, name).tolist() for name in ("success", "changed", "num_queries")}


class Evaluator:
    """Decides on success by one model, texts -> probabilities [n, C], for all libraries."""

    def __init__(self, score: Callable[[Sequence[str]], np.ndarray], texts: Sequence[str], labels: np.ndarray):
        self.texts, self.labels = list(texts), np.asarray(labels)
        self.probabilities = lambda texts: np.asarray(score(texts))
        self.clean = self.probabilities(self.texts)
        self.correct = is_right(most_probable(self.clean), self.labels)

    def __call__(self, results: Sequence[Any], seconds: float) -> AttackOutcome:
        """The outcome of an attack on the first n texts; of each its `perturbed`, `success` and `num_queries`."""
        perturbed, count = [result.perturbed for result in results], len(results)
        attacked = self.correct[:count]
        success = attacked & ~is_right(most_probable(self.probabilities(perturbed)), self.labels[:count])
        reported = np.array([result.success for result in results], bool)
        changed = np.array([share_changed(*pair) for pair in zip(self.texts[:count], perturbed, strict=True)])
        num_queries = np.array([result.num_queries for result in results], np.int64)
        disagreements = int((reported != success).sum())
        return AttackOutcome(perturbed, attacked, success, changed, num_queries, seconds, disagreements)


def share_changed(original: str, perturbed: str) -> float:
    """The share of pieces between white space that differ: a count that is the same for every library.

    Example:
      >>> share_changed("two fine films here", "two fien films here")
      0.25
    """
    before, after = original.split(), perturbed.split()
    if len(before) != len(after):
        raise ValueError(f"the texts must have as many pieces, got {len(before)} and {len(after)}")
    return sum(old != new for old, new in zip(before, after, strict=True)) / max(len(before), 1)


def paired(ours: np.ndarray, theirs: np.ndarray) -> dict[str, float]:
    """Compares ours and theirs on the same texts, [n] each.

    Shares, which are bool, by McNemar's exact test: pairs that differ are tosses of a coin. Means by Student's paired
    test.

    Returns:
      `num` pairs; the means `ours` and `theirs`; their `difference` and its `standard_error`, NaN for fewer than two
      pairs; and `p_value`, of a difference at least as large if there were none: 1 where all pairs are equal, NaN where
      there is nothing to judge by.

    Example:
      >>> import numpy as np
      >>> paired(np.array([1, 1, 1, 0], bool), np.array([1, 0, 0, 0], bool))["p_value"]
      0.5
      >>> paired(np.array([1.0, 2.0, 6.0]), np.array([1.0, 2.0, 6.0]))["p_value"]
      1.0
    """
    num, difference = len(ours), ours.astype(float) - theirs
    if not num:
        p_value = math.nan
    elif np.array_equal(ours, theirs):
        p_value = 1.0
    elif ours.dtype == bool:
        p_value = float(scipy.stats.binomtest(int((difference > 0).sum()), int((difference != 0).sum())).pvalue)
    else:  # one pair, or the same difference in all, is nothing to judge by
        p_value = float(scipy.stats.ttest_rel(ours, theirs).pvalue) if np.ptp(difference) > 0 else math.nan
    return {
        "num": num,
        "ours": _mean(ours),
        "theirs": _mean(theirs),
        "difference": _mean(difference),
        "standard_error": float(scipy.stats.sem(difference)) if num > 1 else math.nan,
        "p_value": p_value,
    }


def compare(ours: AttackOutcome, theirs: AttackOutcome) -> dict[str, float]:
    """Ours less theirs, which may be of fewer texts: success and words changed in pairs, and how many times faster.

    Of fewer texts ours are taken to have cost the share of the time that they have of the queries.

    Returns:
      What `paired` says as `success_...` and `words_changed_...`; `identical`, perturbed texts that both have;
      `same_queries`, whether both asked as often of every text; and `times_faster`.
    """
    count = len(theirs.perturbed)
    attacked = ours.attacked[:count] & theirs.attacked
    both = ours.success[:count] & theirs.success
    success = paired(ours.success[:count][attacked], theirs.success[attacked])
    words_changed = paired(ours.changed[:count][both], theirs.changed[both])
    share = float(ours.num_queries[:count].sum() / ours.num_queries.sum())
    return {
        **{f"success_{name}": value for name, value in success.items()},
        **{f"words_changed_{name}": value for name, value in words_changed.items()},
        "identical": sum(one == other for one, other in zip(ours.perturbed, theirs.perturbed, strict=False)),
        "same_queries": bool((ours.num_queries[:count] == theirs.num_queries).all()),
        "times_faster": theirs.seconds / (ours.seconds * share) if ours.seconds else math.nan,
    }


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else math.nan
