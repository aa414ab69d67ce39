"""The paper's Figures 3 and 4: ten zeros, each attacked to become a one, and how large what was added is."""

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.core.pictures import draw, unpack
from experiments.core.plots import Figure
from experiments.core.records import Record
from experiments.core.report import Row
from experiments.mnist_robustness.settings import DETERMINISTIC, DROPOUT, VIB

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

NUM_ZEROS, ZERO, ONE = 10, 0, 1
FRAMES = {ONE: ("tab:red", "a one: the attack succeeded"), ZERO: ("tab:green", "still a zero")}
OTHER = ("tab:purple", "another class")
NORMS = {
    "L0": lambda change: np.count_nonzero(change, axis=1),
    "L2": lambda change: np.linalg.norm(change, axis=1),
    "L-inf": lambda change: np.abs(change).max(1),
}
"""Of perturbations [n, pixels] in 256 levels: pixels that change at all, their length, the largest change."""

Zeros = Mapping[str, Any]
"""Of a model: `shape` of the images, `originals`, and for each attack `pixels`, `answers` and `l2`."""


def figures(records: Sequence[Record], rows: Sequence[Row], ways: tuple[str, str]) -> list[Figure]:
    """Figure 3 with the first and the last of the attacks, by the names of their ways, and Figure 4 of the last."""
    first = [model for record in records for model in record.models if model.seed == 0 and model.details["zeros"]]
    zeros = {model.name: model.details["zeros"] for model in first}
    named = {row.label: row.frame for row in rows if row.frame is not None}
    found = {label: zeros[own["model"].iloc[0]] for label, own in named.items() if own["model"].iloc[0] in zeros}
    if not found:
        return []
    alt = "Zeros that were to become ones, a column for each model; the frames' colours say what they were taken for."
    size = (1.05 * (1 + len(found)), 1.18 * max(each["shape"][0] for each in found.values()))
    title = "Carlini-Wagner L2 from zero to one, {}; L2 distances"
    figure = functools.partial(Figure, alt=alt, size=size)
    one, many = (functools.partial(_draw_zeros, found, place) for place in (0, -1))
    made = [
        figure("figure3.png", title="Figure 3", suptitle=title.format(ways[0]), draw=one),
        figure("figure3_eot.png", suptitle=title.format(ways[1]), draw=many),
    ]
    kinds = {label: (row.key, named[label]["beta"].iloc[0]) for row in rows if (label := row.label) in found}
    baselines = {kind: found[label] for label, (kind, _) in kinds.items() if kind in (DETERMINISTIC, DROPOUT)}
    vib = {beta: found[label] for label, (kind, beta) in kinds.items() if kind == VIB and beta > 0}
    if baselines and vib:
        panels = [functools.partial(_draw_norms, name, own, vib) for name, own in baselines.items()]
        alt = "L0, L2 and L-inf of what turned zeros into ones, over those of each baseline, against beta."
        made.append(Figure("figure4.png", panels, title="Figure 4", alt=alt, size=(9, 3.8)))
    return made


def norms(zeros: Zeros, place: int = -1) -> dict[str, float]:
    """The mean size of the perturbations that succeeded, in each norm; NaN where none did.

    Args:
      zeros: of a model.
      place: of the attack; by default the last.
    """
    attack, shape = zeros["attacks"][place], zeros["shape"]
    change = unpack(attack["pixels"], shape) - unpack(zeros["originals"], shape)
    change = change.reshape(shape[0], -1)[np.equal(attack["answers"], ONE)]
    return {name: float(np.mean(norm(change))) if len(change) else np.nan for name, norm in NORMS.items()}


def _draw_norms(name: str, baseline: Zeros, vib: Mapping[float, Zeros], axes: "Axes", _: "pd.DataFrame") -> None:
    """The paper's Figure 4: sizes over those of a baseline, against beta."""
    own, betas = norms(baseline), sorted(vib)
    for norm in NORMS:
        axes.plot(betas, [norms(vib[beta])[norm] / own[norm] for beta in betas], marker=".", label=norm)
    axes.axhline(1.0, color="0.7", linewidth=0.8)
    label = {DETERMINISTIC: "the deterministic network's"}.get(name, f"{name}'s")
    axes.set(xscale="log", xlim=(betas[0] / 2, 2 * betas[-1]), xlabel="beta", ylim=(0, None))
    axes.set_ylabel(f"size over {label}")
    axes.legend(frameon=False, fontsize="small")


def _draw_zeros(zeros: Mapping[str, Zeros], place: int, figure: "Canvas", _: "pd.DataFrame") -> None:
    first = next(iter(zeros.values()))
    axes = figure.subplots(first["shape"][0], 1 + len(zeros), squeeze=False)
    for axis, image in zip(axes[:, 0], unpack(first["originals"], first["shape"]), strict=True):
        draw(axis, image, "0.7")
    axes[0, 0].set_title("original", fontsize=8)
    for column, (name, each) in zip(axes[:, 1:].T, zeros.items(), strict=True):
        attacked = each["attacks"][place]
        images = unpack(attacked["pixels"], each["shape"])
        for axis, image, answer, distance in zip(column, images, attacked["answers"], attacked["l2"], strict=True):
            draw(axis, image, FRAMES.get(answer, OTHER)[0])
            axis.set_xlabel(f"{distance:.2f}" if distance > 0 else "nothing found", fontsize=7, labelpad=1)
        column[0].set_title(name.replace(", ", "\n"), fontsize=8)
    for color, label in (*FRAMES.values(), OTHER):
        axes[0, 0].plot([], [], "s", markerfacecolor="none", markeredgecolor=color, markeredgewidth=2, label=label)
    figure.legend(loc="outside lower center", ncols=3, fontsize=8, frameon=False)
