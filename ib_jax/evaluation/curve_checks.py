"""Checks of how far attacks get as their radius grows: in the end, everything must fall."""

import numpy as np
import scipy

from ib_jax.evaluation.findings import Finding, require_examples, require_share
from ib_jax.types import Array


def _curve(epsilons: Array | np.ndarray, correct: Array | np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Radii [E], accuracies [E], and the results as they came, [E] or [N, E], in float64."""
    radii, results = np.asarray(epsilons, np.float64), np.asarray(correct, np.float64)
    if radii.ndim != 1 or len(radii) < 2 or not (radii[0] >= 0.0 and (np.diff(radii) > 0.0).all()):
        raise ValueError(f"epsilons must be two radii or more, from 0 up and increasing, got {radii}")
    if results.ndim not in (1, 2) or not results.size or results.shape[-1] != len(radii):
        raise ValueError(f"correct must be [{len(radii)}] or [N, {len(radii)}], as epsilons, got {list(results.shape)}")
    if not (np.isin(results, (0, 1)).all() if results.ndim == 2 else ((results >= 0) & (results <= 1)).all()):
        raise ValueError("correct must be bool [N, E] or accuracies [E] in [0, 1], got other values")
    return radii, results if results.ndim == 1 else results.mean(0), results


def check_large_radius(
    epsilons: Array | np.ndarray, correct: Array | np.ndarray, *, tolerance: float = 0.05
) -> Finding | None:
    """Looks for a curve of robust accuracy that ends before it has come down to (nearly) zero.

    Either the radii end too early, which leaves open whether the attack works at all, or the attack does not find what
    is there. From a radius of half the width of the inputs on (L-inf), every input can be turned into the same uniform
    one. A model that gives one answer everywhere is the exception: nothing changes its answer.

    Args:
      epsilons: float [E], E >= 2, increasing radii.
      correct: robust accuracy at each radius, float [E], or bool [N, E] as of `robust_correct`.
      tolerance: accuracy at the largest radius, in [0, 1), that is not worth a report.

    Returns:
      A Finding if the accuracy at the largest radius exceeds `tolerance`; else None.

    Raises:
      ValueError: the radii do not increase, `correct` does not fit them, or `tolerance` is out of its range.

    Source: Athalye et al., Obfuscated Gradients Give a False Sense of Security, 2018; Carlini et al., On Evaluating
    Adversarial Robustness, 2019.

    Example:
      >>> import numpy as np
      >>> from ib_jax import evaluation
      >>> radii = np.array([0.0, 0.1, 0.2])
      >>> evaluation.check_large_radius(radii, np.array([0.9, 0.5, 0.3])).check
      'large_radius'
      >>> evaluation.check_large_radius(radii, np.array([0.9, 0.5, 0.0]))
    """
    require_share("tolerance", tolerance)
    radii, accuracy, _ = _curve(epsilons, correct)
    if accuracy[-1] <= tolerance:
        return None
    return Finding(
        "large_radius",
        f"At the largest radius, {radii[-1]:g}, the accuracy is still {accuracy[-1]:.1%}, more than {tolerance:.1%}."
        " Add radii until it is zero; if it stays up at radii that let every input become any other, the attack fails"
        " and gradients may be masked.",
        {"epsilon": float(radii[-1]), "accuracy": float(accuracy[-1])},
    )


def check_monotone(
    epsilons: Array | np.ndarray,
    correct: Array | np.ndarray,
    *,
    level: float = 0.05,
    min_difference: float = 0.005,
) -> Finding | None:
    r"""Looks for a robust accuracy that rises with the radius, although the adversary can do all it could before.

    All pairs of radii are compared, so a slow rise is seen too. With results per example a pair counts if the one-sided
    sign test on the examples that differ (see `result_checks`) passes at `level` divided by the number of pairs,
    :math:`E(E-1)/2` (Bonferroni), and the accuracy rises by `min_difference`. Accuracies alone say nothing about noise:
    then only `min_difference` decides, and it should exceed the difference between repeated attacks.

    Args:
      epsilons: float [E], E >= 2, increasing radii.
      correct: bool [N, E] as of `robust_correct`, or robust accuracy at each radius, float [E].
      level: of the sign test over all pairs together, in [0, 1).
      min_difference: least rise of the accuracy, in [0, 1).

    Returns:
      A Finding with the largest rise that counts; None if there is none.

    Raises:
      ValueError: the radii do not increase, `correct` does not fit them, or a setting is out of its range.

    Source: Carlini et al., On Evaluating Adversarial Robustness, 2019.

    Example:
      >>> import numpy as np
      >>> from ib_jax import evaluation
      >>> evaluation.check_monotone(np.array([0.0, 0.1, 0.2]), np.array([0.9, 0.2, 0.4])).evidence["epsilon_low"]
      0.1
    """
    require_share("level", level)
    require_share("min_difference", min_difference)
    radii, accuracy, results = _curve(epsilons, correct)
    low, high = np.triu_indices(len(radii), k=1)
    rises = accuracy[high] - accuracy[low]
    p_values = np.zeros(len(low))
    if results.ndim == 2:
        gains = ((1.0 - results).T @ results).astype(int)  # [i, j]: fallen at radius i and standing at j
        gained, lost = gains[low, high], gains[high, low]
        p_values = np.minimum(1.0, len(low) * scipy.special.bdtrc(gained - 1, gained + lost, 0.5))
    counts = (rises > 0.0) & (rises >= min_difference) & (p_values <= level)
    if not counts.any():
        return None
    pair = int(np.where(counts, rises, 0.0).argmax())
    i, j = low[pair], high[pair]
    evidence = {
        "epsilon_low": float(radii[i]),
        "epsilon_high": float(radii[j]),
        "accuracy_low": float(accuracy[i]),
        "accuracy_high": float(accuracy[j]),
    }
    return Finding(
        "monotone",
        f"The accuracy rises from {accuracy[i]:.1%} at radius {radii[i]:g} to {accuracy[j]:.1%} at radius {radii[j]:g},"
        " though whatever works within the smaller one is within the larger one too. Check that the step size grows"
        " with the radius, add steps and random starts, and count an example that falls at one radius as fallen at all"
        " larger ones.",
        evidence | ({"p_value": float(p_values[pair])} if results.ndim == 2 else {}),
    )


def check_unbounded(
    correct: Array | np.ndarray,
    *,
    epsilon: float = np.inf,
    bounds: tuple[float | Array, float | Array] = (0.0, 1.0),
    tolerance: float = 0.01,
) -> Finding | None:
    """Looks for an attack that fails although it has no limit: without one, every example must fall.

    Such an attack looks for the smallest perturbation without a limit on it (DeepFool, Carlini-Wagner), or has an L-inf
    radius of at least the width of the inputs, so that an input of another class is within its reach. A model that
    gives one answer everywhere is the exception.

    Args:
      correct: bool [N], still right after the attack: `~success` of an untargeted one.
      epsilon: its radius in L-inf, in units of the inputs; infinite by default. For L2 give the radius divided by the
        square root of the number of coordinates.
      bounds: lower and upper limits of the inputs, as the attack takes them.
      tolerance: share of the examples, in [0, 1), that may stand.

    Returns:
      A Finding if more than `tolerance` of the examples stand; else None, and None too where `epsilon` is below the
      width of the inputs, since then some may.

    Raises:
      ValueError: `correct` is not bool [N] with N >= 1, `epsilon` is negative, or `tolerance` is out of its range.

    Source: Athalye et al., Obfuscated Gradients Give a False Sense of Security, 2018.

    Example:
      >>> import numpy as np
      >>> from ib_jax import evaluation
      >>> evaluation.check_unbounded(np.arange(100) < 20, epsilon=1.0).check
      'unbounded'
      >>> evaluation.check_unbounded(np.arange(100) < 20, epsilon=0.1)
    """
    require_share("tolerance", tolerance)
    if not epsilon >= 0:
        raise ValueError(f"epsilon must be at least 0, got {epsilon}")
    (stands,) = require_examples(correct=correct)
    width = float(np.max(np.asarray(bounds[1], np.float64) - np.asarray(bounds[0], np.float64)))
    if not width > 0:
        raise ValueError(f"bounds must be (lower, upper) with lower < upper, got {bounds}")
    if epsilon < width or stands.mean() <= tolerance:
        return None
    reach = "without a limit" if epsilon == np.inf else f"of radius {epsilon:g}, which spans inputs of width {width:g}"
    return Finding(
        "unbounded",
        f"{int(stands.sum())} of {len(stands)} examples ({stands.mean():.1%}) stand under an attack {reach}, though"
        " inputs of other classes are within its reach. The attack fails: look at its gradients (check_gradients),"
        " loss, step size and number of steps.",
        # Infinity has no place in JSON.
        {"accuracy": float(stands.mean())} | ({} if epsilon == np.inf else {"epsilon": float(epsilon)}),
    )
