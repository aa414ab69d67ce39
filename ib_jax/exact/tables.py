"""Mutual information of probability tables, in nats and float64."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class TableInformation(NamedTuple):
    """The two sides of the bottleneck for encoders given as tables.

    Attributes:
      information_xz: float [...], I(X;Z) in nats.
      information_zy: float [...], I(Z;Y) in nats.
    """

    information_xz: np.ndarray
    information_zy: np.ndarray


def table_information(joint: npt.ArrayLike, encoder: npt.ArrayLike) -> TableInformation:
    r""":math:`I(X;Z)` and :math:`I(Z;Y)` of discrete encoders :math:`p(z|x)`, with Z - X - Y a Markov chain.

    .. math:: I(X;Z) = \sum_{x,z} p(x) p(z|x) \log \frac{p(z|x)}{p(z)}, \qquad
              I(Z;Y) = \sum_{z,y} p(z,y) \log \frac{p(z,y)}{p(z) p(y)}, \qquad p(z,y) = \sum_x p(x,y) p(z|x)

    Args:
      joint: p(x,y), float [N, C], >= 0 with sum 1.
      encoder: p(z|x), float [..., N, M], each row >= 0 with sum 1. A row with p(x) = 0 does not count.

    Returns:
      TableInformation(information_xz, information_zy), each float64 [...], in nats, >= 0 up to rounding.

    Raises:
      ValueError: `joint` is not a table of probabilities, or `encoder` not one of N conditional distributions.

    Source: Tishby, Pereira, Bialek, The information bottleneck method, 1999.

    Example:
      >>> import numpy as np
      >>> from ib_jax import exact
      >>> information = exact.table_information([[0.5, 0.0], [0.0, 0.5]], np.eye(2))
      >>> print(f"{information.information_xz:.4f} {information.information_zy:.4f}")  # log 2, twice
      0.6931 0.6931
    """
    table = as_joint(joint)
    rows = as_distributions("encoder", encoder, min_ndim=2)
    if rows.shape[-2] != table.shape[0]:
        raise ValueError(f"encoder must have a row for each of the {table.shape[0]} rows of joint, got {rows.shape}")
    return TableInformation(
        mutual_information(table.sum(1)[:, None] * rows), mutual_information(np.swapaxes(rows, -1, -2) @ table)
    )


def mutual_information(joint: np.ndarray) -> np.ndarray:
    """Mutual information of the two last axes of tables that are known to be joint distributions, float [...]."""
    first, second = joint.sum(-1, keepdims=True), joint.sum(-2, keepdims=True)
    # Three logarithms and not one of a ratio: the product of two marginals may underflow where the joint does not.
    return np.sum(joint * (_finite_log(joint) - _finite_log(first) - _finite_log(second)), axis=(-2, -1))


def as_joint(joint: npt.ArrayLike) -> np.ndarray:
    """A checked table p(x,y), float64 [N, C], with sum exactly 1."""
    table = np.asarray(joint, np.float64)
    if table.ndim != 2 or table.size == 0:
        raise ValueError(f"joint must be a table [N, C] with N, C >= 1, got shape {table.shape}")
    return as_distributions("joint", table.reshape(-1)).reshape(table.shape)


def as_distributions(name: str, values: npt.ArrayLike, min_ndim: int = 1) -> np.ndarray:
    """Distributions along the last axis, checked, in float64, with sums exactly 1 (float32 ones miss it by 1e-7)."""
    table = np.asarray(values, np.float64)
    if table.ndim < min_ndim or table.size == 0:
        raise ValueError(f"{name} must have at least {min_ndim} axes and one entry, got shape {table.shape}")
    if not np.all(table >= 0):
        raise ValueError(f"{name} must be >= 0, got {table[~(table >= 0)][0]}")
    sums = table.sum(-1, keepdims=True)
    wrong = ~(np.abs(sums - 1.0) <= 1e-5)
    if wrong.any():
        raise ValueError(f"{name} must sum to 1 over its {'last axis' if min_ndim > 1 else 'entries'}, got "
                         f"{sums[wrong][0]}")  # fmt: skip
    return table / sums


def as_rates(information_xz: npt.ArrayLike) -> np.ndarray:
    """I(X;Z) in float64, checked to be >= 0."""
    rates = np.asarray(information_xz, np.float64)
    if not np.all(rates >= 0):
        raise ValueError(f"information_xz must be >= 0 nats, got {rates[~(rates >= 0)].flat[0]}")
    return rates


def _finite_log(values: np.ndarray) -> np.ndarray:
    """The logarithm, and 0 at 0, where it will be multiplied by 0."""
    return np.log(np.where(values > 0, values, 1.0))
