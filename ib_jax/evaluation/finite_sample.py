"""What the information of a code on a finite sample says about that on the distribution: Theorem 2's finite form."""

import math

from ib_jax.evaluation.robustness_bound import psi


def sampling_deviation(num_samples: int, delta: float) -> float:
    r"""How far an empirical distribution is from the true one in the Euclidean norm, with probability 1 - delta.

    .. math:: \|\hat p - p\|_2 \le r = \frac{1 + \sqrt{\log(1 / \delta)}}{\sqrt m}

    whatever the number of values: :math:`E \|\hat p - p\|^2 = (1 - \|p\|^2) / m \le 1/m`, and one of m examples
    changes :math:`\hat p` by at most :math:`\sqrt2 / m`, so that McDiarmid's inequality gives :math:`e^{-m t^2}` for a
    deviation of t above the mean.

    Args:
      num_samples: m >= 1, drawn independently.
      delta: in (0, 1).

    Returns:
      r.

    Raises:
      ValueError: an argument is out of its range.

    Source: the proof above; McDiarmid, On the Method of Bounded Differences, 1989.

    Example:
      >>> from ib_jax import evaluation
      >>> print(f"{evaluation.sampling_deviation(60_000, 0.05):.4f}")
      0.0111
    """
    if num_samples < 1:
        raise ValueError(f"num_samples must be at least 1, got {num_samples}")
    if not 0.0 < delta < 1.0:
        raise ValueError(f"delta must be in (0, 1), got {delta}")
    return (1.0 + math.sqrt(math.log(1.0 / delta))) / math.sqrt(num_samples)


def sampling_error(
    information_xz: float, deviation: float, *, least_probability: float, num_codes: int, num_classes: int
) -> float:
    r"""How far :math:`I(Y;T)` on a sample may be from its value on the distribution, for every encoder at once.

    .. math:: |\hat I(Y;T) - I(Y;T)| \le M \psi\Big(\frac{V r}{M}\Big) + M C \psi\Big(\frac{(V + 1) r}{M \sqrt C}\Big)
              + C \psi\Big(\frac{r}{\sqrt C}\Big), \qquad V = \frac{\sqrt{2 I(X;T)}}{\min p}

    for M codes, C classes, and r the Euclidean distance between the sample and the distribution, of X, of Y and of both
    together. With r = `sampling_deviation(m, delta / 3)` it holds with probability 1 - delta, also for an encoder that
    was trained on this sample. Added to `robustness_bound` it bounds the difference between the information on the
    sample, clean, and that on the distribution, attacked: the finite form of Theorem 2.

    Let :math:`D = \hat p - p`, and :math:`v_t` the Euclidean norm over x of :math:`p(t|x) - p(t)`:

    1. :math:`I(Y;T) = H(T) + H(Y) - H(Y,T)`, and an entropy changes by at most the sum of :math:`\psi` of the change
       of each probability.
    2. :math:`|\hat p(t) - p(t)| = |\sum_x (p(t|x) - p(t)) D(x)| \le v_t r`, since D sums to 0.
    3. :math:`|\hat p(t, y) - p(t, y)| = |\sum_x (p(t|x) - p(t)) D(x, y) + p(t) D(y)|
       \le v_t \|D(\cdot, y)\| + p(t) |D(y)|`.
    4. :math:`|\hat p(y) - p(y)| = |D(y)|`. Sums over y are at most :math:`\sqrt C r`, by Cauchy and Schwarz.
    5. :math:`\psi` is concave, so a sum over n places is at most :math:`n \psi(\mathrm{sum} / n)`; and
       :math:`\sum_t v_t \le V`, as in `robustness_constants`.

    Args:
      information_xz: I(X;T) on the distribution, in nats, or an upper bound on it.
      deviation: r >= 0.
      least_probability: min p(x) over the support, in (0, 1].
      num_codes: M >= 1.
      num_classes: C >= 1.

    Returns:
      The bound in nats, at most :math:`(M + M C + C) / e`.

    Raises:
      ValueError: an argument is out of its range.

    Source: the proof above, after Shamir, Sabato, Tishby, Learning and Generalization with the Information Bottleneck,
      2010; section 4.1 of the paper, last paragraph.

    Example:
      >>> from ib_jax import evaluation
      >>> r = evaluation.sampling_deviation(10**6, 0.05 / 3)
      >>> print(f"{evaluation.sampling_error(0.5, r, least_probability=0.1, num_codes=3, num_classes=2):.2f}")
      0.39
    """
    if not information_xz >= 0 or not deviation >= 0:
        raise ValueError(f"information_xz and deviation must be >= 0, got {information_xz} and {deviation}")
    if not 0.0 < least_probability <= 1.0:
        raise ValueError(f"least_probability must be in (0, 1], got {least_probability}")
    if num_codes < 1 or num_classes < 1:
        raise ValueError(f"num_codes and num_classes must be at least 1, got {num_codes} and {num_classes}")
    spread = math.sqrt(2.0 * information_xz) / least_probability
    changes = {
        num_codes: spread * deviation,
        num_codes * num_classes: (spread + 1.0) * deviation * math.sqrt(num_classes),
    }
    own = num_classes * float(psi(deviation / math.sqrt(num_classes)))
    return own + sum(places * float(psi(total / places)) for places, total in changes.items())
