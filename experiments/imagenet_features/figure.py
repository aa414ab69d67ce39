"""The figure of `experiments.imagenet_features`, drawn from its records: accuracy, and robustness, against beta."""

from collections.abc import Callable, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from experiments.core.plots import Path, save
from experiments.imagenet_features import settings as names
from experiments.imagenet_features.table import Groups, Record, title

_COLORS = {"vib": "C0", "vub": "C1", "ceb": "C2"}
_BASELINES = {names.BACKBONE: ("black", ":"), names.DETERMINISTIC: ("gray", "--")}
Value = Callable[[Record], float | None]


def draw(path: Path, groups: Groups) -> None:
    """Left: accuracy with averaged answers and with one sample. Right: what attacks leave of it on the same images.

    Args:
      path: PNG file to write.
      groups: records by objective and beta.
    """
    first = next(iter(groups.values()))[0]
    figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4.6), layout="constrained")
    _panel(left, groups, lambda r: 1 - r["test"]["error_avg"], "averaged", "-", ".", baselines=True)
    _panel(left, groups, lambda r: 1 - r["test"]["error_one"], "1 sample", ":", "x")
    _panel(right, groups, _stands(names.WORST), "worst of all attacks", "-", ".", baselines=True)
    _panel(right, groups, _stands(names.FGSM_ONE), "FGSM, 1 sample", ":", "x")
    same, network = first["same_images"], first["backbone"]
    left.set(title=f"evaluation images ({first['data']['evaluation']['num_images']})", ylabel="accuracy")
    right.set(
        title=f"{same['num_images']} images, L-inf radius {same['epsilon']:g} of [0, 1]", ylabel="accuracy under attack"
    )
    for axis in (left, right):
        axis.set(xscale="log", xlabel="beta", ylim=(0, None))
        axis.legend(fontsize="small", frameon=False)
    note = "" if not first["departures"] else " (not the papers' setting)"
    figure.suptitle(f"Heads on {network['name']}, weights {network['weights']}, {first['settings']['dataset']}{note}")
    save(figure, path)


def _stands(attack: str) -> Value:
    return lambda record: record["same_images"]["accuracy"].get(attack)


def _panel(
    axis: Axes, groups: Groups, value: Value, what: str, line: str, marker: str, *, baselines: bool = False
) -> None:
    for objective, color in _COLORS.items():
        curves = {beta: group for (name, beta), group in groups.items() if name == objective and beta is not None}
        if curves:
            betas = sorted(curves)
            means, deviations = zip(*(_moments(curves[beta], value) for beta in betas), strict=True)
            style: dict[str, Any] = {"color": color, "linestyle": line, "marker": marker, "capsize": 2}
            axis.errorbar(betas, means, deviations, label=f"{objective.upper()}, {what}", **style)
    if baselines:
        for objective, (color, dashes) in _BASELINES.items():
            if (objective, None) in groups:
                mean, _ = _moments(groups[objective, None], value)
                axis.axhline(mean, color=color, linestyle=dashes, label=title(objective, None))


def _moments(group: Sequence[Record], value: Value) -> tuple[float, float]:
    """Mean and standard deviation over seeds; NaN where a value is missing."""
    found = np.array([np.nan if (number := value(record)) is None else number for record in group], float)
    return float(found.mean()), float(found.std(ddof=1)) if len(found) > 1 else 0.0
