"""How well an attack on one model works on another: delta and delta' of Theorem 4."""

import math
from typing import NamedTuple

import numpy as np

from ib_jax.types import Array


class Transfer(NamedTuple):
    """What an attack on a model f1 does to f1 and to another model f2, with standard errors over the examples.

    Attributes:
      delta: share of the examples on which f1's prediction stays the same; the smallest delta for which the attack is
        delta-effective on f1.
      delta_error: its standard error.
      delta_prime: the same of f2.
      delta_prime_error: its standard error.
      gap: delta' - delta, what the attack loses by the transfer; negative where it gains.
      gap_error: its standard error, of the differences example by example.
      tau: the larger of the two models' errors on clean examples.
      tau_error: the standard error of that model's error.
    """

    delta: float
    delta_error: float
    delta_prime: float
    delta_prime_error: float
    gap: float
    gap_error: float
    tau: float
    tau_error: float


def measure_transfer(
    labels: Array | np.ndarray,
    *,
    clean: Array | np.ndarray,
    adversarial: Array | np.ndarray,
    other_clean: Array | np.ndarray,
    other_adversarial: Array | np.ndarray,
) -> Transfer:
    r"""The empirical quantities of Theorem 4, of an attack A on f1 whose results are shown to f2.

    .. math:: \delta = 1 - P[f_1(X) \ne f_1(A(X))], \quad \delta' = 1 - P[f_2(X) \ne f_2(A(X))], \quad
              \tau = \max_{f \in \{f_1, f_2\}} P[f(X) \ne Y]

    For :math:`f_1` and :math:`f_2` on one encoder :math:`p(t|x)` the theorem says
    :math:`\delta' - \delta \le 4 \tau + |T| L \epsilon`. As in its definition, an attack that changes the prediction is
    effective, whether the prediction was right or wrong. (The caption of the paper's Figure 3 calls :math:`\tau` a
    testing accuracy; the theorem has the error.) A stochastic model changes some predictions by itself: predict from
    the mean of many samples of t, with the same keys before and after.

    Args:
      labels: true labels, int [N], N >= 2.
      clean: predictions of the attacked model f1 on the clean inputs, int [N].
      adversarial: predictions of f1 on the attacked inputs, int [N].
      other_clean: predictions of f2 on the clean inputs, int [N].
      other_adversarial: predictions of f2 on the same attacked inputs, int [N].

    Returns:
      Transfer.

    Raises:
      ValueError: an array is not of integers, not of the one length N >= 2, or negative: a model that has no answer.

    Source: Improving Adversarial Robustness: An Information-Theoretic Perspective, section 5, Theorem 4, and Figure 3.

    Example:
      >>> import numpy as np
      >>> from ib_jax import evaluation
      >>> labels = np.array([0, 1, 1, 0])
      >>> found = evaluation.measure_transfer(
      ...     labels, clean=labels, adversarial=1 - labels,
      ...     other_clean=np.array([0, 1, 1, 1]), other_adversarial=np.array([1, 0, 1, 1]))
      >>> found.delta, found.delta_prime, found.gap, found.tau
      (0.0, 0.5, 0.5, 0.25)
    """
    truth = _predictions("labels", labels, 1)
    if len(truth) < 2:
        raise ValueError(f"labels must hold at least two examples, got {len(truth)}")
    first, first_attacked, second, second_attacked = (
        _predictions(name, values, 1, len(truth))
        for name, values in (
            ("clean", clean),
            ("adversarial", adversarial),
            ("other_clean", other_clean),
            ("other_adversarial", other_adversarial),
        )
    )
    kept, other_kept = 1.0 * (first == first_attacked), 1.0 * (second == second_attacked)
    worse = max(first != truth, second != truth, key=lambda wrong: wrong.mean())
    parts = (_mean_and_error(each) for each in (kept, other_kept, other_kept - kept, 1.0 * worse))
    return Transfer(*(number for pair in parts for number in pair))


def transfer_table(clean: Array | np.ndarray, adversarial: Array | np.ndarray) -> np.ndarray:
    r"""The success on every model of attacks on each: :math:`1 - \delta` on the diagonal, :math:`1 - \delta'` off it.

    Args:
      clean: predictions of each model on the clean inputs, int [M, N], N >= 1.
      adversarial: at [i, j] the predictions of model j on the inputs that attack model i, int [M, M, N].

    Returns:
      float64 [M, M], at [i, j] the share of the examples on which model j's prediction changes, in [0, 1].

    Raises:
      ValueError: an array is not of integers, not of its shape or negative, or there are no examples.

    Source: Improving Adversarial Robustness: An Information-Theoretic Perspective, section 5.

    Example:
      >>> import numpy as np
      >>> from ib_jax import evaluation
      >>> evaluation.transfer_table(np.array([[0, 1], [0, 1]]), np.array([[[1, 0], [1, 1]], [[0, 1], [0, 0]]]))
      array([[1. , 0.5],
             [0. , 0.5]])
    """
    before, after = _predictions("clean", clean, 2), _predictions("adversarial", adversarial, 3)
    num_models, num_examples = before.shape
    if after.shape != (num_models, num_models, num_examples) or not num_examples:
        raise ValueError(
            f"adversarial must have shape [M, M, N] for clean [M, N], got {after.shape}, {before.shape}; "
            "of at least one example"
        )
    return np.asarray((after != before).mean(-1))


def _predictions(name: str, values: Array | np.ndarray, ndim: int, length: int | None = None) -> np.ndarray:
    array = np.asarray(values)
    if not np.issubdtype(array.dtype, np.integer) or array.ndim != ndim or length not in (None, array.shape[-1]):
        wanted = "N" if length is None else str(length)
        raise ValueError(
            f"{name} must be integers [{', '.join(['M'] * (ndim - 1) + [wanted])}], got {array.dtype} {array.shape}"
        )
    if (array < 0).any():
        raise ValueError(
            f"{name} must be classes of at least 0, got {(array < 0).sum()} below: -1, of `losses.predicted_class`, is "
            "no answer, which neither stays the same nor changes"
        )
    return array


def _mean_and_error(values: np.ndarray) -> tuple[float, float]:
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values)))
