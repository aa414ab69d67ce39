"""What looks suspicious about the attacks of a suite: each beside those that it should be as good as."""

from collections.abc import Iterator, Sequence

import numpy as np

from ib_jax.attacks.box import Bounds
from ib_jax.evaluation.curve_checks import check_monotone, check_unbounded
from ib_jax.evaluation.findings import Finding
from ib_jax.evaluation.result_checks import check_black_box, check_budget, check_confirmed, check_one_step
from ib_jax.evaluation.suite_result import AttackRow

_FOUND_OR_UNMOVED = ("carlini_wagner", "fab")  # where nothing is found they return the input
_ITERATED = ("pgd", "apgd", "bim", "mi_fgsm", "autoattack")  # the earlier, the rather it is the one to be reported


def suite_findings(rows: Sequence[AttackRow], right: np.ndarray, *, at_mean: bool, bounds: Bounds) -> list[Finding]:
    """Compares the untargeted attacks that are judged by one kind of answer; the checks follow from their specs.

    At each radius the white-box attack that is reported, PGD on the cross-entropy averaged over most samples, stands
    beside one step, more steps, transfer and Square; it must not get weaker as the radius grows. Attacks without a
    radius, or with one as wide as the bounds, must leave nothing, and what they took for successes must be ones.

    Args:
      rows: of a suite.
      right: bool [N], right without an attack by that kind of answer.
      at_mean: the kind of answer.
      bounds: of the inputs.

    Returns:
      The findings; each message begins with the label of the attack that it is about.
    """
    rows = [row for row in rows if row.spec.at_mean == at_mean and not row.spec.targeted and row.num_images]
    own = [row for row in rows if not row.spec.source]
    found: list[Finding | None] = []
    reported: list[AttackRow] = []
    for norm, epsilon in dict.fromkeys((r.spec.norm, r.spec.epsilon) for r in rows if not r.spec.is_minimal):
        here = [row for row in rows if (row.spec.norm, row.spec.epsilon) == (norm, epsilon)]
        white = _reported([row for row in here if not row.spec.source])
        if white is None:
            continue
        reported.append(white)
        found += _beside(white, [row for row in here if row is not white])
    width = float(np.max(np.asarray(bounds[1], np.float64) - np.asarray(bounds[0], np.float64)))
    for row in own:
        if row.spec.attack in _FOUND_OR_UNMOVED and row.distances is not None:
            found.append(_named(row, check_confirmed((row.distances > 0) & right[: row.num_images], row.stands)))
        if row.spec.is_minimal or (row.spec.norm == "linf" and (row.spec.epsilon or 0) >= width):
            found.append(_named(row, check_unbounded(row.stands)))
    found += _curves(reported, right)
    return [finding for finding in found if finding is not None]


def _reported(rows: Sequence[AttackRow]) -> AttackRow | None:
    """The white-box attack of a radius whose number is reported: the others must not beat it."""
    iterated = [row for row in rows if row.spec.attack in _ITERATED]

    def rank(row: AttackRow) -> tuple[int, bool, int, int]:
        spec = row.spec
        return _ITERATED.index(spec.attack), spec.loss == "margin", -spec.num_eot_samples, spec.num_steps or 0

    return min(iterated, key=rank, default=None)


def _beside(white: AttackRow, others: Sequence[AttackRow]) -> Iterator[Finding | None]:
    spec = white.spec
    for row in others:
        count = min(white.num_images, row.num_images)
        ours, theirs = white.stands[:count], row.stands[:count]
        if row.spec.source or row.spec.attack == "square":
            yield _named(white, check_black_box(theirs, ours, name=row.spec.label))
        elif row.spec.attack == "fgsm" and row.spec.num_eot_samples == spec.num_eot_samples:
            yield _named(white, check_one_step(theirs, ours))
        elif row.spec.program[:3] == spec.program[:3] and _has_more(row, white):
            yield _named(white, check_budget(ours, theirs))


def _has_more(row: AttackRow, white: AttackRow) -> bool:
    """Whether an attack is the same with more steps or restarts."""
    more, less = row.spec, white.spec
    restarts = [spec.options.get("num_restarts", 1) for spec in (more, less)]
    same = more.num_eot_samples == less.num_eot_samples and restarts[0] >= restarts[1]
    return same and ((more.num_steps or 0) > (less.num_steps or 0) or restarts[0] > restarts[1])


def _curves(reported: Sequence[AttackRow], right: np.ndarray) -> Iterator[Finding | None]:
    """One curve for each attack that was run at several radii."""
    for program in dict.fromkeys(row.spec.program for row in reported):
        curve = sorted((row for row in reported if row.spec.program == program), key=lambda row: row.spec.epsilon or 0)
        curve = [row for row in curve if row.spec.epsilon]
        if len(curve) > 1:
            count = min(row.num_images for row in curve)
            stands = np.stack([right[:count], *(row.stands[:count] for row in curve)], axis=-1)
            yield _named(curve[-1], check_monotone(np.array([0.0, *(row.spec.epsilon for row in curve)]), stands))


def _named(row: AttackRow, finding: Finding | None) -> Finding | None:
    return None if finding is None else finding._replace(message=f"{row.spec.label}: {finding.message}")
