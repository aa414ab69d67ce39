"""Results of an estimator besides its predictions."""

from typing import NamedTuple

import numpy as np


class Information(NamedTuple):
    """Bounds on the information in a classifier's codes, in bits; `print` it for an explanation of each number.

    Attributes:
      rate_bits: the mean rate, an upper bound on :math:`I(X;Z)`, what the code keeps of inputs; None without noise.
      label_bits: H(Y) minus the cross-entropy, a lower bound on :math:`I(Z;Y)`, the code's information about labels.
      entropy_bits: H(Y) of these labels, the most that `label_bits` can be.
      residual_bits: an upper bound on :math:`I(X;Z|Y)`, what the code keeps beyond the label; None but for CEB.
    """

    rate_bits: float | None
    label_bits: float
    entropy_bits: float
    residual_bits: float | None = None

    def __str__(self) -> str:
        lines = [f"I(Z;Y) >= {self.label_bits:.2f} of {self.entropy_bits:.2f} bits: what the code tells of the label"]
        if self.rate_bits is not None:
            lines.insert(0, f"I(X;Z) <= {self.rate_bits:.2f} bits: what the code keeps of the input")
        if self.residual_bits is not None:
            lines.append(f"I(X;Z|Y) <= {self.residual_bits:.2f} bits: what it keeps beyond the label")
        return "\n".join(lines)


class Selection(NamedTuple):
    """How `select_beta` chose: the strongest bottleneck within one standard error of the lowest held-out error.

    Attributes:
      values: beta (or rho), [E].
      errors: mean held-out error of each over the folds, [E].
      standard_errors: of these means, [E].
      chosen: the value.
    """

    values: np.ndarray
    errors: np.ndarray
    standard_errors: np.ndarray
    chosen: float
