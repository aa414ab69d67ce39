"""How far an estimate of entropy may be off by chance: a bootstrap interval that knows the truth of its own world."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ib_jax.evaluation.entropy import as_counts, entropy_plug_in
from ib_jax.types import Array


class EntropyInterval(NamedTuple):
    """An estimate with its interval, in nats. The interval allows for bias, so the estimate can lie outside of it.

    Attributes:
      estimate: of the counts themselves.
      low: the interval's lower end, >= 0.
      high: its upper end.
    """

    estimate: float
    low: float
    high: float


def bootstrap_entropy(
    counts: Array | np.ndarray,
    estimator: Callable[[np.ndarray], float],
    *,
    num_resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> EntropyInterval:
    r"""An estimate of entropy with a bootstrap interval.

    Each resample draws n symbols from the shares of the counts. The entropy of these shares is known: it is the plug-in
    estimate :math:`\hat H` of the counts. So the error of the estimator T on a resample is known too, and its quantiles
    stand for those of the real error:

    .. math:: \big[\, T - (q_{1 - \alpha/2} - \hat H),\; T - (q_{\alpha/2} - \hat H) \,\big]

    with q the quantiles of T over the resamples. For the plug-in estimate this is the "basic" interval. The others are
    no functionals of the shares, and SciPy's forms (`scipy.stats.bootstrap`), which compare resamples with T of the
    counts, go wrong with them: a resample has fewer distinct symbols, so its T is near :math:`\hat H` and not near T of
    the counts. Percentiles count the bias twice, and BCa is NaN where every resample lies below the estimate. Drawing
    counts from a multinomial, as here, is the same as drawing symbols, and does not sort them each time.

    What it does not cover: symbols that were never seen are in no resample, so the bias through them is not in the
    interval. Measured share of intervals at 95 % that held the truth (150 to 300 samples, 200 to 300 resamples each):

    ======================  ======  =======  ============  ====  =====================
    symbols                 n       plug-in  Miller-Madow  JVHW  percentiles, the same
    ======================  ======  =======  ============  ====  =====================
    20, Zipf's law          500     0.96     0.96          0.96  0.87, 0.92, 0.92
    1000, Zipf's law        10,000  0.91     0.92          0.91  0, 0.15, 0.24
    1000, Zipf's law        1000    0.03     0.16          0.77  0, 0, 0
    10,000, equally likely  2500    0        0             0.56  0, 0, 0
    ======================  ======  =======  ============  ====  =====================

    So with n well above the number of symbols the interval covers as stated. Below, it understates the uncertainty, and
    for the plug-in and Miller-Madow estimates it says nothing about the entropy.

    Args:
      counts: int [S], >= 0 with sum n >= 1; zeros do not count.
      estimator: counts, int [S] with zeros among them -> nats; `entropy_plug_in` and the like.
      num_resamples: how many, at least 1. At n = 10,000 a thousand take a second.
      confidence: 1 - alpha, in (0, 1).
      seed: of the resamples.

    Returns:
      EntropyInterval(estimate, low, high), in nats.

    Raises:
      ValueError: `counts` is not int [S], holds a negative number or nothing but zeros, `num_resamples` is less than 1,
        or `confidence` is not in (0, 1).

    Source: Davison, Hinkley, Bootstrap Methods and their Application, 1997, chapter 5.

    Example:
      >>> from ib_jax import evaluation
      >>> interval = evaluation.bootstrap_entropy([30, 70], evaluation.entropy_miller_madow, num_resamples=200)
      >>> print("{:.2f} from {:.2f} to {:.2f}".format(*interval))
      0.62 from 0.55 to 0.71
    """
    if num_resamples < 1:
        raise ValueError(f"num_resamples must be at least 1, got {num_resamples}")
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must be in (0, 1), got {confidence}")
    positive = as_counts(counts)
    num_samples = int(positive.sum())
    rng, shares = np.random.default_rng(seed), positive / num_samples
    errors = np.array([estimator(rng.multinomial(num_samples, shares)) for _ in range(num_resamples)])
    errors -= entropy_plug_in(positive)
    low_error, high_error = np.quantile(errors, [(1 - confidence) / 2, (1 + confidence) / 2])
    estimate = float(estimator(positive))
    return EntropyInterval(estimate, max(0.0, estimate - float(high_error)), max(0.0, estimate - float(low_error)))
