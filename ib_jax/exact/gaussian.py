"""The information bottleneck of jointly Gaussian X and Y, in closed form."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.linalg

from ib_jax.exact.tables import as_rates


class GaussianCurve(NamedTuple):
    """The optimal encoders for jointly Gaussian X and Y.

    Attributes:
      betas: float [K].
      information_xz: float [K], I(X;Z) in nats; infinite at beta = 0.
      information_zy: float [K], I(Z;Y) in nats.
    """

    betas: np.ndarray
    information_xz: np.ndarray
    information_zy: np.ndarray


class Information(NamedTuple):
    """The information of a code, in nats, with :math:`I(X;Z) = I(Z;Y) + I(X;Z|Y)`.

    Attributes:
      information_xz: I(X;Z).
      information_zy: I(Z;Y).
      residual: I(X;Z|Y).
    """

    information_xz: float
    information_zy: float
    residual: float


def canonical_correlations(cov_x: npt.ArrayLike, cov_y: npt.ArrayLike, cov_xy: npt.ArrayLike) -> np.ndarray:
    r"""Canonical correlations of two random vectors.

    .. math:: r_i = \sigma_i\big(\Sigma_x^{-1/2} \Sigma_{xy} \Sigma_y^{-1/2}\big)

    Args:
      cov_x: covariance of X, float [Dx, Dx], symmetric positive definite.
      cov_y: covariance of Y, float [Dy, Dy], symmetric positive definite.
      cov_xy: E[(x - E x)(y - E y)^T], float [Dx, Dy].

    Returns:
      float [min(Dx, Dy)], descending, in [0, 1), without unit.

    Raises:
      ValueError: a shape is wrong, a covariance is not symmetric positive definite, or a correlation is 1 or more.

    Source: Chechik, Globerson, Tishby, Weiss, Information Bottleneck for Gaussian Variables, 2005.

    Example:
      >>> from ib_jax import exact
      >>> exact.canonical_correlations([[4.0]], [[1.0]], [[1.0]])
      array([0.5])
    """
    return np.linalg.svd(_whitened(cov_x, cov_y, cov_xy)[1], compute_uv=False)


def critical_betas(correlations: npt.ArrayLike) -> np.ndarray:
    r"""The betas below which each canonical component enters the optimal code.

    .. math:: \beta_i = r_i^2

    Args:
      correlations: canonical correlations, float [D], in [0, 1), in any order.

    Returns:
      float [D], descending, without unit.

    Raises:
      ValueError: `correlations` is not a list of numbers in [0, 1).

    Source: Chechik, Globerson, Tishby, Weiss, 2005, theorem 3.1, with 1 / beta for their beta.

    Example:
      >>> from ib_jax import exact
      >>> exact.critical_betas([0.5, 0.8])
      array([0.64, 0.25])
    """
    return np.sort(_as_correlations(correlations) ** 2)[::-1]


def gaussian_curve(correlations: npt.ArrayLike, betas: npt.ArrayLike) -> GaussianCurve:
    r"""The optimum of :math:`\beta I(X;Z) - I(Z;Y)` for jointly Gaussian X and Y.

    .. math:: I(X;Z) = \tfrac12 \sum_{i:\, \beta < r_i^2} \log \frac{(1 - \beta)\, r_i^2}{\beta\, (1 - r_i^2)}, \qquad
              I(Z;Y) = \tfrac12 \sum_{i:\, \beta < r_i^2} \log \frac{1 - \beta}{1 - r_i^2}

    The optimal code is Gaussian: the canonical components of X with :math:`r_i^2 > \beta`, with independent noise.

    Args:
      correlations: canonical correlations, float [D], in [0, 1), in any order.
      betas: float [K], >= 0. At 0 the code is X itself.

    Returns:
      GaussianCurve(betas, information_xz, information_zy), each float64 [K], in nats.

    Raises:
      ValueError: `correlations` is not a list of numbers in [0, 1), or a beta is negative.

    Source: Chechik, Globerson, Tishby, Weiss, 2005, with 1 / beta for their beta.

    Example:
      >>> from ib_jax import exact
      >>> curve = exact.gaussian_curve([0.8, 0.5], [0.7, 0.5, 0.1])
      >>> curve.information_zy.round(4)
      array([0.    , 0.1643, 0.5493])
    """
    squares, grid = critical_betas(correlations), np.asarray(betas, np.float64)
    if grid.ndim != 1 or not np.all(grid >= 0):
        raise ValueError(f"betas must be a list of numbers >= 0, got {grid}")
    beta, on = grid[:, None], grid[:, None] < squares
    with np.errstate(divide="ignore", invalid="ignore"):  # components that are off, and the infinite rate of beta = 0
        zy = np.where(on, np.log1p(-beta) - np.log1p(-squares), 0.0)
        xz = np.where(on, zy + np.log(squares) - np.log(beta), 0.0)
    return GaussianCurve(grid, 0.5 * xz.sum(1), 0.5 * zy.sum(1))


def gaussian_frontier(correlations: npt.ArrayLike, information_xz: npt.ArrayLike) -> np.ndarray:
    r"""The largest :math:`I(Z;Y)` at a given :math:`I(X;Z)` for jointly Gaussian X and Y.

    .. math:: F(R) = \tfrac12 \sum_{i \le k} \log \frac{1 - \beta}{1 - r_i^2}, \qquad
              \log \frac{1 - \beta}{\beta} = \frac1k \Big( 2R - \sum_{i \le k} \log \frac{r_i^2}{1 - r_i^2} \Big)

    with k the number of active components at this rate. F is concave with slope :math:`\beta`.

    Args:
      correlations: canonical correlations, float [D], in [0, 1), in any order.
      information_xz: R, float [...], >= 0, in nats; may be infinite.

    Returns:
      float64 [...], in nats: exact, not only a bound.

    Raises:
      ValueError: `correlations` is not a list of numbers in [0, 1), or a rate is negative.

    Source: Chechik, Globerson, Tishby, Weiss, 2005, on the information curve.

    Example:
      >>> from ib_jax import exact
      >>> exact.gaussian_frontier([0.8, 0.5], [0.0, 0.5, float("inf")]).round(4)
      array([0.    , 0.2592, 0.6547])
    """
    rates = as_rates(information_xz)
    squares = critical_betas(correlations)
    squares = squares[squares > 0]
    if squares.size == 0:
        return np.zeros_like(rates)
    starts = gaussian_curve(np.sqrt(squares), squares).information_xz  # the rate at which each component enters
    count = np.maximum(np.searchsorted(starts, rates, side="right"), 1)
    log_odds = np.cumsum(np.log(squares) - np.log1p(-squares))[count - 1]
    log_noise = np.cumsum(np.log1p(-squares))[count - 1]
    return 0.5 * (-count * np.logaddexp(0.0, -(2.0 * rates - log_odds) / count) - log_noise)


def linear_encoder_information(
    weights: npt.ArrayLike, scale: npt.ArrayLike, cov_x: npt.ArrayLike, cov_y: npt.ArrayLike, cov_xy: npt.ArrayLike
) -> Information:
    r"""The information of a linear code with Gaussian noise about jointly Gaussian X and Y.

    .. math:: z = W x + \operatorname{diag}(s)\, \epsilon, \qquad
              I(X;Z) = \tfrac12 \log\det(I + V \Sigma_x V^\top), \qquad
              I(X;Z|Y) = \tfrac12 \log\det(I + V \Sigma_{x|y} V^\top), \qquad V = \operatorname{diag}(s)^{-1} W

    Args:
      weights: W, float [Dz, Dx].
      scale: s, the standard deviation of the noise, float [Dz], > 0.
      cov_x: covariance of X, float [Dx, Dx], symmetric positive definite.
      cov_y: covariance of Y, float [Dy, Dy], symmetric positive definite.
      cov_xy: E[(x - E x)(y - E y)^T], float [Dx, Dy].

    Returns:
      Information(information_xz, information_zy, residual), in nats.

    Raises:
      ValueError: a shape is wrong, a scale is not positive, or the covariances are not those of a Gaussian.

    Source: Chechik, Globerson, Tishby, Weiss, 2005.

    Example:
      >>> from ib_jax import exact
      >>> information = exact.linear_encoder_information([[1.0]], [1.0], [[3.0]], [[1.0]], [[1.0]])
      >>> print(f"{information.information_xz:.4f} {information.residual:.4f}")  # log(4) / 2, log(3) / 2
      0.6931 0.5493
    """
    factor, whitened = _whitened(cov_x, cov_y, cov_xy)
    matrix, noise = np.asarray(weights, np.float64), np.asarray(scale, np.float64)
    if matrix.ndim != 2 or matrix.shape[1] != factor.shape[0]:
        raise ValueError(f"weights must have shape [Dz, {factor.shape[0]}], got {matrix.shape}")
    if noise.shape != matrix.shape[:1] or not np.all(noise > 0):
        raise ValueError(f"scale must be {matrix.shape[0]} numbers > 0, got {noise}")
    gain = matrix @ factor / noise[:, None]
    left, singular, _ = np.linalg.svd(whitened, full_matrices=True)
    kept = np.ones(factor.shape[0])
    kept[: singular.size] = np.sqrt((1.0 - singular) * (1.0 + singular))  # scale of each whitened component given Y
    xz, residual = _half_log_det(gain), _half_log_det(gain @ left * kept)
    return Information(xz, xz - residual, residual)


def _half_log_det(gain: np.ndarray) -> float:
    """log det(I + G G^T) / 2 by singular values, which keeps small ones that I + G G^T would round away."""
    return float(0.5 * np.log1p(np.linalg.svd(gain, compute_uv=False) ** 2).sum())


def _whitened(cov_x: npt.ArrayLike, cov_y: npt.ArrayLike, cov_xy: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """The Cholesky factor of cov_x, and the covariance of X and Y when both are whitened, [Dx, Dy]."""
    factor_x, factor_y = _cholesky("cov_x", cov_x), _cholesky("cov_y", cov_y)
    cross = np.asarray(cov_xy, np.float64)
    if cross.shape != (len(factor_x), len(factor_y)):
        raise ValueError(f"cov_xy must have shape {(len(factor_x), len(factor_y))}, got {cross.shape}")
    half = scipy.linalg.solve_triangular(factor_x, cross, lower=True)
    whitened = scipy.linalg.solve_triangular(factor_y, half.T, lower=True).T
    largest = np.linalg.norm(whitened, 2)
    if not largest < 1.0:
        raise ValueError(f"cov_xy must leave every canonical correlation below 1, got one of {largest}")
    return factor_x, whitened


def _cholesky(name: str, covariance: npt.ArrayLike) -> np.ndarray:
    matrix = np.asarray(covariance, np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.size == 0:
        raise ValueError(f"{name} must be a square matrix, got shape {matrix.shape}")
    if not np.allclose(matrix, matrix.T, rtol=1e-6, atol=1e-9 * np.abs(matrix).max()):
        raise ValueError(f"{name} must be symmetric, got entries that differ by {np.abs(matrix - matrix.T).max()}")
    smallest = np.linalg.eigvalsh(matrix)[0]
    if not smallest > 0:
        raise ValueError(f"{name} must be positive definite, got an eigenvalue of {smallest}")
    return np.linalg.cholesky(matrix)


def _as_correlations(correlations: npt.ArrayLike) -> np.ndarray:
    values = np.asarray(correlations, np.float64)
    if values.ndim != 1 or not np.all((values >= 0) & (values < 1)):
        raise ValueError(f"correlations must be a list of numbers in [0, 1), got {values}")
    return values
