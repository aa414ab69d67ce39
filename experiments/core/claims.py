"""Whether a statement of a paper was confirmed, by one rule for all of them."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

CONFIRMED, WEAKER, NOT_FOUND = "confirmed", "weaker", "not found"
RULE = (
    "*confirmed*: as stated with every seed, and on average by at least half of the paper's difference where it gives "
    "one; *weaker*: as stated on average; *not found*: neither. Three seeds are too few for a test at 5 %."
)


class Claim(NamedTuple):
    """A statement that one number is larger than another.

    Attributes:
      text: the statement.
      larger: ours that should be the larger, one for each seed.
      smaller: ours that should be the smaller, for the same seeds.
      paper: the paper's difference, or None.
      least: the difference that is asked for, where more than none is.
    """

    text: str
    larger: Sequence[float]
    smaller: Sequence[float]
    paper: float | None = None
    least: float = 0.0

    @property
    def differences(self) -> np.ndarray:
        """For each seed."""
        return np.subtract(self.larger, self.smaller)

    @property
    def verdict(self) -> str:
        """By the rule; see `RULE`.

        Example:
          >>> Claim("it grows", [2.0, 3.0], [1.0, 1.0], paper=2.0).verdict
          'confirmed'
          >>> Claim("it grows", [2.0, 0.5], [1.0, 1.0], paper=2.0).verdict
          'weaker'
        """
        mean = float(self.differences.mean())
        if not mean > self.least:
            return NOT_FOUND
        enough = self.paper is None or mean >= 0.5 * self.paper
        return CONFIRMED if enough and (self.differences > self.least).all() else WEAKER


def spread(values: Sequence[float], form: str = "{:.1f}") -> str:
    """Mean and standard deviation over seeds, as text; a dash for numbers that are missing.

    Example:
      >>> spread([1.0, 3.0]), spread([2.0])
      ('2.0 ± 1.4', '2.0')
    """
    if not len(values) or any(value is None or math.isnan(value) for value in values):
        return "-"
    mean = form.format(float(np.mean(values)))
    return mean if len(values) == 1 else f"{mean} ± {form.format(float(np.std(values, ddof=1)))}"


def render(claims: Sequence[Claim], unit: str = "") -> list[str]:
    """The lines of a table in Markdown: statement, ours, the paper's, verdict."""
    lines = ["| statement | difference, ours | paper | verdict |", "|---|---|---|---|"]
    for claim in claims:
        paper = "-" if claim.paper is None else f"{claim.paper:.1f}"
        lines.append(f"| {claim.text} | {spread(list(claim.differences))}{unit} | {paper} | **{claim.verdict}** |")
    return [*lines, "", RULE]
