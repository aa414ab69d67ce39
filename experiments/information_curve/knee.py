"""The knee of an information curve: the strongest bottleneck that tells as much of the label as any."""

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from experiments.core.frames import groups, per_model

if TYPE_CHECKING:
    import pandas as pd

_SHARE = 0.01  # of the most that any beta tells of the label: less does not count as a loss


class Knee(NamedTuple):
    """Where the bound on I(Z;Y) stops growing as the bottleneck is loosened; bits and errors are means over seeds.

    Attributes:
      beta: of the knee.
      rate_bits: I(X;Z) is at most that.
      label_bits: I(Z;Y) is at least that.
      error: of the mean over samples of z, a share.
      most_label_bits: the greatest bound on I(Z;Y) over beta.
      most_rate_bits: the greatest bound on I(X;Z) over beta.
      stronger: the next larger beta and its bound on I(Z;Y), if there is one.
    """

    beta: float
    rate_bits: float
    label_bits: float
    error: float
    most_label_bits: float
    most_rate_bits: float
    stronger: tuple[float, float] | None


def find_knee(frame: "pd.DataFrame", split: str = "test") -> Knee | None:
    """The largest beta of which I(Z;Y) is as large as any, within a hundredth of it and one standard error.

    Args:
      frame: the models of one K.
      split: on which they were measured.

    Returns:
      The knee; None where fewer than two betas have a rate.
    """
    means: dict[float, Any] = {}
    for (beta,), part in groups(frame, "beta"):
        names = ("rate_bits", "information_zy_bits", "error_avg")
        rate, label, error = (per_model(part, name, split=split) for name in names)
        if len(rate) and len(label):
            spread = label.std(ddof=1) / math.sqrt(len(label)) if len(label) > 1 else 0.0
            means[beta] = float(rate.mean()), float(label.mean()), float(error.mean()), float(spread)
    if len(means) < 2:
        return None
    best = max(means, key=lambda beta: means[beta][1])
    enough = means[best][1] - _SHARE * abs(means[best][1]) - means[best][3]
    beta = max(beta for beta in means if means[beta][1] >= enough)
    rate, label, error, _ = means[beta]
    above = [each for each in sorted(means) if each > beta]
    stronger = (above[0], means[above[0]][1]) if above else None
    return Knee(beta, rate, label, error, means[best][1], max(each[0] for each in means.values()), stronger)


def in_words(knee: Knee, size: int, entropy_bits: float) -> str:
    """What the knee means.

    Args:
      knee: from `find_knee`.
      size: K.
      entropy_bits: H(Y), or the most that it can be.
    """
    text = (
        f"K = {size}: the knee is at beta = {knee.beta:g}. There a code keeps at most {knee.rate_bits:.1f} bits of an "
        f"input and tells at least {knee.label_bits:.2f} of the {entropy_bits:.2f} bits of its label, with an error of "
        f"{knee.error:.2%}."
    )
    if knee.most_rate_bits > knee.rate_bits:
        text += (
            f" Looser bottlenecks keep up to {knee.most_rate_bits:.1f} bits, and the bound on I(Z;Y) has stopped "
            f"growing ({knee.most_label_bits:.2f} at the most)."
        )
    if knee.stronger:
        text += f" A stronger one loses: at beta = {knee.stronger[0]:g} {knee.stronger[1]:.2f} bits are left."
    else:
        text += " No stronger one was tried: the knee may lie at a larger beta."
    return text
