"""From the results for each image to the numbers of a record of `experiments.mnist_robustness`."""

import base64
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.mnist_robustness.settings import CLEAN, FGSM, PGD, PGD_LONG, SQUARE, TRANSFER, WHOLE_RANGE, WORST
from ib_jax import evaluation

Correct = Mapping[tuple[str, float], np.ndarray]
"""By attack and radius whether each image is still classified right, bool [N]."""


def pack(images: np.ndarray) -> str:
    """Images in [0, 1] as text, in 256 levels of grey."""
    return base64.b64encode(zlib.compress(np.rint(255 * images).astype(np.uint8).tobytes())).decode()


def unpack(text: str, shape: Sequence[int]) -> np.ndarray:
    """What `pack` packed, in [0, 1]."""
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8).reshape(shape) / 255.0


def minimal_row(distances: np.ndarray, success: np.ndarray, before: np.ndarray) -> dict[str, float]:
    """Success and sizes among the images that were right before; one that was wrong has nothing to perturb.

    Args:
      distances: float [n], in L2.
      success: bool [n], of the attack.
      before: bool [n], right before it.

    Returns:
      `num_right`; `success`, a share; `mean_l2` over the successes, and `median_l2`, in which a failure is infinitely
      far. NaN if no image was right.
    """
    distances, success = distances[before], success[before]
    if not len(success):
        return {"num_right": 0} | dict.fromkeys(("success", "mean_l2", "median_l2"), np.nan)
    return {
        "num_right": len(success),
        "success": float(success.mean()),
        "mean_l2": float(distances[success].mean()) if success.any() else np.inf,
        "median_l2": float(np.median(np.where(success, distances, np.inf))),
    }


def _same(correct: Mapping[Any, np.ndarray]) -> dict[Any, np.ndarray]:
    """Results on the images that all of the attacks were tried on."""
    count = min(map(len, correct.values()))
    return {name: stands[:count] for name, stands in correct.items()}


def same_images(correct: Correct, epsilon: float) -> dict[str, Any]:
    """Accuracies on those images at one radius, and the share that stands under every attack."""
    same = _same({name: stands for (name, radius), stands in correct.items() if radius in (0.0, epsilon)})
    same[WORST] = np.all(list(same.values()), axis=0)
    accuracy = {name: float(stands.mean()) for name, stands in same.items()}
    return {"epsilon": epsilon, "num_images": len(same[WORST]), "accuracy": accuracy}


def finding(epsilon: float | None, found: evaluation.Finding) -> dict[str, Any]:
    """A finding for the record; `epsilon` is the radius that it is about, None for the model or the whole curve."""
    return {"epsilon": epsilon, **found._asdict()}


def check_attacks(correct: Correct, radii: Sequence[float]) -> list[dict[str, Any]]:
    """What looks suspicious about PGD: beside the other attacks at each radius, and as the radius grows."""
    findings = []
    for epsilon in radii:
        same = _same({name: stands for (name, radius), stands in correct.items() if radius == epsilon})
        found = evaluation.check_results(
            same[PGD],
            one_step=same[FGSM],
            larger_budget=same.get(PGD_LONG),
            black_box={name: same[name] for name in (TRANSFER, SQUARE)},
        )
        findings += [finding(epsilon, one) for one in found]
    curve = _same({0.0: correct[CLEAN, 0.0]} | {radius: correct[PGD, radius] for radius in (*radii, WHOLE_RANGE)})
    stands = np.stack(list(curve.values()), axis=-1)
    found = evaluation.check_results(
        curve[radii[0]], unbounded=curve[WHOLE_RANGE], epsilons=np.array(list(curve)), curve=stands
    )
    return findings + [finding(None, one) for one in found]
