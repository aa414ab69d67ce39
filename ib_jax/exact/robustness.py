"""The exact effect of an attack on a code: I(Y;T) and I(Y;T'), I(X;T) and I(X';T'), and Lemma 1."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ib_jax.exact.quantised import as_encoder, encoder_lipschitz
from ib_jax.exact.tables import TableInformation, as_joint, table_information


class AttackedCode(NamedTuple):
    r"""A code of finitely many inputs before and after an attack x -> A(x).

    Attributes:
      information: TableInformation(I(X;T), I(Y;T)), in nats.
      adversarial_information: TableInformation(I(X';T'), I(Y;T')), in nats.
      p_x: p(x), float64 [N].
      q_x: q(x') = sum of p(x) over A(x) = x', float64 [N].
      p_t: p(t), float64 [M].
      q_t: q(t), float64 [M].
      epsilon: the largest :math:`\|x - A(x)\|` over p(x) > 0.
      lipschitz: L of p(t|x) over the inputs with p(x) > 0 and their images under A.
    """

    information: TableInformation
    adversarial_information: TableInformation
    p_x: np.ndarray
    q_x: np.ndarray
    p_t: np.ndarray
    q_t: np.ndarray
    epsilon: float
    lipschitz: float

    @property
    def vulnerability(self) -> float:
        """:math:`|I(Y;T) - I(Y;T')|`, the left-hand side of Theorem 2, in nats."""
        return float(abs(self.information.information_zy - self.adversarial_information.information_zy))

    @property
    def code_shift(self) -> float:
        """The largest :math:`|p(t) - q(t)|`, which Lemma 1 bounds by ``lipschitz * epsilon``."""
        return float(np.abs(self.p_t - self.q_t).max())

    @property
    def num_codes(self) -> tuple[int, int, int]:
        """The numbers of codes in the supports of T, of T', and of either."""
        return (
            int(np.count_nonzero(self.p_t)),
            int(np.count_nonzero(self.q_t)),
            int(np.count_nonzero(self.p_t + self.q_t)),
        )


def attacked_code(
    points: npt.ArrayLike, joint: npt.ArrayLike, encoder: npt.ArrayLike, attack: npt.ArrayLike, order: float = 2
) -> AttackedCode:
    r"""Follows clean and attacked inputs through one encoder, Y - X - T and Y - X' - T' with X' = A(X).

    .. math:: q(x', y) = \sum_{x: A(x) = x'} p(x, y), \qquad p(t) = \sum_x p(x) p(t|x), \qquad
              q(t) = \sum_x p(x) p(t|A(x))

    Lemma 1 of the paper: if :math:`p(t|x)` is L-Lipschitz and :math:`\|x - A(x)\| \le \epsilon`, then
    :math:`|p(t) - q(t)| \le L \epsilon` for all t, since the difference is a mean of :math:`p(t|x) - p(t|A(x))`. It
    holds as printed, is attained, and holds given any y as well: :math:`|p(t|y) - q(t|y)| \le L \epsilon`.

    Args:
      points: all inputs, float [N, D], also those that only attacks lead to.
      joint: p(x, y), float [N, C], sum 1; rows of zeros for inputs outside the support.
      encoder: p(t|x), float [N, M].
      attack: the index of A(x) for each input, int [N]; where p(x) = 0 it does not count.
      order: of the norm, as for `numpy.linalg.norm`.

    Returns:
      AttackedCode, with the least L and epsilon for which the conditions hold on these points.

    Raises:
      ValueError: the shapes do not fit, or an index is out of range.

    Source: section 4.1 and Lemma 1 of the paper.

    Example:
      >>> from ib_jax import exact
      >>> code = exact.attacked_code([[0.0], [1.0]], [[0.5, 0.0], [0.0, 0.5]], [[0.9, 0.1], [0.2, 0.8]], [1, 1])
      >>> print(f"{code.code_shift:.2f} <= {code.lipschitz * code.epsilon:.2f}, I(Y;T') = "
      ...       f"{code.adversarial_information.information_zy:.1f}")
      0.35 <= 0.70, I(Y;T') = 0.0
    """
    inputs, table = np.asarray(points, np.float64), as_joint(joint)
    rows, moves = as_encoder(encoder, len(table)), as_attack(attack, len(table))
    if inputs.ndim != 2 or len(inputs) != len(table):
        raise ValueError(f"points must have shape [{len(table)}, D], got {inputs.shape}")
    attacked = np.zeros_like(table)
    np.add.at(attacked, moves, table)
    p_x, q_x = table.sum(1), attacked.sum(1)
    steps = np.linalg.norm(inputs - inputs[moves], ord=order, axis=-1)
    seen = p_x + q_x > 0
    return AttackedCode(
        table_information(table, rows),
        table_information(attacked, rows),
        p_x,
        q_x,
        p_x @ rows,
        q_x @ rows,
        float(steps[p_x > 0].max()),
        encoder_lipschitz(inputs[seen], rows[seen], order),
    )


def as_attack(attack: npt.ArrayLike, size: int) -> np.ndarray:
    """A checked list of indices, int [size]."""
    moves = np.asarray(attack)
    if moves.shape != (size,) or not np.issubdtype(moves.dtype, np.integer):
        raise ValueError(f"attack must be {size} integers, got {moves.dtype} of shape {moves.shape}")
    if moves.min() < 0 or moves.max() >= size:
        raise ValueError(f"attack must be indices in [0, {size}), got values from {moves.min()} to {moves.max()}")
    return moves
