"""A Gaussian encoder on a finite grid of codes, and Lipschitz constants of encoders given as tables."""

import numpy as np
import numpy.typing as npt
import scipy.special

from ib_jax.exact.tables import as_distributions
from ib_jax.types import DiagGaussian


def quantised_encoder(encoding: DiagGaussian, codes: npt.ArrayLike) -> np.ndarray:
    r"""The Gaussian encoder restricted to finitely many codes.

    .. math:: p(t_i|x) = \frac{p^*(t_i|x)}{\sum_j p^*(t_j|x)}, \qquad p^*(t|x) = N(t; \mu(x), \sigma(x)^2)

    Args:
      encoding: p*(t|x) for each input, DiagGaussian with fields [N, K], scale > 0.
      codes: t_i, float [M, K].

    Returns:
      p(t|x), float64 [N, M], formed from logarithms so that no row underflows.

    Raises:
      ValueError: the shapes do not fit or a scale is not positive.

    Source: the last paragraph of section 5 of the paper.

    Example:
      >>> import numpy as np
      >>> from ib_jax import DiagGaussian, exact
      >>> encoding = DiagGaussian(np.array([[0.0], [1.0]]), np.ones((2, 1)))
      >>> exact.quantised_encoder(encoding, [[-1.0], [1.0]]).round(4)  # sigmoid(0), sigmoid(2)
      array([[0.5   , 0.5   ],
             [0.1192, 0.8808]])
    """
    return scipy.special.softmax(code_log_density(encoding, codes), axis=1)


def code_log_density(encoding: DiagGaussian, codes: npt.ArrayLike) -> np.ndarray:
    r""":math:`\log p^*(t_i|x)` of a Gaussian encoder at each code.

    Args:
      encoding: as for `quantised_encoder`.
      codes: as for `quantised_encoder`.

    Returns:
      float64 [N, M], in nats.

    Raises:
      ValueError: the shapes do not fit or a scale is not positive.

    Example:
      >>> import numpy as np
      >>> from ib_jax import DiagGaussian, exact
      >>> exact.code_log_density(DiagGaussian(np.zeros((1, 1)), np.ones((1, 1))), [[0.0]]).round(4)  # -log(2 pi) / 2
      array([[-0.9189]])
    """
    mean, scale = np.asarray(encoding.mean, np.float64), np.asarray(encoding.scale, np.float64)
    grid = np.asarray(codes, np.float64)
    if mean.ndim != 2 or mean.shape != scale.shape or grid.ndim != 2 or grid.shape[1] != mean.shape[1]:
        raise ValueError(
            f"encoding must have fields [N, K] and codes be [M, K], got {mean.shape}, {scale.shape} and {grid.shape}"
        )
    if not np.all(scale > 0):
        raise ValueError(f"encoding must have scales > 0, got {scale[~(scale > 0)][0]}")
    squares = ((grid - mean[:, None]) / scale[:, None]) ** 2
    return -0.5 * squares.sum(-1) - np.log(scale).sum(-1)[:, None] - 0.5 * mean.shape[1] * np.log(2.0 * np.pi)


def encoder_lipschitz(points: npt.ArrayLike, encoder: npt.ArrayLike, order: float = 2) -> float:
    r"""The largest Lipschitz constant of a table :math:`p(t|x)` over its points, among all codes t.

    .. math:: L = \max_t \max_{x \ne x'} \frac{|p(t|x) - p(t|x')|}{\|x - x'\|}

    Args:
      points: x, float [N, D].
      encoder: p(t|x), float [N, M]; any other values [N, M], such as densities, do as well.
      order: of the norm, as for `numpy.linalg.norm`.

    Returns:
      L, per unit of the input; 0 for one point, infinite if two points are equal and their rows are not.

    Raises:
      ValueError: the shapes do not fit.

    Source: what Theorem 2, Lemma 1 and Theorem 4 of the paper assume of p(t|x).

    Example:
      >>> from ib_jax import exact
      >>> exact.encoder_lipschitz([[0.0], [2.0]], [[0.5, 0.5], [0.1, 0.9]])
      0.2
    """
    inputs, rows = np.asarray(points, np.float64), np.asarray(encoder, np.float64)
    if inputs.ndim != 2 or rows.ndim != 2 or len(inputs) != len(rows):
        raise ValueError(f"points must be [N, D] and encoder [N, M], got {inputs.shape} and {rows.shape}")
    distances = np.linalg.norm(inputs[:, None] - inputs, ord=order, axis=-1)
    changes = np.abs(rows[:, None] - rows).max(-1)
    apart = changes > 0
    with np.errstate(divide="ignore"):
        return float(np.max(changes[apart] / distances[apart], initial=0.0))


def quantised_lipschitz(density_lipschitz: float, log_density: npt.ArrayLike) -> tuple[float, float]:
    r"""Bounds the Lipschitz constant of the quantised encoder by that of its density, over the same points.

    .. math:: L \le \frac{L^*}{Z_{\min}} \big(1 + (M - 2)^+ \max_{t,x} p(t|x)\big), \qquad Z(x) = \sum_j p^*(t_j|x)

    since :math:`p(t|x) - p(t|x') = \big((1 - p(t|x'))\, d_t - p(t|x') \sum_{j \ne t} d_j\big) / Z(x)` with the
    differences :math:`d_j = p^*(t_j|x) - p^*(t_j|x')`. The paper's :math:`L \le L^* / (M \min p^*)` ignores that Z
    changes with x, and is false for :math:`M \ge 3`; its order :math:`1 / M` is correct.

    Args:
      density_lipschitz: :math:`L^*`, of :math:`p^*(t|x)` over the points, for the code for which it is largest.
      log_density: :math:`\log p^*(t_i|x)`, float [N, M], of the same points.

    Returns:
      The bound, and the paper's L* / (M min p*) for comparison; per unit of the input.

    Raises:
      ValueError: `log_density` is not [N, M], or `density_lipschitz` is negative.

    Source: section 5 of the paper, last paragraph, corrected.

    Example:
      >>> import numpy as np
      >>> from ib_jax import exact
      >>> bound, printed = exact.quantised_lipschitz(0.5, np.log([[0.2, 0.2], [0.3, 0.2]]))
      >>> print(f"{bound:.4f} {printed:.4f}")
      1.2500 1.2500
    """
    density = np.exp(np.asarray(log_density, np.float64))
    if density.ndim != 2 or not density_lipschitz >= 0:
        raise ValueError(
            f"log_density must be [N, M] and density_lipschitz >= 0, got {density.shape}, {density_lipschitz}"
        )
    totals, size = density.sum(1), density.shape[1]
    largest = float((density / totals[:, None]).max())
    bound = density_lipschitz / float(totals.min()) * (1.0 + max(size - 2, 0) * largest)
    return bound if size > 1 else 0.0, density_lipschitz / (size * float(density.min()))


def as_encoder(encoder: npt.ArrayLike, size: int) -> np.ndarray:
    """A checked table p(t|x), float64 [size, M]."""
    rows = as_distributions("encoder", encoder, min_ndim=2)
    if rows.ndim != 2 or len(rows) != size:
        raise ValueError(f"encoder must have shape [{size}, M], got {rows.shape}")
    return rows
