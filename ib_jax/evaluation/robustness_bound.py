"""Theorem 2: what the information of clean and of adversarial codes says about I(Y;T) - I(Y;T')."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class RobustnessConstants(NamedTuple):
    """The constants of Theorem 2, in nats; see `robustness_constants`.

    Attributes:
      clean_root: :math:`C_1`, of :math:`|T_b|^{1/2} I(X;T)^{1/2}`.
      clean_fourth_root: :math:`C_2`, of :math:`|T_b|^{3/4} I(X;T)^{1/4}`.
      adversarial_root: :math:`C_3`, of :math:`|T_a|^{1/2} I(X';T')^{1/2}`.
      adversarial_fourth_root: :math:`C_4`, of :math:`|T_a|^{3/4} I(X';T')^{1/4}`.
    """

    clean_root: float
    clean_fourth_root: float
    adversarial_root: float
    adversarial_fourth_root: float


class RobustnessBound(NamedTuple):
    r"""Bounds on :math:`|I(Y;T) - I(Y;T')|`, in nats.

    Attributes:
      psi_term: :math:`|T_b \cup T_a|\, \psi(L \epsilon)`.
      clean_term: :math:`C_1 |T_b|^{1/2} I(X;T)^{1/2} + C_2 |T_b|^{3/4} I(X;T)^{1/4}`.
      adversarial_term: the same of the adversarial codes.
      total: ``psi_term + max(clean_term, adversarial_term)``, the right-hand side of Theorem 2.
      trivial: :math:`\max(I(X;T), I(X';T'))`, never above `total`.
      smooth: :math:`2\, |T_b \cup T_a|\, \psi(L \epsilon)`, from Lemma 1 alone.
    """

    psi_term: float
    clean_term: float
    adversarial_term: float
    total: float
    trivial: float
    smooth: float


def psi(values: npt.ArrayLike) -> np.ndarray:
    r"""How much :math:`-a \log a` changes at most when a moves by x.

    .. math:: \psi(0) = 0, \qquad \psi(x) = x \log \tfrac1x \ (0 < x < 1/e), \qquad \psi(x) = \tfrac1e \ (x \ge 1/e)

    With :math:`\phi(a) = -a \log a`, :math:`|\phi(a) - \phi(b)| \le \psi(|a - b|)` for a, b in [0, 1]: the change is
    largest at an end of the interval, which gives :math:`\phi(x)` up to x = 1/2, and :math:`\phi` is never above 1/e.
    :math:`\psi` is increasing, concave and continuous (the paper leaves out x = 1/e). The logarithm must be the natural
    one: in bits the highest value would be :math:`\log_2(e) / e`.

    Args:
      values: x >= 0, float [...].

    Returns:
      float64 [...], in nats, in [0, 1/e].

    Raises:
      ValueError: a value is negative.

    Source: equation 6 of the paper.

    Example:
      >>> from ib_jax import evaluation
      >>> evaluation.psi([0.0, 0.1, 0.5, 7.0]).round(4)
      array([0.    , 0.2303, 0.3679, 0.3679])
    """
    x = np.asarray(values, np.float64)
    if not np.all(x >= 0):
        raise ValueError(f"values must be >= 0, got {x[~(x >= 0)].flat[0]}")
    capped = np.minimum(x, np.exp(-1.0))
    return -capped * np.log(np.where(capped > 0, capped, 1.0))


def robustness_constants(p_x: npt.ArrayLike, q_x: npt.ArrayLike) -> RobustnessConstants:
    r"""The constants :math:`C_1` to :math:`C_4` of Theorem 2, from p(x) and its pushforward q(x) by the attack.

    .. math:: C_1 = \frac{\sqrt2\, \psi(\nu_p)}{\min p}, \qquad C_2 = \frac{2^{5/4}\, \nu_p}{e \sqrt{\min p}}, \qquad
              \nu_p = \sqrt{1 - \textstyle\sum_x p(x)^2}

    with minima over the support, and :math:`C_3`, :math:`C_4` likewise of q. The paper leaves the constants open; these
    follow from a proof after Shamir et al. Let :math:`v_t` be the Euclidean norm over x of :math:`p(t|x) - p(t)`, and
    :math:`n_y` that of :math:`p(x|y) - p(x)`:

    1. :math:`|p(t|y) - p(t)| = |\sum_x (p(t|x) - p(t)) (p(x|y) - p(x))| \le v_t n_y`, so
       :math:`I(Y;T) = H(T) - H(T|Y) \le \sum_y p(y) \sum_t \psi(v_t n_y) \le \sum_t \psi(v_t \nu)` with
       :math:`\nu = \sum_y p(y) n_y`, as :math:`\psi` is concave.
    2. :math:`\nu^2 \le \sum_y p(y) n_y^2 = \sum_y p(y) \|p(\cdot|y)\|^2 - \|p\|^2 \le 1 - \|p\|^2 = \nu_p^2`.
    3. :math:`\psi(a b) \le a \psi(b) + b \psi(a)`, so
       :math:`I(Y;T) \le \psi(\nu_p) \sum_t v_t + \nu_p \sum_t \psi(v_t)`.
    4. :math:`\sum_t v_t \le \sqrt{2 I(X;T)} / \min p`, by Pinsker's inequality for :math:`p(x|t)` and :math:`p(x)`,
       averaged over t.
    5. :math:`\psi(v) \le \tfrac2e \sqrt v`, so :math:`\sum_t \psi(v_t) \le \tfrac2e \sqrt{|T| \sum_t v_t}`.

    This bounds :math:`I(Y;T)` by the clean term and, by the same steps, :math:`I(Y;T')` by the adversarial one. Both
    are at least 0, so their difference is at most the larger bound. The steps yield :math:`\sqrt I` and
    :math:`\sqrt{|T|}\, I^{1/4}`; the paper's larger powers of :math:`|T|` are kept. The term with
    :math:`\psi(L \epsilon)` is then not needed, see `robustness_bound`.

    Args:
      p_x: probabilities of clean inputs, float [N], sum 1; zeros are left out.
      q_x: of adversarial inputs, float [N'], sum 1.

    Returns:
      RobustnessConstants, for information in nats. About N for N equally likely inputs: hopeless for images.

    Raises:
      ValueError: probabilities are negative or do not sum to 1.

    Source: Theorem 2 of the paper; Shamir, Sabato, Tishby, Learning and Generalization with the Information
      Bottleneck, 2010, for the way.

    Example:
      >>> from ib_jax import evaluation
      >>> [round(constant, 3) for constant in evaluation.robustness_constants([0.5, 0.5], [1.0])]
      [1.041, 0.875, 0.0, 0.0]
    """
    return RobustnessConstants(*_constants("p_x", p_x), *_constants("q_x", q_x))


def robustness_bound(
    constants: RobustnessConstants,
    information_xz: float,
    adversarial_information_xz: float,
    *,
    lipschitz: float,
    epsilon: float,
    num_codes: tuple[float, float, float],
) -> RobustnessBound:
    r"""The right-hand side of Theorem 2, by terms, and two simpler bounds.

    .. math:: |I(Y;T) - I(Y;T')| \le |T_b \cup T_a|\, \psi(L \epsilon) + \max\big\{
              C_1 |T_b|^{1/2} I(X;T)^{1/2} + C_2 |T_b|^{3/4} I(X;T)^{1/4},\;
              C_3 |T_a|^{1/2} I(X';T')^{1/2} + C_4 |T_a|^{3/4} I(X';T')^{1/4} \big\}

    The bound holds, but one line says more: :math:`I(Y;T) \le I(X;T)` and :math:`I(Y;T') \le I(X';T')` by data
    processing, so the difference is at most :math:`\max(I(X;T), I(X';T'))`, `trivial`. The constants depend on p(x)
    alone, hence the clean term bounds I(Y;T) for every Y, also for Y = X, where it is I(X;T): `trivial` is never above
    `total`. Smoothness alone gives `smooth`: by Lemma 1, H(T) and each H(T|y) change by at most
    :math:`|T_b \cup T_a|\, \psi(L \epsilon)`. `smooth` tends to 0 with epsilon, and `total` does not.

    Args:
      constants: from `robustness_constants`.
      information_xz: I(X;T) in nats, or an upper bound on it.
      adversarial_information_xz: I(X';T') in nats, or an upper bound on it.
      lipschitz: L, of p(t|x) in x for every t, per unit of the input.
      epsilon: the largest perturbation, in the norm of L.
      num_codes: :math:`|T_b|`, :math:`|T_a|` and :math:`|T_b \cup T_a|`.

    Returns:
      RobustnessBound(psi_term, clean_term, adversarial_term, total, trivial, smooth), in nats.

    Raises:
      ValueError: an argument is negative, or :math:`|T_b \cup T_a|` is less than either of the others.

    Source: Theorem 2 of the paper.

    Example:
      >>> from ib_jax import evaluation
      >>> constants = evaluation.robustness_constants([0.5, 0.5], [0.5, 0.5])
      >>> bound = evaluation.robustness_bound(constants, 0.2, 0.1, lipschitz=0.5, epsilon=0.1, num_codes=(2, 2, 2))
      >>> print(f"{bound.total:.3f} {bound.trivial:.3f} {bound.smooth:.3f}")
      1.942 0.200 0.599
    """
    numbers = {
        "information_xz": information_xz,
        "adversarial_information_xz": adversarial_information_xz,
        "lipschitz": lipschitz,
        "epsilon": epsilon,
    }
    for name, value in numbers.items():
        if not value >= 0:
            raise ValueError(f"{name} must be >= 0, got {value}")
    clean_codes, adversarial_codes, all_codes = num_codes
    if not 1 <= max(clean_codes, adversarial_codes) <= all_codes or min(num_codes) < 1:
        raise ValueError(f"num_codes must be >= 1 with the last no less than the others, got {num_codes}")
    psi_term = all_codes * float(psi(lipschitz * epsilon))
    clean, adversarial = (
        root * codes**0.5 * information**0.5 + fourth_root * codes**0.75 * information**0.25
        for root, fourth_root, codes, information in (
            (*constants[:2], clean_codes, information_xz),
            (*constants[2:], adversarial_codes, adversarial_information_xz),
        )
    )
    trivial = max(information_xz, adversarial_information_xz)
    return RobustnessBound(psi_term, clean, adversarial, psi_term + max(clean, adversarial), trivial, 2.0 * psi_term)


def _constants(name: str, probabilities: npt.ArrayLike) -> tuple[float, float]:
    p = np.asarray(probabilities, np.float64)
    if p.ndim != 1 or not np.all(p >= 0) or not abs(p.sum() - 1.0) <= 1e-5:
        raise ValueError(f"{name} must be a list of numbers >= 0 with sum 1, got shape {p.shape} and sum {p.sum()}")
    p = p[p > 0] / p.sum()
    least, spread = float(p.min()), float(np.sqrt(max(1.0 - np.sum(p**2), 0.0)))
    return 2.0**0.5 * float(psi(spread)) / least, 2.0**1.25 / np.e * spread / least**0.5
