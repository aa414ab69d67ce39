"""The Lipschitz constant, in the input, of the density of a stochastic encoder: Theorem 3, in log space."""

import math
from typing import Literal, get_args

Form = Literal["corrected", "joint", "printed"]
"""Which statement of Theorem 3 `log_density_lipschitz` computes."""


def log_density_lipschitz(
    num_dims: int,
    min_scale: float,
    mean_lipschitz: float,
    scale_lipschitz: float = 0.0,
    *,
    form: Form = "corrected",
) -> float:
    r"""Logarithm of a Lipschitz constant in x of a Gaussian encoder's density :math:`p(t|x)`, for every t (Theorem 3).

    .. math:: |p(t|x) - p(t|x')| \le \frac{e^{-1/2} L_\mu + \sqrt K L_\sigma}{(2\pi)^{K/2} \sigma_{\min}^{K+1}}\,
              \|x - x'\|_2 \qquad \text{(corrected)}

    where :math:`p(t|x) = N(t; \mu(x), \mathrm{diag}(\sigma(x)^2))`. Proof. Write :math:`u = (t - \mu) / \sigma`. Then
    :math:`dp = p \sum_k (u_k\, d\mu_k + (u_k^2 - 1)\, d\sigma_k) / \sigma_k` and
    :math:`p \le (2\pi)^{-K/2} \sigma_{\min}^{-K} e^{-|u|^2/2}`. By Cauchy-Schwarz the first sum is at most
    :math:`|u| |d\mu| / \sigma_{\min}`, and :math:`|u| e^{-|u|^2/2} \le e^{-1/2}`. For the second,
    :math:`(s - 1)^2 \le e^s` for s >= 0, so :math:`\sum_k (u_k^2 - 1)^2 \le K e^{|u|^2}`, with equality at u = 0. Now
    integrate along the straight line from (mean(x), scale(x)) to (mean(x'), scale(x')), on which no scale falls below
    the least; so x may be of any set, such as the images of a data set and of an attack.

    Each of the two terms is reached by an encoder (of constant scale; of constant mean and equal scales), so no smaller
    coefficient will do, and where both are present the supremum over encoders is at least half of this. With a constant
    L of mean and scale together (the bound on a network whose output is both), "joint" is
    :math:`\sqrt K L (2\pi)^{-K/2} \sigma_{\min}^{-(K+1)}`, since :math:`s + (s - 1)^2 \le e^s` as well.

    The paper prints :math:`\frac{K}{(2\pi)^{(K-1)/2} \sigma_{\min}^2} (2 e^{-3/2} L_\sigma + e^{-1/2} L_\mu)`. Two
    things are wrong in it. The largest value of :math:`|u^2 - 1| e^{-u^2/2}` is 1, at u = 0, and not
    :math:`2 e^{-3/2}`, which is that of the other peak; and each other coordinate's density is bounded by
    :math:`1 / (\sqrt{2\pi} \sigma_{\min})`, without the scale there. A factor :math:`\sqrt{2\pi}` that it leaves out
    makes up for the first, so for K = 1 it holds. For K > 1 it holds for all encoders with these constants if and only
    if :math:`\sigma_{\min}^{K-1} \ge e^{3/2} / (2 \sqrt{2 \pi K})`, so from a scale of 0.63 on for K = 2, and
    of 0.72 for K = 3.

    Args:
      num_dims: K >= 1, dimensions of the code.
      min_scale: the least standard deviation over all inputs meant and all K coordinates, > 0. The least over some
        examples is good for pairs of these examples alone.
      mean_lipschitz: Lipschitz constant of the mean, in L2, >= 0; for "joint" that of mean and scale together, a vector
        of 2 K. See `lipschitz_bounds`.
      scale_lipschitz: that of the scale, >= 0; not used for "joint".
      form: "corrected", "joint", or "printed", as in the paper and wrong.

    Returns:
      Logarithm of the constant, whose unit is that of a density of t per unit of x; -inf for a constant encoder. At
      K = 256 and a scale of 0.007 it is above 1,000: as a number it would overflow.

    Raises:
      ValueError: an argument is out of its range, "joint" is given a `scale_lipschitz`, or `form` is unknown.

    Source: Theorem 3 of the paper (section 4.2), and the proof above.

    Example:
      >>> from ib_jax import evaluation
      >>> print(f"{evaluation.log_density_lipschitz(1, 1.0, 1.0):.4f}")  # log of the steepest slope of a normal density
      -1.4189
      >>> print(f"{evaluation.log_density_lipschitz(256, 0.0067, 10.0, 10.0):.1f}")
      1056.2
    """
    if num_dims < 1:
        raise ValueError(f"num_dims must be at least 1, got {num_dims}")
    if not 0.0 < min_scale < math.inf:
        raise ValueError(f"min_scale must be positive and finite, got {min_scale}")
    for name, constant in (("mean_lipschitz", mean_lipschitz), ("scale_lipschitz", scale_lipschitz)):
        if not 0.0 <= constant < math.inf:
            raise ValueError(f"{name} must be at least 0 and finite, got {constant}")
    if form not in get_args(Form):
        raise ValueError(f"form must be one of {', '.join(get_args(Form))}, got {form!r}")
    log_two_pi, log_scale = math.log(2.0 * math.pi), math.log(min_scale)
    if form == "printed":
        slope = 2.0 * math.exp(-1.5) * scale_lipschitz + math.exp(-0.5) * mean_lipschitz
        return _log(slope) + math.log(num_dims) - 0.5 * (num_dims - 1) * log_two_pi - 2.0 * log_scale
    if form == "joint":
        if scale_lipschitz:
            raise ValueError(f"scale_lipschitz must be 0 for form='joint', got {scale_lipschitz}")
        slope = math.sqrt(num_dims) * mean_lipschitz
    else:
        slope = math.exp(-0.5) * mean_lipschitz + math.sqrt(num_dims) * scale_lipschitz
    return _log(slope) - 0.5 * num_dims * log_two_pi - (num_dims + 1) * log_scale


def _log(value: float) -> float:
    return math.log(value) if value else -math.inf
