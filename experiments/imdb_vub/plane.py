"""The paper's Figure 3: where training is in the information plane after each epoch, and whether it goes in cycles."""

import functools
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.core.claims import Claim
from experiments.core.plots import Figure
from experiments.core.records import Model
from experiments.core.report import Claims, Text

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

BETA = 1e-3
"""The paper's; of the betas that there are the nearest is drawn."""
COLORS = ("tab:orange", "gray", "gold", "tab:green", "tab:red")
"""Of each fifth of the epochs: of 150, the paper's intervals of 30."""
_RISE = 3  # epochs in a row: what counts as a phase in which the rate rises
_LEAST = 2 * _RISE * len(COLORS)  # epochs: with fewer a fifth cannot hold a rise and a fall
_SHUFFLES = 2000


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


def cycle_sections(models: Sequence[tuple[str, Sequence[Model]]]) -> list[Any]:
    """The paper's claim on the way through the plane, of those whose training was long enough to tell."""
    claims = [claim for name, own in models if (claim := cycles(name, own))]
    text = (
        "The paper sees recurring phases in which distortion falls and then the rate rises. A phase is a stretch of at "
        "least three epochs in each of which H(R) - H(Z|X) rises, and one alone recurs nowhere; by chance: of the same "
        "changes in a random order within each fifth of training, 2,000 times."
    )
    return [Text(text, "Cycles in the information plane"), Claims(claims, "")] if claims else []


def cycles(name: str, models: Sequence[Model]) -> Claim | None:
    """The paper's "recurring patterns of distortion reduction followed by rate increase", as a test.

    A phase is a stretch of three epochs or more in each of which the estimate of I(X;Z) rises; one alone recurs
    nowhere and counts as none. The epochs in phases are counted, and those of the same changes in another order,
    shuffled within each fifth of training, so that a rate that falls at first and levels out has no phases by that.

    Args:
      name: of the objective.
      models: its models, those nearest to beta = 0.001 are taken.

    Returns:
      The claim, by the one-sided p-value of the shuffles; None where training was too short.
    """
    beta, own = _nearest(models)
    if not own or min(len(model.details.get("history", {}).get("epoch", ())) for model in own) < _LEAST:
        return None
    rng, found, chance = np.random.default_rng(0), [], []
    for model in own:
        epochs, changes = np.array(model.details["history"]["epoch"]), np.diff(estimate(model)[0])
        parts = np.split(changes, np.flatnonzero(np.diff(_fifth(epochs)[1:])) + 1)
        found.append(_phases(changes))
        chance.append([_phases(np.concatenate([*map(rng.permutation, parts)])) for _ in range(_SHUFFLES)])
    at_least = np.sum(chance, 0) >= np.sum(found)
    return Claim(
        f"{name}, beta = {beta:g}: phases recur in which the rate rises", found, np.mean(chance, 1), unit="epochs",
        p_value=(1 + at_least.sum()) / (1 + _SHUFFLES),
        ours=f"{np.mean(found):.1f} of {epochs[-1]:g} epochs in phases, by chance {np.mean(chance):.1f}",
    )  # fmt: skip


def _phases(changes: np.ndarray) -> int:
    """How many epochs are in phases, of which one is none."""
    edges = np.diff(np.concatenate([[0], changes > 0, [0]]).astype(int))
    lengths = np.flatnonzero(edges < 0) - np.flatnonzero(edges > 0)
    phases = lengths[lengths >= _RISE]
    return int(phases.sum()) if len(phases) > 1 else 0


def _nearest(models: Sequence[Model]) -> tuple[float, list[Model]]:
    """The beta nearest to the paper's, and its models."""
    betas = (model.settings["beta"] for model in models)
    beta = min(betas, key=lambda beta: abs(math.log(beta / BETA)) if beta else math.inf, default=BETA)
    return beta, [model for model in models if model.settings["beta"] == beta]


def _fifth(epochs: np.ndarray) -> np.ndarray:
    """In which fifth of training each epoch is."""
    return np.minimum((len(COLORS) * (epochs - 1) / epochs[-1]).astype(int), len(COLORS) - 1)


def _plane(name: str, models: Sequence[Model], axes: "Axes", frame: "pd.DataFrame") -> None:
    nearest, own = _nearest(models)
    for model in own:
        history, (rate, label) = model.details["history"], estimate(model)
        inverse, epochs = 1 / np.array(history["distortion"]), np.array(history["epoch"])
        axes.plot(rate, inverse, color="0.8", linewidth=0.6, zorder=1)
        fifth = _fifth(epochs)
        for place in np.unique(fifth):
            own = fifth == place
            told = f"epochs {epochs[own][0]:g} to {epochs[own][-1]:g}"
            axes.scatter(rate[own], inverse[own], color=COLORS[place], s=14, zorder=2, label=told)
    handles = dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
    axes.legend(handles.values(), handles.keys(), fontsize="x-small")
    axes.set(title=f"{name}, beta = {nearest:g}", xlabel=label, ylabel="1 / training cross-entropy, 1/nats")
