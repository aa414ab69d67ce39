"""What the VUB paper says of calibration and of the loss on held-out data, judged beside VIB."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from experiments.core.claims import Claim
from experiments.core.frames import per_seed
from experiments.core.report import Claims, Text

if TYPE_CHECKING:
    import pandas as pd


def best_confidence(num_classes: int) -> float:
    r"""The confidence in the right class at which VUB is lowest on an example that is classified right.

    The others share the rest, so that the loss :math:`-\log q - H(q)` of a confidence q in one of C classes has its
    minimum where :math:`q \log\frac{(C - 1) q}{1 - q} = 1`: cross-entropy alone would have it at 1.

    Example:
      >>> [round(best_confidence(classes), 3) for classes in (2, 10)]
      [0.782, 0.476]
    """
    import scipy.optimize  # a second, which a run that makes no report goes without

    def slope(q: float) -> float:
        return q * math.log((num_classes - 1) * q / (1 - q)) - 1

    return float(scipy.optimize.brentq(slope, 1 / num_classes, 1 - 1e-9))


def calibration(parts: Mapping[str, tuple["pd.DataFrame", "pd.DataFrame"]]) -> list[Text | Claims]:
    """The claims of the paper's discussion on the test set, and why.

    Args:
      parts: VIB's models and VUB's that are compared, by a label.
    """
    found = []
    for label, sides in parts.items():
        vib, vub = (100 * per_seed(part, "calibration_error", split="test") for part in sides)
        ours = f"VIB {vib.mean():.1f} %, VUB {vub.mean():.1f} %"
        found.append(Claim(f"{label}: VUB has the lower calibration error", vib, vub, unit="points", ours=ours))
        vib, vub = (per_seed(part, "cross_entropy", split="test") for part in sides)
        ours = f"VIB {vib.mean():.3f}, VUB {vub.mean():.3f} nats"
        found.append(Claim(f"{label}: VIB has the lower cross-entropy", vub, vib, unit="nats", ours=ours))
    two, ten = map(best_confidence, (2, 10))
    text = (
        "The paper puts VUB's higher loss on held-out data down to better calibration, which it did not measure. Here "
        "both are measured on the test set, with the mean of the samples. VUB rewards entropy with a weight of one, so "
        f"that on an example that it classifies right its loss is lowest at a confidence of {two:.3f} (two classes; "
        f"{ten:.3f} of ten), and not at 1. That calibrates a classifier that is right about as often as that, and "
        f"makes one that is always right look unsure: with ten classes by {100 * (1 - ten):.0f} points."
    )
    measured = [claim for claim in found if claim.count]
    return [Text(text, "Calibration of VUB"), Claims(measured, "")] if measured else []
