"""The information of a Gaussian encoder over finitely many inputs, by Monte Carlo in any dimension."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.stats
from scipy.special import entr, logsumexp, xlogy

from ib_jax.exact.finite import Mixture, as_problem
from ib_jax.types import DiagGaussian

_CHUNK_NUMBERS = 2_000_000
_MAX_REACH = 1e5  # squared, in scales: up to here, expanding the square of a distance loses less than 1e-10


class Estimate(NamedTuple):
    """An estimate with its confidence interval.

    Attributes:
      value: the mean.
      lower: the lower end of the interval.
      upper: the upper end.
    """

    value: float
    lower: float
    upper: float


class SampledInformation(NamedTuple):
    """Estimates of the information of a code, each in nats.

    Attributes:
      information_xz: of I(X;Z).
      information_zy: of I(Z;Y).
      residual: of I(X;Z|Y); its value is the difference of the two above.
      conditional_entropy: of H(Y|Z).
    """

    information_xz: Estimate
    information_zy: Estimate
    residual: Estimate
    conditional_entropy: Estimate


def sampled_information(
    encoding: DiagGaussian,
    p_x: npt.ArrayLike,
    p_y_given_x: npt.ArrayLike,
    *,
    num_samples: int,
    seed: int = 0,
    confidence: float = 0.95,
) -> SampledInformation:
    r"""Information of a Gaussian code of finitely many inputs, by Monte Carlo.

    .. math:: I(X;Z) = E_z D(p(x|z) \| p(x)), \quad I(Z;Y) = E_z D(p(y|z) \| p(y)), \quad H(Y|Z) = E_z H(p(y|z))

    with exact posteriors at every sample, so the estimates are unbiased and each sample's terms are >= 0. Sampling is
    stratified: `num_samples` codes from each :math:`p(z|x)`, weighted by :math:`p(x)`. The intervals use the normal
    approximation. They are exact as the number of samples grows, but too narrow if the mean depends on codes too rare
    to be sampled, such as those between a narrow component and a wide one that contains it.

    Args:
      encoding: p(z|x) for each input, DiagGaussian with fields [N, D], scale > 0.
      p_x: float [N], >= 0 with sum 1.
      p_y_given_x: float [N, C], >= 0 with rows of sum 1. A row with p(x) = 0 does not count.
      num_samples: codes for each input, >= 2. Time is in proportion to N^2 D `num_samples`; memory is bounded.
      seed: of the codes.
      confidence: of each interval, in (0, 1).

    Returns:
      SampledInformation of four Estimates, in nats.

    Raises:
      ValueError: as for `finite_information`, or `num_samples` or `confidence` is out of range.

    Source: Cover, Thomas, Elements of Information Theory, 2006, chapters 2 and 8, for the quantities.

    Example:
      >>> import numpy as np
      >>> from ib_jax import DiagGaussian, exact
      >>> encoding = DiagGaussian(np.array([[-1.0], [1.0]]), np.ones((2, 1)))
      >>> sampled = exact.sampled_information(encoding, [0.5, 0.5], np.eye(2), num_samples=10_000)
      >>> truth = exact.finite_information(encoding, [0.5, 0.5], np.eye(2))
      >>> bool(sampled.information_xz.lower < truth.information_xz < sampled.information_xz.upper)
      True
    """
    mixture, labels = as_problem(encoding, p_x, p_y_given_x)
    if num_samples < 2:
        raise ValueError(f"num_samples must be at least 2, got {num_samples}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be in (0, 1), got {confidence}")
    rng = np.random.default_rng(seed)
    means, variances = np.zeros(4), np.zeros(4)
    rows = max(1, _CHUNK_NUMBERS // mixture.mean.size)
    for mean, scale, weight in zip(mixture.mean, mixture.scale, mixture.p_x, strict=True):
        terms = np.concatenate(
            [
                _terms(mean + scale * rng.standard_normal((min(rows, num_samples - start), mean.size)), mixture, labels)
                for start in range(0, num_samples, rows)
            ]
        )
        means += weight * terms.mean(0)
        variances += weight**2 * terms.var(0, ddof=1) / num_samples
    half = scipy.stats.norm.ppf(0.5 + 0.5 * confidence) * np.sqrt(variances)
    return SampledInformation(
        *(Estimate(float(m), float(m - h), float(m + h)) for m, h in zip(means, half, strict=True))
    )


def _terms(codes: np.ndarray, mixture: Mixture, labels: np.ndarray) -> np.ndarray:
    """For each code the terms of I(X;Z), I(Z;Y), I(X;Z|Y) and H(Y|Z), [S, 4]."""
    log_joint = np.log(mixture.p_x) - np.log(mixture.scale).sum(1) - 0.5 * _squared_distances(codes, mixture)
    log_posterior = log_joint - logsumexp(log_joint, axis=1, keepdims=True)
    posterior = np.exp(log_posterior)
    p_y_given_z = posterior @ labels
    p_y = mixture.p_x @ labels
    xz = np.sum(posterior * (log_posterior - np.log(mixture.p_x)), axis=1)
    zy = np.sum(xlogy(p_y_given_z, p_y_given_z) - p_y_given_z * np.log(p_y), axis=1)
    return np.stack([xz, zy, xz - zy, entr(p_y_given_z).sum(1)], axis=1)


def _squared_distances(codes: np.ndarray, mixture: Mixture) -> np.ndarray:
    """sum_d ((z_d - mean_d) / scale_d)^2 of each code from each component, [S, N]."""
    centre = mixture.p_x @ mixture.mean
    codes, mean, precision = codes - centre, mixture.mean - centre, mixture.scale**-2.0
    reach = np.maximum(np.abs(codes).max(0), np.abs(mean).max(0))
    if np.sum(reach**2 * precision.max(0)) < _MAX_REACH:
        cross = codes @ (mean * precision).T
        return codes**2 @ precision.T - 2.0 * cross + np.sum(mean**2 * precision, axis=1)
    return np.stack([np.sum(((codes - m) / s) ** 2, axis=1) for m, s in zip(mean, mixture.scale, strict=True)], axis=1)
