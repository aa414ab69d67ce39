"""Two attacks on the same texts: how far apart they are, and whether chance explains it."""

import math
from typing import NamedTuple

import numpy as np
import scipy.stats

LEVEL = 0.05
"""A difference is beyond sampling error if chance alone gives one at least as large less often than this."""


class Paired(NamedTuple):
    """A paired comparison.

    Attributes:
      num: pairs.
      ours: mean over them.
      theirs: mean over them.
      difference: ours less theirs.
      standard_error: of the difference; NaN for fewer than two pairs.
      p_value: of a difference at least as large, if there were none; 1 where all pairs are equal.
      within: whether that may be sampling error; true also where there is nothing to judge by.
    """

    num: int
    ours: float
    theirs: float
    difference: float
    standard_error: float
    p_value: float
    within: bool


def rates(ours: np.ndarray, theirs: np.ndarray) -> Paired:
    """Compares two shares of the same texts, by McNemar's exact test: the pairs that differ are tosses of a coin.

    Args:
      ours: bool [n].
      theirs: bool [n], of the same texts.

    Returns:
      Paired.

    Raises:
      ValueError: the lengths differ.

    Example:
      >>> import numpy as np
      >>> rates(np.array([1, 1, 1, 0], bool), np.array([1, 0, 0, 0], bool)).p_value
      0.5
    """
    only_ours, only_theirs = int((ours & ~theirs).sum()), int((~ours & theirs).sum())
    apart = only_ours + only_theirs
    p_value = scipy.stats.binomtest(only_ours, apart).pvalue if apart else 1.0
    return _paired(ours.astype(float), theirs.astype(float), float(p_value))


def means(ours: np.ndarray, theirs: np.ndarray) -> Paired:
    """Compares two means over the same texts, by Student's paired test.

    Args:
      ours: float [n].
      theirs: float [n], of the same texts.

    Returns:
      Paired; of no text all NaN.

    Raises:
      ValueError: the lengths differ.

    Example:
      >>> import numpy as np
      >>> means(np.array([1.0, 2.0, 6.0]), np.array([1.0, 2.0, 6.0])).p_value
      1.0
    """
    apart = np.ptp(ours - theirs) > 0 if len(ours) == len(theirs) > 1 else False
    if apart:
        p_value = float(scipy.stats.ttest_rel(ours, theirs).pvalue)
    else:
        # One pair, or the same difference in all: if it is none, nothing differs; else there is nothing to judge by.
        p_value = 1.0 if np.array_equal(ours, theirs) else math.nan
    return _paired(ours, theirs, p_value)


def _paired(ours: np.ndarray, theirs: np.ndarray, p_value: float) -> Paired:
    if ours.shape != theirs.shape:
        raise ValueError(f"ours and theirs must be of the same texts, got {len(ours)} and {len(theirs)}")
    num = len(ours)
    if not num:
        return Paired(0, math.nan, math.nan, math.nan, math.nan, math.nan, True)
    difference = ours - theirs
    error = float(difference.std(ddof=1) / math.sqrt(num)) if num > 1 else math.nan
    within = not p_value < LEVEL
    return Paired(num, float(ours.mean()), float(theirs.mean()), float(difference.mean()), error, p_value, within)
