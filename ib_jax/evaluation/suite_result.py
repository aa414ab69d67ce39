"""What an `AttackSuite` has measured of a model."""

import dataclasses
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ib_jax.evaluation.attack_spec import AttackSpec
from ib_jax.evaluation.findings import Finding

CLEAN, WORST = "clean", "worst"
"""What the answers without an attack, and to the worst of all attacks together, are called beside the attacks."""

_WIDTH = 100  # of a finding's lines in a table


@dataclasses.dataclass(frozen=True)
class AttackRow:
    """One attack on one model; arrays hold one entry for each of the n images that were attacked, the first ones.

    Attributes:
      spec: the attack.
      stands: bool [n], right before the attack and after it, by the same kind of answer.
      answers: int [n], the class answered after it.
      distances: float [n], sizes of the perturbations in the spec's norm, of an attack without a radius; else None.
      median_distance: of them, an example that stands counting as infinitely far; None for an attack with a radius.
      measures: the mean over the attacked images of each measure of the suite, by name.
      seconds: the time that it took.
      images: float [n, ...], the attacked images, if they are kept.
    """

    spec: AttackSpec
    stands: np.ndarray
    answers: np.ndarray
    distances: np.ndarray | None
    median_distance: float | None
    measures: Mapping[str, float]
    seconds: float
    images: np.ndarray | None = None

    @property
    def num_images(self) -> int:
        """How many images were attacked."""
        return len(self.stands)

    @property
    def accuracy(self) -> float:
        """The share of them that stands."""
        return float(self.stands.mean())

    def conditions(self) -> dict[str, Any]:
        """The settings of the attack and the number of images, in plain scalars."""
        return self.spec.conditions() | {"num_images": self.num_images}

    def values(self) -> dict[str, float]:
        """What was measured, in plain numbers: accuracy, the measures, median_distance if there is one, seconds."""
        distance = {} if self.median_distance is None else {"median_distance": self.median_distance}
        return {"accuracy": self.accuracy, **self.measures, **distance, "seconds": self.seconds}


class Together(NamedTuple):
    """All attacks at one radius, on the images that all of them attacked.

    Attributes:
      norm: of the radius.
      epsilon: the radius.
      num_images: how many images.
      accuracy: the share that stands, by the label of each attack; "clean" without an attack, "worst" under all of
        them.
    """

    norm: str
    epsilon: float
    num_images: int
    accuracy: Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class SuiteResult:
    """A model under every attack of a suite.

    Attributes:
      clean: bool [N], right without an attack, by samples; None if no attack is judged by them.
      clean_at_mean: the same by the answers at the mean.
      measures: the mean of each measure over the images as they are.
      rows: one for each attack, in the suite's order.
      findings: signs of masked gradients or of a mistake; no proof of either.
      seconds: the time that it took.
    """

    clean: np.ndarray | None
    clean_at_mean: np.ndarray | None
    measures: Mapping[str, float]
    rows: Sequence[AttackRow]
    findings: Sequence[Finding]
    seconds: float

    def right(self, spec: AttackSpec | None = None) -> np.ndarray:
        """Which images are right without an attack, bool [N], by the answers that judge an attack; by default the first
        one."""
        at_mean = self.rows[0].spec.at_mean if spec is None and self.rows else spec is not None and spec.at_mean
        right = self.clean_at_mean if at_mean else self.clean
        assert right is not None
        return right

    @property
    def clean_accuracy(self) -> float:
        """The share that is right without an attack."""
        return float(self.right().mean())

    @property
    def worst_accuracy(self) -> float:
        """The share that stands under every attack at the radius with most attacks."""
        return self.together().accuracy[WORST]

    def row(self, spec: AttackSpec) -> AttackRow:
        """The row of an attack.

        Raises:
          ValueError: the suite does not have it.
        """
        for row in self.rows:
            if row.spec == spec:
                return row
        raise ValueError(f"spec must be one of the suite, got {spec.label}")

    def together(self, epsilon: float | None = None, norm: str = "linf") -> Together:
        """Every attack at a radius on the images that all of them attacked, and the worst case over all.

        Args:
          epsilon: the radius; by default the one with most attacks.
          norm: its norm.

        Returns:
          Together.

        Raises:
          ValueError: there is no attack at that radius.
        """
        radii = Counter((row.spec.norm, row.spec.epsilon) for row in self.rows if not row.spec.is_minimal)
        if epsilon is None and radii:
            (found_norm, epsilon), _ = radii.most_common(1)[0]
            norm = str(found_norm)
        if epsilon is None or (norm, epsilon) not in radii:
            raise ValueError(f"epsilon must be the radius of an attack in {norm}, got {epsilon}")
        rows = [row for row in self.rows if (row.spec.norm, row.spec.epsilon) == (norm, epsilon)]
        count = min(row.num_images for row in rows)
        same = {CLEAN: self.right(rows[0].spec)[:count]} | {row.spec.label: row.stands[:count] for row in rows}
        same[WORST] = np.all(list(same.values()), axis=0)
        return Together(norm, epsilon, count, {label: float(stands.mean()) for label, stands in same.items()})

    def table(self) -> str:
        """All of it as lines of text: accuracies in per cent, distances in units of the inputs."""
        radii = not all(row.spec.is_minimal for row in self.rows)
        beside = self.together() if radii else None
        same = {} if beside is None else beside.accuracy
        lines = [("attack", "images", "accuracy", "together", "median")]
        lines.append((CLEAN, f"{len(self.right())}", _percent(self.clean_accuracy), _percent(same.get(CLEAN)), ""))
        for row in self.rows:
            distance = "" if row.median_distance is None else f"{row.median_distance:.3g}"
            cells = (f"{row.num_images}", _percent(row.accuracy), _percent(same.get(row.spec.label)), distance)
            lines.append((row.spec.label, *cells))
        if beside is not None:
            lines.append((WORST, f"{beside.num_images}", "", _percent(same[WORST]), ""))
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = []
        for line in lines:
            padded = [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
            text.append("  ".join([line[0].ljust(widths[0]), *padded]).rstrip())
        fill = textwrap.TextWrapper(_WIDTH, initial_indent="! ", subsequent_indent="  ").fill
        return "\n".join([*text, *(fill(found.message) for found in self.findings)])


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"
