"""From answers to numbers: of each head, of each beta over its seeds, and between objectives."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.stats

from ib_jax.attacks import text
from ib_jax.attacks.text import TextResult

SKIPPED, WITHSTOOD, FELL = "-", "0", "1"


def of_attack(answers: Sequence[TextResult]) -> dict[str, Any]:
    """What one attack did to one head: `text.summarise`, and what became of each text in a letter."""
    letters = (SKIPPED if one.skipped else FELL if one.success else WITHSTOOD for one in answers)
    return {**text.summarise(answers)._asdict(), "outcomes": "".join(letters)}


def accuracy(member: Mapping[str, Any], split: str = "test", answer: str = "one") -> float:
    """In %, with one sample of z ("one") or the mean of many ("avg")."""
    return 100 * (1 - member[split][f"error_{answer}"])


def success(member: Mapping[str, Any], attack: str) -> float:
    """In % of the texts attacked."""
    value = member["attacks"][attack]["success_rate"]
    return float("nan") if value is None else value


def words_changed(member: Mapping[str, Any], attack: str) -> float:
    """In % of a text's words, over the texts that fell."""
    value = member["attacks"][attack]["words_changed"]
    return float("nan") if value is None else value


def groups(members: Sequence[Mapping[str, Any]]) -> dict[float | None, list[Mapping[str, Any]]]:
    """The heads of one objective by their beta, ascending."""
    betas = sorted({member["beta"] for member in members}, key=lambda beta: beta or 0.0)
    return {beta: [member for member in members if member["beta"] == beta] for beta in betas}


def best(members: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The seeds of the beta that is best on held-out training texts; of equals the larger one."""
    each = groups(members)
    means = {beta: np.mean([accuracy(one, "validation", "avg") for one in group]) for beta, group in each.items()}
    return each[max(each, key=lambda beta: (means[beta], beta or 0.0))]


def rank_sum(first: Sequence[float], second: Sequence[float]) -> float:
    """The two-sided p-value of the Wilcoxon rank-sum test, by the normal approximation; NaN for fewer than two each.

    Of five runs against five it cannot fall below 0.009.
    """
    if min(len(first), len(second)) < 2:
        return float("nan")
    return float(scipy.stats.ranksums(first, second).pvalue)


def compare(
    vib: Sequence[Mapping[str, Any]], vub: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> list[dict[str, Any]]:
    """The paper's claims, measured between the best beta of each: VUB is more accurate, and withstands more.

    The paper counts attacks that succeed. Where all of them do, what they had to change tells more, so it is compared
    as well.

    Args:
      vib: all heads of VIB.
      vub: all heads of VUB.
      names: of the attacks.

    Returns:
      For each quantity its mean under both, the p-value, and `found`: "confirmed", "not found" (no difference at 5 %),
      or "the opposite".
    """
    pair = best(vib), best(vub)
    measures: list[tuple[str, Any, float]] = [
        ("accuracy, 1 sample", accuracy, 1.0),
        ("accuracy, mean of samples", lambda one: accuracy(one, answer="avg"), 1.0),
    ]
    for name in names:
        measures += [
            (f"success of {name}", lambda one, name=name: success(one, name), -1.0),
            (f"words changed by {name}", lambda one, name=name: words_changed(one, name), 1.0),
        ]
    rows = []
    for title, measure, sign in measures:
        values = [[measure(one) for one in side] for side in pair]
        means, p = [float(np.mean(side)) for side in values], rank_sum(*values)
        ahead = sign * (means[1] - means[0]) > 0
        found = "not found" if not p < 0.05 else "confirmed" if ahead else "the opposite"
        rows.append({"what": title, "vib": means[0], "vub": means[1], "p": p, "found": found})
    return rows
