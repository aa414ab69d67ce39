"""Which of tau and the encoder's Lipschitz constant goes with the loss by transfer: correlations over pairs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.stats

from experiments.core.claims import CONFIRMED, NOT_FOUND, WEAKER
from ib_jax import evaluation

Pair = Mapping[str, Any]
PRODUCT, LOG_PRODUCT, LOG_AVERAGED, LOG_DENSITY, TAU = "L", "log L", "log L, tighter", "log L of Theorem 3", "tau"
QUANTITIES: dict[str, Callable[[Pair], float]] = {
    PRODUCT: lambda pair: pair["lipschitz"]["product"],
    LOG_PRODUCT: lambda pair: float(np.log(pair["lipschitz"]["product"])),
    LOG_AVERAGED: lambda pair: float(np.log(pair["lipschitz"]["averaged"])),
    LOG_DENSITY: lambda pair: pair["lipschitz"]["log_density_corrected"],
    TAU: lambda pair: pair["tau"],
}
"""What the gap is correlated with."""

RULE = (
    "*confirmed*: the coefficient is positive and p < 0.05; *weaker*: positive, p >= 0.05; *not found*: it is not "
    "positive."
)


class Found(NamedTuple):
    """A correlation coefficient.

    Attributes:
      coefficient: in [-1, 1]; NaN where one of the two does not vary.
      p_value: two-sided, for independent pairs; NaN likewise.
    """

    coefficient: float
    p_value: float

    @property
    def verdict(self) -> str:
        """Whether a positive correlation was found; see `RULE`.

        Example:
          >>> Found(0.5, 0.01).verdict, Found(0.2, 0.3).verdict, Found(-0.5, 0.01).verdict
          ('confirmed', 'weaker', 'not found')
        """
        if not self.coefficient > 0:
            return NOT_FOUND
        return CONFIRMED if self.p_value < 0.05 else WEAKER

    def __str__(self) -> str:
        """As in a table.

        Example:
          >>> str(Found(0.57, 0.0015)), str(Found(0.57, 1e-9)), str(Found(float("nan"), float("nan")))
          ('0.57 (p 0.0015)', '0.57 (p < 1e-4)', '-')
        """
        if np.isnan(self.coefficient):
            return "-"
        p = "< 1e-4" if self.p_value < 1e-4 else f"{self.p_value:.2g}"
        return f"{self.coefficient:.2f} (p {p})"


def correlate(
    x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray, given: Sequence[Any] | np.ndarray | None = None
) -> Found:
    """Pearson's coefficient, or within groups: of the deviations from each group's mean.

    Args:
      x: float [n].
      y: float [n].
      given: the group of each, [n]; each group costs a degree of freedom.

    Returns:
      Found; NaN for fewer than two degrees of freedom less than n, or where x or y does not vary.

    Example:
      >>> found = correlate([1.0, 2.0, 11.0, 12.0], [0.0, 1.0, -10.0, -8.0], given=[0, 0, 1, 1])
      >>> print(f"{found.coefficient:.2f}")
      0.95
    """
    groups = np.zeros(len(x), int) if given is None else np.unique(np.asarray(given), return_inverse=True)[1]
    a, b = (_within(np.asarray(values, np.float64), groups) for values in (x, y))
    freedom = len(a) - 1 - len(np.unique(groups))
    if freedom < 1 or max(np.ptp(a), np.ptp(b)) == 0 or min(np.ptp(a), np.ptp(b)) == 0:
        return Found(float("nan"), float("nan"))
    if given is None:
        found = evaluation.pearson(x, y)
        return Found(found.coefficient, found.p_value)
    r = float(a @ b / np.sqrt((a @ a) * (b @ b)))
    t = r * np.sqrt(freedom / max(1e-300, 1.0 - r * r))
    return Found(r, float(2.0 * scipy.stats.t.sf(abs(t), freedom)))


def gaps(pairs: Sequence[Pair], attack: str, epsilon: float) -> np.ndarray:
    """delta' - delta of each pair under an attack, [n]."""
    return np.array([row["gap"] for pair in pairs for row in rows_of(pair, attack, epsilon)])


def rows_of(pair: Pair, attack: str, epsilon: float) -> list[Mapping[str, Any]]:
    """The row of an attack at a radius."""
    return [row for row in pair["attacks"] if (row["attack"], row["epsilon"]) == (attack, epsilon)]


def sound(record: Mapping[str, Any]) -> list[Pair]:
    """The pairs that did not diverge."""
    return [pair for pair in record["pairs"] if pair["diverged_at"] < 0]


def attacks_of(record: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Attacks and radii in the order of the record."""
    return [(row["attack"], row["epsilon"]) for row in record["pairs"][0]["attacks"]]


def correlations(pairs: Sequence[Pair], attack: str, epsilon: float) -> dict[str, dict[str, Found]]:
    """By quantity the gap's correlation with it: over "all" pairs, "given beta", and for each beta, "beta 0.1"."""
    gap, betas = gaps(pairs, attack, epsilon), np.array([pair["beta"] for pair in pairs])
    found = {}
    for name, of in QUANTITIES.items():
        values = np.array([of(pair) for pair in pairs])
        found[name] = {"all": correlate(values, gap), "given beta": correlate(values, gap, betas)}
        found[name] |= {
            f"beta {beta:g}": correlate(values[betas == beta], gap[betas == beta]) for beta in np.unique(betas)
        }
    return found


def _within(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    means = np.array([values[groups == group].mean() for group in range(groups.max() + 1)])
    return values - means[groups]
