r"""Checks of the results of attacks: comparisons that come out the wrong way round where gradients are masked.

Each takes `correct`: bool [N], whether an example is still classified right after an attack (`~success` of an
untargeted one), on the same examples in the same order. Comparisons are paired. Where one attack breaks `a` examples
that the other leaves and the other `b` that the one leaves, an example of the a + b is as likely to be among the a as
among the b if the attacks are equally good. So "beyond noise" is the exact one-sided sign test (McNemar's)

.. math:: P[\mathrm{Binomial}(a + b, 1/2) \ge a] \le \mathrm{level}

together with a least difference of accuracy, (a - b) / N >= `min_difference`: with enough examples the test alone would
report differences that change no conclusion. At level 0.05 fewer than 5 examples are never beyond noise, so hand these
checks hundreds.
"""

from collections.abc import Mapping

import numpy as np
import scipy

from ib_jax.evaluation.curve_checks import check_large_radius, check_monotone, check_unbounded
from ib_jax.evaluation.findings import Finding, require_examples, require_share
from ib_jax.types import Array


def _compare(
    level: float, min_difference: float, **results: Array | np.ndarray
) -> tuple[bool, str, Mapping[str, float]]:
    """Whether the attack named first beats the second beyond noise; both in words, and in numbers."""
    require_share("level", level)
    require_share("min_difference", min_difference)
    first, second = require_examples(**results)
    names = list(results)
    a, b = int((second & ~first).sum()), int((first & ~second).sum())
    p_value = float(scipy.special.bdtrc(a - 1, a + b, 0.5))
    words = (
        f"the accuracy is {first.mean():.1%} under it and {second.mean():.1%} under the other; of {len(first)} examples"
        f" {a} fall to it alone and {b} to the other alone"
    )
    evidence = {f"accuracy_{name}": float(x.mean()) for name, x in zip(names, (first, second), strict=True)}
    evidence |= {f"only_{name}": float(count) for name, count in zip(names, (a, b), strict=True)}
    beats = p_value <= level and (a - b) / len(first) >= min_difference
    return beats, words, evidence | {"p_value": p_value}


def check_one_step(
    one_step: Array | np.ndarray, multi_step: Array | np.ndarray, *, level: float = 0.05, min_difference: float = 0.005
) -> Finding | None:
    """Looks for a one-step attack that beats a multi-step one of the same radius.

    Many steps follow the loss where it bends: an attack that does worse with many steps than with one is badly set up,
    or follows useless gradients.

    Args:
      one_step: bool [N], still right after the one-step attack (such as FGSM).
      multi_step: bool [N], still right after the multi-step one (such as PGD), at the same radius and norm.
      level: of the sign test (see the module), in [0, 1).
      min_difference: least difference of the two accuracies, in [0, 1).

    Returns:
      A Finding if the accuracy is lower under the one-step attack, beyond noise; else None.

    Raises:
      ValueError: the results are not bool [N] of one length N >= 1, or a setting is out of its range.

    Source: Athalye et al., Obfuscated Gradients Give a False Sense of Security, 2018.

    Example:
      >>> import numpy as np
      >>> from ib_jax import evaluation
      >>> evaluation.check_one_step(np.arange(100) < 40, np.arange(100) < 50).check
      'one_step'
      >>> evaluation.check_one_step(np.arange(100) < 50, np.arange(100) < 40)
    """
    beats, words, evidence = _compare(level, min_difference, one_step=one_step, multi_step=multi_step)
    if not beats:
        return None
    return Finding(
        "one_step",
        f"The one-step attack beats the multi-step one: {words}. Try other step sizes, more steps and random starts"
        " before trusting the multi-step attack; if that does not help, gradients are masked.",
        evidence,
    )


def check_budget(
    smaller: Array | np.ndarray, larger: Array | np.ndarray, *, level: float = 0.05, min_difference: float = 0.005
) -> Finding | None:
    """Looks for an attack with too few steps or restarts: with more of them the accuracy still falls.

    Args:
      smaller: bool [N], still right after the attack with the reported budget.
      larger: bool [N], still right after it with, say, ten times the steps or restarts and all else the same.
      level: of the sign test (see the module), in [0, 1).
      min_difference: least difference of the two accuracies, in [0, 1).

    Returns:
      A Finding if the accuracy is lower under the larger budget, beyond noise; else None.

    Raises:
      ValueError: the results are not bool [N] of one length N >= 1, or a setting is out of its range.

    Source: Carlini et al., On Evaluating Adversarial Robustness, 2019, on showing that attacks have converged.

    Example:
      >>> import numpy as np
      >>> from ib_jax import evaluation
      >>> evaluation.check_budget(np.arange(100) < 50, np.arange(100) < 40).check
      'budget'
    """
    beats, words, evidence = _compare(level, min_difference, larger=larger, smaller=smaller)
    if not beats:
        return None
    return Finding(
        "budget",
        f"The attack with the larger budget still finds more: {words}. The smaller budget was not enough: report the"
        " larger one, and go on until more steps and restarts change nothing.",
        evidence,
    )


def check_confirmed(found: Array | np.ndarray, stands: Array | np.ndarray, *, min_share: float = 0.9) -> Finding | None:
    """Looks for a search against a stochastic model that stops at lucky draws.

    A search for the smallest perturbation meets hundreds of draws of the model. If it asks for no lead, it takes the
    luckiest draw for a success and returns an image near the boundary, which does not fool fresh answers; so the model
    looks more robust than it is.

    Args:
      found: bool [N], whether the search ended with what it took for a success.
      stands: bool [N], right before, and by fresh answers still right after.
      min_share: the least share of these that fresh answers should confirm, in [0, 1).

    Returns:
      A Finding if a smaller share of the found images fools fresh answers; else None.

    Raises:
      ValueError: the results are not bool [N] of one length N >= 1, or `min_share` is out of its range.

    Source: `experiments.carlini_wagner`, on the VIBs of Alemi et al., 2017.

    Example:
      >>> import numpy as np
      >>> from ib_jax import evaluation
      >>> print(evaluation.check_confirmed(np.ones(100, bool), np.arange(100) < 80).message.split(",")[0])
      The search took 100 of 100 images for successes
    """
    require_share("min_share", min_share)
    taken, left = require_examples(found=found, stands=stands)
    confirmed = float((~left[taken]).mean()) if taken.any() else 1.0
    if confirmed >= min_share:
        return None
    return Finding(
        "confirmed",
        f"The search took {taken.sum()} of {len(taken)} images for successes, and {confirmed:.0%} of these fool fresh "
        "answers: it ends on lucky draws of a stochastic model. Leave `confidence` at its default, which asks for a "
        "lead over the model's noise, and average more samples.",
        {"found": float(taken.mean()), "confirmed": confirmed},
    )


def check_black_box(
    black_box: Array | np.ndarray,
    white_box: Array | np.ndarray,
    *,
    name: str = "black-box attack",
    tolerance: float = 0.002,
    min_examples: int = 2,
    level: float = 0.05,
    min_difference: float = 0.005,
) -> Finding | None:
    """Looks for a black-box or transfer attack that breaks what the white-box attack leaves.

    An attack that sees the gradients should find all that one without them does. The check reports examples that only
    the latter breaks if their share exceeds 0.2 %, the limit that AutoAttack sets for its Square attack; a single
    example is never enough, since in a small set it may be luck. The message says if the black-box attack is better
    altogether, beyond noise. Judge a stochastic model with many samples under both attacks: an example that changes
    sides from one draw to another counts here.

    Args:
      black_box: bool [N], still right after the attack without gradients of this model.
      white_box: bool [N], still right after the attack with them, at the same radius and norm.
      name: how to call the black-box attack in the message.
      tolerance: largest share of the examples broken by it alone that is not worth a report, in [0, 1).
      min_examples: least number of such examples, at least 1.
      level: of the sign test (see the module), in [0, 1); for the message alone.
      min_difference: least difference of the two accuracies, in [0, 1); for the message alone.

    Returns:
      A Finding if more than `tolerance` N and at least `min_examples` examples fall to the black-box attack alone; else
      None.

    Raises:
      ValueError: the results are not bool [N] of one length N >= 1, or a setting is out of its range.

    Source: Athalye et al., Obfuscated Gradients Give a False Sense of Security, 2018; the limit of 0.2 %: Croce and
    Hein, 2020, https://github.com/fra31/auto-attack.

    Example:
      >>> import numpy as np
      >>> from ib_jax import evaluation
      >>> evaluation.check_black_box(np.arange(100) >= 10, np.arange(100) < 90).evidence["only_black_box"]
      10.0
    """
    require_share("tolerance", tolerance)
    if min_examples < 1:
        raise ValueError(f"min_examples must be at least 1, got {min_examples}")
    beats, words, evidence = _compare(level, min_difference, black_box=black_box, white_box=white_box)
    alone = evidence["only_black_box"]
    if alone < min_examples or alone <= tolerance * len(black_box):
        return None
    verdict = (
        "It is the better attack altogether, which points to masked gradients"
        if beats
        else "The white-box attack does not find the worst case"
    )
    return Finding(
        "black_box",
        f"The {name} breaks what the white-box attack leaves: {words}. {verdict}: try other losses, more steps and"
        " restarts for it, and count an example as robust only if it stands under every attack.",
        evidence,
    )


def check_results(
    white_box: Array | np.ndarray,
    *,
    one_step: Array | np.ndarray | None = None,
    larger_budget: Array | np.ndarray | None = None,
    black_box: Mapping[str, Array | np.ndarray] | None = None,
    unbounded: Array | np.ndarray | None = None,
    epsilons: Array | np.ndarray | None = None,
    curve: Array | np.ndarray | None = None,
) -> list[Finding]:
    """Runs every check of results that has what it needs, with the defaults of each.

    Args:
      white_box: bool [N], still right after the multi-step attack that is to be reported.
      one_step: bool [N], the same after one step, for `check_one_step`.
      larger_budget: bool [N], the same after more steps or restarts, for `check_budget`.
      black_box: from names of attacks without gradients, or transferred ones, to bool [N], for `check_black_box`.
      unbounded: bool [N], after an attack that may go as far as it likes within the bounds, for `check_unbounded`.
      epsilons: float [E], increasing radii, for `check_large_radius` and `check_monotone`.
      curve: the robust accuracy at these, float [E], or bool [N, E] as of `robust_correct`.

    Returns:
      The findings, an empty list where there is nothing to report.

    Raises:
      ValueError: there is nothing to compare, only one of `epsilons` and `curve` is given, or as of the checks.

    Example:
      >>> import numpy as np
      >>> from ib_jax import evaluation
      >>> stands = np.arange(100) < 50
      >>> findings = evaluation.check_results(stands, one_step=~stands, black_box={"square": ~stands},
      ...                                     epsilons=np.array([0.0, 0.1, 0.2]), curve=np.array([0.9, 0.5, 0.0]))
      >>> [finding.check for finding in findings]
      ['black_box']
    """
    if (epsilons is None) != (curve is None):
        raise ValueError("epsilons and curve must be given together, got one of them")
    if all(result is None for result in (one_step, larger_budget, unbounded, curve)) and not black_box:
        raise ValueError("there must be a result to compare white_box with, got none: give one_step or another")
    findings = [check_black_box(fallen, white_box, name=name) for name, fallen in (black_box or {}).items()]
    if one_step is not None:
        findings.append(check_one_step(one_step, white_box))
    if larger_budget is not None:
        findings.append(check_budget(white_box, larger_budget))
    if unbounded is not None:
        findings.append(check_unbounded(unbounded))
    if epsilons is not None and curve is not None:
        findings += [check_large_radius(epsilons, curve), check_monotone(epsilons, curve)]
    return [finding for finding in findings if finding is not None]
