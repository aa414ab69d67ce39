"""Whether a statement of a paper was confirmed, by one rule for all of them."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

CONFIRMED, WEAKER, NOT_FOUND = "confirmed", "weaker", "not found"
SIGNIFICANT = 0.05
RULE = (
    "Confirmed: as stated with every seed (or, where there is a test, with p < 0.05 after Holm's correction over all "
    "tests of this report), and on average by at least half of the paper's difference where it gives one. Weaker: as "
    "stated on average (or, with a test, with p < 0.05 before the correction). Not found: neither. n is the number of "
    "seeds, or of points behind a test; three seeds are too few for a test at 5 %."
)


@dataclasses.dataclass(frozen=True)
class Claim:
    """A statement that one number is larger than another.

    Attributes:
      text: the statement.
      larger: ours that should be the larger, one for each seed, or by seed as `frames.per_seed` gives them.
      smaller: ours that should be the smaller, for the same seeds; 0 where `larger` is a difference, or a coefficient.
      paper: the paper's difference, or None.
      least: the difference that is asked for, where more than none is.
      p_value: of a test, where there is one; the rule then asks this in place of every seed, and of their mean.
      n: points behind the test, where it is not one for each seed.
      unit: of the difference.
      digits: of the difference.
      ours: what to show in place of the difference.
    """

    text: str
    larger: Any
    smaller: Any = 0.0
    paper: float | None = None
    least: float = 0.0
    p_value: float | None = None
    n: int | None = None
    unit: str = ""
    digits: int = 1
    ours: str = ""

    @property
    def differences(self) -> np.ndarray:
        """For each seed that both sides have."""
        if hasattr(self.larger, "align") and hasattr(self.smaller, "align"):
            larger, smaller = self.larger.align(self.smaller, join="inner")
            return np.asarray(larger - smaller, np.float64)
        return np.atleast_1d(np.subtract(self.larger, self.smaller).astype(np.float64))

    @property
    def count(self) -> int:
        """Seeds, or points behind the test."""
        return self.differences.size if self.n is None else self.n


class Verdict(NamedTuple):
    """What the rule says of a claim; `p_value` after Holm's correction, None without a test."""

    claim: Claim
    verdict: str
    p_value: float | None


def rank_sum(first: Any, second: Any) -> float:
    """The two-sided p-value of the Wilcoxon rank-sum test, by the normal approximation; NaN for fewer than two each.

    Of five runs against five it cannot fall below 0.009.
    """
    import scipy.stats  # a second, which a run that makes no report goes without

    return float(scipy.stats.ranksums(first, second).pvalue) if min(len(first), len(second)) > 1 else math.nan


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values corrected for their number by Holm's method; NaN, for a test that could not be made, stays.

    Example:
      >>> holm([0.01, 0.04, 0.03])
      [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, np.float64)
    order, number = np.argsort(p), np.isfinite(p).sum()  # NaN comes last
    corrected = np.empty_like(p)
    corrected[order] = np.maximum.accumulate(np.minimum(1.0, (number - np.arange(len(p))) * p[order]))
    return corrected.tolist()


def verdicts(claims: Sequence[Claim]) -> list[Verdict]:
    """The rule, over all claims of a report; see `RULE`.

    Example:
      >>> grows = Claim("it grows", [2.0, 3.0], [1.0, 1.0], paper=2.0), Claim("it grows", [2.0, 0.5], [1.0, 1.0])
      >>> [each.verdict for each in verdicts(grows)]
      ['confirmed', 'weaker']
    """
    tested = {index: claim.p_value for index, claim in enumerate(claims) if claim.p_value is not None}
    corrected = dict(zip(tested, holm(list(tested.values())), strict=True))
    return [Verdict(claim, _verdict(claim, corrected.get(i)), corrected.get(i)) for i, claim in enumerate(claims)]


def _verdict(claim: Claim, p_value: float | None) -> str:
    differences = claim.differences
    mean = float(differences.mean()) if differences.size else math.nan
    if not mean > claim.least:
        return NOT_FOUND
    if claim.p_value is not None and not claim.p_value < SIGNIFICANT:  # NaN is not
        return NOT_FOUND
    enough = claim.paper is None or mean >= 0.5 * claim.paper
    sure = bool((differences > claim.least).all()) if p_value is None else p_value < SIGNIFICANT
    return CONFIRMED if enough and sure else WEAKER


class Correlation(NamedTuple):
    """A coefficient and its two-sided p-value for independent points; NaN where one of both quantities does not vary.

    Example:
      >>> str(Correlation(0.57, 0.0015)), str(Correlation(0.57, 1e-9)), str(Correlation(math.nan, math.nan))
      ('0.57 (p 0.0015)', '0.57 (p < 1e-4)', '-')
    """

    coefficient: float
    p_value: float

    def __str__(self) -> str:
        if math.isnan(self.coefficient):
            return "-"
        return f"{self.coefficient:.2f} (p {'< 1e-4' if self.p_value < 1e-4 else f'{self.p_value:.2g}'})"


def correlate(x: Any, y: Any, *, rank: bool = False, given: Any = None) -> Correlation:
    """Pearson's or Spearman's coefficient; or Pearson's within groups: of the deviations from each group's mean.

    Args:
      x: float [n].
      y: float [n].
      rank: Spearman's.
      given: the group of each, [n]; each group costs a degree of freedom.

    Returns:
      Correlation; NaN for less than two points more than groups, or where x or y does not vary.

    Example:
      >>> found = correlate([1.0, 2.0, 11.0, 12.0], [0.0, 1.0, -10.0, -8.0], given=[0, 0, 1, 1])
      >>> print(f"{found.coefficient:.2f} {correlate([1.0, 2.0, 3.0], [1.0, 2.0, 9.0], rank=True).coefficient:.2f}")
      0.95 1.00
    """
    import scipy.stats  # a second, which a run that makes no report goes without

    groups = np.zeros(len(x), int) if given is None else np.unique(np.asarray(given), return_inverse=True)[1]
    a, b = (_deviations(np.asarray(values, np.float64), groups) for values in (x, y))
    freedom = len(a) - 1 - len(np.unique(groups))
    if freedom < 1 or min(np.ptp(a), np.ptp(b)) == 0:
        return Correlation(math.nan, math.nan)
    if given is None:
        found = (scipy.stats.spearmanr if rank else scipy.stats.pearsonr)(x, y)
        return Correlation(float(found.statistic), float(found.pvalue))
    r = float(a @ b / np.sqrt((a @ a) * (b @ b)))
    t = r * np.sqrt(freedom / max(1e-300, 1.0 - r * r))
    return Correlation(r, float(2.0 * scipy.stats.t.sf(abs(t), freedom)))


def _deviations(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    means = np.array([values[groups == group].mean() for group in np.unique(groups)])
    return values - means[groups]
