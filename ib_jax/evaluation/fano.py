"""Fano's inequality: how often any decoder must err, from what a code leaves open about the label."""

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import scipy

Form = Literal["sharp", "weak"]


def fano_error(conditional_entropy: npt.ArrayLike, num_classes: int, *, form: Form = "sharp") -> np.ndarray:
    r"""The least probability of error of a decoder of T, given :math:`H(Y|T)`.

    .. math:: H(Y|T) \le h(P_e) + P_e \log(C - 1), \qquad
              P_e \ge \frac{H(Y|T) - \log 2}{\log C} \ \text{(weak)}

    with :math:`h(p) = -p \log p - (1 - p) \log(1 - p)`. The right-hand side of the first rises up to
    :math:`P_e = 1 - 1/C`, where it is log C, so H(Y|T) gives one least P_e. A code attains it under which one label has
    probability :math:`1 - P_e` and the others share the rest. "weak" bounds h by log 2 and log(C - 1) by log C, as the
    paper does; it says nothing below log 2. Do not pass a cross-entropy: it is no less than H(Y|T), so the error may be
    smaller than the result.

    Args:
      conditional_entropy: H(Y|T) in nats, in [0, log C], float [...].
      num_classes: C >= 2.
      form: "sharp", to within 1e-12, or "weak", the paper's equation 3, cut off at 0.

    Returns:
      float64 [...], in [0, 1 - 1/C].

    Raises:
      ValueError: an argument is out of its range.

    Source: Fano, Transmission of Information, 1961; equation 3 of the paper, whose logarithms are to base 2.

    Example:
      >>> import numpy as np
      >>> from ib_jax import evaluation
      >>> entropy = np.log(2.0) + 0.1 * np.log(10.0)
      >>> [round(float(evaluation.fano_error(entropy, 10, form=form)), 4) for form in ("sharp", "weak")]
      [0.1954, 0.1]
    """
    if num_classes < 2:
        raise ValueError(f"num_classes must be at least 2, got {num_classes}")
    if form not in get_args(Form):
        raise ValueError(f"form must be one of {', '.join(get_args(Form))}, got {form!r}")
    entropy, highest = np.asarray(conditional_entropy, np.float64), float(np.log(num_classes))
    outside = ~((entropy >= 0) & (entropy <= highest * (1 + 1e-6)))
    if outside.any():
        raise ValueError(f"conditional_entropy must be in [0, log C = {highest:.4g}], got {entropy[outside].flat[0]}")
    if form == "weak":
        return np.maximum(0.0, (entropy - np.log(2.0)) / highest)
    low, high = np.zeros_like(entropy), np.full_like(entropy, 1.0 - 1.0 / num_classes)
    for _ in range(60):  # bisection, to the last bit
        middle = 0.5 * (low + high)
        enough = _most_entropy(middle, num_classes) >= entropy
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return low


def _most_entropy(error: np.ndarray, num_classes: int) -> np.ndarray:
    """The largest H(Y|T) that allows an error."""
    return scipy.special.entr(error) + scipy.special.entr(1.0 - error) + error * np.log(num_classes - 1)
