"""The VIB paper's statements on robustness, as printed and where the attack is better than the paper's."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.core.claims import Claim
from experiments.core.frames import per_model, where
from experiments.mnist_robustness.minimal import measured, names
from experiments.mnist_robustness.settings import DETERMINISTIC, DROPOUT, VIB

if TYPE_CHECKING:
    import pandas as pd

BETAS = (1e-3, 1e-2)
"""The betas that the paper calls good, of MNIST and of ImageNet."""


def claims(frame: "pd.DataFrame", radius: float) -> list[Claim]:
    """For each of the two betas that there are; of baselines that were attacked, by seed.

    Args:
      frame: of the records.
      radius: L-inf, at which all attacks stand together.
    """
    plain, dropout = (where(frame, objective=name) for name in (DETERMINISTIC, DROPOUT))
    fgsm = _accuracy(attack="fgsm", epsilon=0.175, num_eot_samples=1, together=None)
    found = []
    for beta in BETAS:
        vib, name = where(frame, objective=VIB, beta=beta), f"beta = {beta:g}"
        for targeted, kind in ((False, "untargeted"), (True, "targeted")):
            for paper, way in zip((True, False), names(frame), strict=True):
                text = f"{name}: Carlini-Wagner, {kind}, {way}, succeeds less often than on the deterministic network"
                found.append(_compared(text, measured("success", targeted, as_the_paper=paper), plain, vib, unit="%"))
            text = f"{name}: {kind}, it has to go further (median L2)"
            found.append(_compared(text, measured("median_l2", targeted), vib, plain, digits=2))
        for baseline, part in (("the deterministic network", plain), ("dropout", dropout)):
            text = f"{name}: under FGSM (0.35 of [-1, 1]) it is right more often than {baseline}"
            found.append(_compared(text, fgsm, vib, part, unit="%"))
        text = f"{name}: more images stand under the worst of all attacks at {radius:g}"
        found.append(_compared(text, _accuracy(attack="worst", epsilon=radius), vib, plain, unit="%"))
    return [claim for claim in found if claim.count]


def _accuracy(**at: Any) -> Callable[[Any], Any]:
    return lambda part: per_model(part, "accuracy", **at)


def _compared(text: str, metric: Callable[[Any], Any], larger: Any, smaller: Any, **options: Any) -> Claim:
    """Of as many seeds as both sides have."""
    scale = 100.0 if options.get("unit") == "%" else 1.0
    sides = [scale * np.asarray(metric(part), float) for part in (larger, smaller)]
    count = min(map(len, sides))
    return Claim(text, sides[0][:count], sides[1][:count], **options)
