"""The paper's Figure 3: where training is in the information plane after each epoch, in its axes and colours."""

import functools
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from experiments.core.plots import Figure
from experiments.core.records import Model

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

BETA = 1e-3
"""The paper's; of the betas that there are the nearest is drawn."""
COLORS = ("tab:orange", "gray", "gold", "tab:green", "tab:red")
"""Of each fifth of the epochs: of 150, the paper's intervals of 30."""


def information_planes(models: Sequence[tuple[str, Sequence[Model]]], file: str) -> Iterator[Figure]:
    """A figure with a panel for each objective, nothing without models.

    Args:
      models: the name of an objective, and its models.
      file: name of the figure.
    """
    panels = [functools.partial(_plane, name, own) for name, own in models if own]
    if panels:
        alt = "1 / cross-entropy of training against what the codes hold of the texts, in each epoch."
        yield Figure(file, panels, title="Figure 3", size=(4.6 * len(panels), 3.8), alt=alt)


def estimate(model: Model) -> tuple[np.ndarray, str]:
    """What stands for I(X;Z) in each epoch, in bits, and its name.

    The paper takes H(R) - H(Z|X), of R as the standard normal prior, which bounds I(X;Z) on neither side. Records of
    before the entropy was kept have the rate, an upper bound.
    """
    history = model.details["history"]
    if "entropy_zx" not in history:
        return np.array(history["rate"]) / math.log(2), "rate, bits"
    prior = 0.5 * model.details["latent_dim"] * math.log(2 * math.pi * math.e)
    return (prior - np.array(history["entropy_zx"])) / math.log(2), "H(R) - H(Z|X), bits"


def _plane(name: str, models: Sequence[Model], axes: "Axes", frame: "pd.DataFrame") -> None:
    nearest = min((model.settings["beta"] for model in models), key=lambda beta: abs(math.log(beta / BETA)))
    for model in (model for model in models if model.settings["beta"] == nearest):
        history, (rate, label) = model.details["history"], estimate(model)
        inverse, epochs = 1 / np.array(history["distortion"]), np.array(history["epoch"])
        axes.plot(rate, inverse, color="0.8", linewidth=0.6, zorder=1)
        fifth = np.minimum((len(COLORS) * (epochs - 1) / epochs[-1]).astype(int), len(COLORS) - 1)
        for place in np.unique(fifth):
            own = fifth == place
            told = f"epochs {epochs[own][0]:g} to {epochs[own][-1]:g}"
            axes.scatter(rate[own], inverse[own], color=COLORS[place], s=14, zorder=2, label=told)
    handles = dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
    axes.legend(handles.values(), handles.keys(), fontsize="x-small")
    axes.set(title=f"{name}, beta = {nearest:g}", xlabel=label, ylabel="1 / training cross-entropy, 1/nats")
