"""Properties of a discrete curve: where clusters appear, and a bound on I(Z;Y) at any I(X;Z)."""

import numpy as np
import numpy.typing as npt

from ib_jax.exact.discrete import DiscreteCurve
from ib_jax.exact.tables import as_joint, as_rates


def critical_beta(joint: npt.ArrayLike) -> float:
    r"""The :math:`\beta` above which ignoring X is a local minimum of the bottleneck.

    .. math:: \beta_c = \sigma_2^2, \qquad \sigma_1 = 1 \ge \sigma_2 \ge \dots \text{ the singular values of }
              \frac{p(x,y)}{\sqrt{p(x) p(y)}}

    This is the squared maximal correlation of X and Y. Below it, an encoder that ignores X can be improved by an
    arbitrarily small change. Above it, a distant encoder can still be better: the global threshold, the supremum of
    :math:`I(Z;Y) / I(X;Z)` over encoders, is never lower, and for some tables it is higher.

    Args:
      joint: p(x,y), float [N, C], >= 0 with sum 1; rows, columns and entries may be zero.

    Returns:
      beta_c, in [0, 1]; 0 for independent X and Y.

    Raises:
      ValueError: `joint` is not a table of probabilities.

    Source: Wu, Fischer, Chuang, Tegmark, Learnability for the Information Bottleneck, 2019.

    Example:
      >>> from ib_jax import exact
      >>> print(f"{exact.critical_beta([[0.45, 0.05], [0.05, 0.45]]):.4f}")  # (1 - 2 * 0.1) ** 2
      0.6400
    """
    table = as_joint(joint)
    live = table[table.sum(1) > 0][:, table.sum(0) > 0]
    p_x, p_y = live.sum(1, keepdims=True), live.sum(0, keepdims=True)
    # Without its first singular pair, (sqrt p(x), sqrt p(y)), the largest singular value left is the second.
    rest = live / np.sqrt(p_x) / np.sqrt(p_y) - np.sqrt(p_x) * np.sqrt(p_y)
    return min(float(np.linalg.norm(rest, 2)) ** 2, 1.0)


def phase_transitions(curve: DiscreteCurve) -> np.ndarray:
    r"""The betas at which the number of clusters changes.

    .. math:: \sqrt{\beta_k \beta_{k+1}} \text{ for neighbours } \beta_k < \beta_{k+1} \text{ on the grid with }
              |Z|_k \ne |Z|_{k+1}

    Args:
      curve: from `blahut_arimoto`, on a grid of betas as fine as the transitions are to be located.

    Returns:
      float [T], descending: the geometric means of the neighbours between which the number of clusters differs.

    Example:
      >>> from ib_jax import exact
      >>> curve = exact.blahut_arimoto([[0.45, 0.05], [0.05, 0.45]], [0.1, 0.62, 0.66, 0.9])
      >>> exact.phase_transitions(curve)  # near critical_beta, 0.64
      array([0.6396...])
    """
    order = np.argsort(-curve.betas)
    betas, changes = curve.betas[order], np.diff(curve.num_clusters[order]) != 0
    return np.sqrt(betas[1:] * betas[:-1])[changes]


def discrete_frontier(curve: DiscreteCurve, information_xz: npt.ArrayLike) -> np.ndarray:
    r"""The largest :math:`I(Z;Y)` that the supporting lines of a curve allow at a given :math:`I(X;Z)`.

    .. math:: F(R) = \min_k \big[ I_k(Z;Y) - \beta_k I_k(X;Z) + \beta_k R \big]

    including the lines of :math:`\beta = 1`, :math:`I(Z;Y) \le I(X;Z)`, and of :math:`\beta = 0`,
    :math:`I(Z;Y) \le I(X;Y)`. Every encoder lies below F, if Blahut-Arimoto reached the global optimum at each
    :math:`\beta`. F touches the frontier at the points of the curve, and approaches it as the grid gets finer.

    Args:
      curve: from `blahut_arimoto`.
      information_xz: R, float [...], >= 0, in nats.

    Returns:
      float [...], an upper bound on I(Z;Y) in nats.

    Raises:
      ValueError: an `information_xz` is negative or not a number.

    Source: Tishby, Pereira, Bialek, The information bottleneck method, 1999: the curve is concave with slope beta.

    Example:
      >>> from ib_jax import exact
      >>> curve = exact.blahut_arimoto([[0.45, 0.05], [0.05, 0.45]], [0.2, 0.3, 0.4, 0.5, 0.6])
      >>> print(f"{exact.discrete_frontier(curve, 0.3):.3f}")
      0.184
    """
    rates = as_rates(information_xz)
    slopes = np.concatenate([curve.betas, [0.0, 1.0]])
    offsets = np.concatenate([curve.information_zy - curve.betas * curve.information_xz, [curve.information_xy, 0.0]])
    with np.errstate(invalid="ignore"):  # 0 * inf, replaced
        lines = np.where(slopes > 0, offsets + slopes * rates[..., None], offsets)
    return lines.min(-1)
