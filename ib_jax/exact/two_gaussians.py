"""The toy problem of two Gaussian classes with one covariance, where the Bayes rule is linear and known."""

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.special
import scipy.stats

from ib_jax.exact.disagreement import LinearClassifier, is_parallel
from ib_jax.exact.finite import finite_information
from ib_jax.exact.gaussian import Information
from ib_jax.types import DiagGaussian

_CERTAIN = 60.0  # classes this many standard deviations apart: I(Y;T) is log 2 to the last digit


@dataclasses.dataclass(frozen=True, eq=False)
class TwoGaussians:
    r"""Two equally likely classes, :math:`x \mid y = i \sim N(\mu_i, \Sigma)`.

    The log-likelihood ratio is linear, :math:`\log p(x|1) - \log p(x|0) = \theta^\top x - c`, so that
    :math:`T(x) = \theta^\top x` is a minimal sufficient statistic for the label and the Bayes rule, the oracle, is
    a threshold on it. Any linear statistic W x with theta in the row space of W is sufficient as well.

    Attributes:
      means: float64 [2, D], mu_0 and mu_1, different.
      covariance: float64 [D, D], symmetric positive definite.

    Raises:
      ValueError: a shape is wrong, the means are equal, or the covariance is not symmetric positive definite.

    Source: An information-theoretic perspective on adversarial robustness (the paper of section 3's toy example).

    Example:
      >>> from ib_jax import exact
      >>> problem = exact.TwoGaussians([[-1.0, 0.0], [1.0, 0.0]], [[1.0, 0.0], [0.0, 4.0]])
      >>> problem.oracle()
      LinearClassifier(weights=array([2., 0.]), threshold=0.0)
      >>> print(f"{problem.error(problem.oracle()):.4f}")  # Phi(-1), the Bayes error
      0.1587
    """

    means: npt.ArrayLike
    covariance: npt.ArrayLike

    def __post_init__(self) -> None:
        means, covariance = np.asarray(self.means, np.float64), np.asarray(self.covariance, np.float64)
        if means.ndim != 2 or means.shape[0] != 2 or means.size == 0 or not np.all(np.isfinite(means)):
            raise ValueError(f"means must be finite, of shape [2, D], got shape {means.shape}: {means}")
        if covariance.shape != (means.shape[1], means.shape[1]):
            raise ValueError(f"covariance must have shape {(means.shape[1],) * 2}, got {covariance.shape}")
        if not np.allclose(covariance, covariance.T) or not np.linalg.eigvalsh(covariance)[0] > 0:
            raise ValueError(f"covariance must be symmetric positive definite, got {covariance}")
        if np.array_equal(means[0], means[1]):
            raise ValueError(f"means must be different, got {means[0]} twice")
        object.__setattr__(self, "means", means)
        object.__setattr__(self, "covariance", covariance)

    def oracle(self) -> LinearClassifier:
        r"""The Bayes rule: label 1 where :math:`\theta^\top x > c`.

        .. math:: \theta = \Sigma^{-1} (\mu_1 - \mu_0), \qquad
                  c = \tfrac12 (\mu_1^\top \Sigma^{-1} \mu_1 - \mu_0^\top \Sigma^{-1} \mu_0)

        Returns:
          LinearClassifier(theta, c).
        """
        return self._centred(np.linalg.solve(self._covariance, self._shift))

    def nuisance(self) -> np.ndarray:
        r"""The direction of most variance without information about the label, even given :math:`\theta^\top x`.

        A direction v with :math:`v^\top (\mu_1 - \mu_0) = 0` has one distribution in both classes and, given the
        class, is independent of :math:`\theta^\top x`. Adding it leaves a sufficient statistic sufficient, also under
        noise, but no longer minimal.

        Returns:
          v, float64 [D], of unit length.

        Raises:
          ValueError: D is 1, where there is none.
        """
        if self._shift.size == 1:
            raise ValueError("means must have at least 2 dimensions for a nuisance direction, got 1")
        complement = np.linalg.svd(self._shift[None])[2][1:]
        _, vectors = np.linalg.eigh(complement @ self._covariance @ complement.T)
        return vectors[:, -1] @ complement

    def best_decoder(self, statistic: npt.ArrayLike) -> LinearClassifier:
        r"""The Bayes rule given only the statistic :math:`W x`, as a classifier of x.

        .. math:: w = W^\top (W \Sigma W^\top)^{+} W (\mu_1 - \mu_0), \qquad b = \tfrac12 w^\top (\mu_0 + \mu_1)

        Args:
          statistic: W, float [K, D]; rows may depend on each other.

        Returns:
          LinearClassifier(w, b): the oracle's where W is sufficient; w = 0 where W tells nothing.
        """
        rows = self._rows(statistic)
        return self._centred(rows.T @ np.linalg.pinv(rows @ self._covariance @ rows.T, hermitian=True)
                             @ rows @ self._shift)  # fmt: skip

    def information(self, statistic: npt.ArrayLike, noise: float = 0.0) -> Information:
        r"""The information of the statistic :math:`T = W x + s n` with :math:`n \sim N(0, I)`.

        .. math:: I(X;T|Y) = \tfrac12 \log\det\Big(I + \frac{W \Sigma W^\top}{s^2}\Big), \qquad
                  I(T;Y) = I\big(Y; N(\pm\tfrac{d}{2}, 1)\big), \qquad
                  d^2 = (W \Delta)^\top (W \Sigma W^\top + s^2 I)^{-1} W \Delta, \quad \Delta = \mu_1 - \mu_0

        Given the class, T is Gaussian with a shared covariance, so its scalar log-likelihood ratio is sufficient for
        the label. One quadrature in one dimension suffices for any D and K.

        Args:
          statistic: W, float [K, D].
          noise: s >= 0. Without noise I(X;T) is infinite, unless W = 0, and I(T;Y) is not.

        Returns:
          Information(information_xz, information_zy, residual), in nats: I(X;T), I(T;Y), I(X;T|Y).

        Raises:
          ValueError: W does not have D columns, or the noise is negative.
        """
        rows = self._rows(statistic)
        if not 0 <= noise < np.inf:
            raise ValueError(f"noise must be a number >= 0, got {noise}")
        within, shift = rows @ self._covariance @ rows.T, rows @ self._shift
        precision = np.linalg.pinv(within + noise**2 * np.eye(len(rows)), hermitian=True)
        distance = min(float(np.sqrt(max(shift @ precision @ shift, 0.0))), _CERTAIN)
        code: Any = np.array([[-distance / 2], [distance / 2]]), np.ones((2, 1))
        label = finite_information(DiagGaussian(*code), [0.5, 0.5], np.eye(2)).information_zy
        variances = np.clip(np.linalg.eigvalsh(within), 0.0, None)
        if noise > 0:
            residual = 0.5 * float(np.log1p(variances / noise**2).sum())
        else:
            residual = np.inf if variances.any() else 0.0
        return Information(label + residual, label, residual)

    def error(self, classifier: LinearClassifier) -> float:
        r"""The probability that a linear classifier errs; for the oracle the Bayes error, :math:`\Phi(-d/2)`.

        Args:
          classifier: a linear rule; weights float [D].

        Returns:
          A probability.
        """
        below = self._below(classifier)
        return float(0.5 * (1.0 - below[0] + below[1]))

    def disagreement(self, classifier: LinearClassifier) -> float:
        """The probability that a linear classifier and the oracle label an input differently.

        It is the share of inputs that have an adversarial example (f(x') != o(x')) at epsilon = 0.

        Args:
          classifier: a linear rule; weights float [D].

        Returns:
          A probability, 0 only for the oracle itself (up to a positive factor).
        """
        oracle = self.oracle()
        heights = np.stack([self._standardised(oracle), self._standardised(classifier)], axis=-1)  # [class, rule]
        marginal = scipy.special.ndtr(heights)
        weights = np.asarray(classifier.weights, np.float64)
        if not weights.any():
            both = marginal.prod(-1)
        elif is_parallel(weights, oracle.weights):
            low, high = marginal.min(-1), np.maximum(0.0, marginal.sum(-1) - 1.0)
            both = low if weights @ oracle.weights > 0 else high
        else:
            deviations = np.sqrt([rule @ self._covariance @ rule for rule in (oracle.weights, weights)])
            correlation = float(oracle.weights @ self._covariance @ weights / deviations.prod())
            both = scipy.stats.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]]).cdf(heights)
        # Rounding: the bivariate integral is only good to 1e-15.
        return float(np.clip(marginal.sum(-1) - 2.0 * both, 0.0, 1.0).mean())

    def sample(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Draws inputs float64 [size, D] and labels int [size]."""
        labels = rng.integers(2, size=size)
        noise = rng.normal(size=(size, self._shift.size)) @ np.linalg.cholesky(self._covariance).T
        return np.asarray(self.means)[labels] + noise, labels

    @property
    def _covariance(self) -> np.ndarray:
        return np.asarray(self.covariance)

    @property
    def _shift(self) -> np.ndarray:
        return np.asarray(self.means)[1] - np.asarray(self.means)[0]

    def _centred(self, weights: np.ndarray) -> LinearClassifier:
        return LinearClassifier(weights, float(0.5 * weights @ np.asarray(self.means).sum(0)))

    def _rows(self, statistic: npt.ArrayLike) -> np.ndarray:
        rows = np.asarray(statistic, np.float64)
        if rows.ndim != 2 or rows.shape[1] != self._shift.size or rows.size == 0:
            raise ValueError(f"statistic must have shape [K, {self._shift.size}], got {rows.shape}")
        return rows

    def _standardised(self, classifier: LinearClassifier) -> np.ndarray:
        """How far the threshold is above each class's mean, in standard deviations of the class; [2]."""
        weights = np.asarray(classifier.weights, np.float64)
        if weights.shape != self._shift.shape:
            raise ValueError(f"classifier.weights must have shape {self._shift.shape}, got {weights.shape}")
        gaps, deviation = (
            classifier.threshold - np.asarray(self.means) @ weights,
            np.sqrt(weights @ self._covariance @ weights),
        )
        return gaps / deviation if deviation > 0 else np.where(gaps >= 0, np.inf, -np.inf)

    def _below(self, classifier: LinearClassifier) -> np.ndarray:
        """The probability of label 0 in each class, [2]."""
        return scipy.special.ndtr(self._standardised(classifier))
