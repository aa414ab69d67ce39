"""The figures of `experiments.imdb_vub`: the way through the information plane, and success of attacks against beta."""

import math
import pathlib
from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from experiments import imdb_vub_summary as summary

COLOURS = {"cross_entropy": "black", "vib": "tab:blue", "vub": "tab:orange", "ceb": "tab:green"}
TITLES = {"deep_word_bug": "DeepWordBug", "pwws": "PWWS"}


def information_plane(path: pathlib.Path, found: Mapping[str, Mapping[str, Any]], beta: float = 1e-3) -> None:
    """The paper's Figure 3: rate and 1 / cross-entropy of training in each epoch, for VIB and VUB of one beta.

    The paper takes H(R) - H(Z|X) for I(X;Z), which bounds it on neither side; the rate is an upper bound.

    Args:
      path: of the PNG.
      found: records by objective.
      beta: the nearest one on a log scale is drawn.
    """
    names = [name for name in ("vib", "vub") if name in found]
    if not names:
        return
    figure, axes = plt.subplots(1, len(names), figsize=(4.6 * len(names), 3.8), squeeze=False, layout="constrained")
    for axis, name in zip(axes[0], names, strict=True):
        groups = summary.groups(found[name]["members"])
        nearest = min((value for value in groups if value), key=lambda value: abs(math.log(value / beta)))
        for member in groups[nearest]:
            history = member["history"]
            rate, inverse = np.array(history["rate"]) / math.log(2), 1 / np.array(history["distortion"])
            axis.plot(rate, inverse, color="0.8", linewidth=0.6, zorder=1)
            dots = axis.scatter(rate, inverse, c=history["epoch"], cmap="autumn_r", s=14, zorder=2)
        axis.set(title=f"{name.upper()}, beta = {nearest:g}", xlabel="rate, bits")
        figure.colorbar(dots, ax=axis, label="epoch")
    axes[0][0].set_ylabel("1 / training cross-entropy, 1/nats")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def robustness(path: pathlib.Path, found: Mapping[str, Mapping[str, Any]]) -> None:
    """Accuracy, and success of each attack and of transferred texts, against beta, with the deviation over seeds."""
    attacks = list(next(iter(found.values()))["members"][0]["attacks"])
    figure, axes = plt.subplots(1, 1 + len(attacks), figsize=(4.2 * (1 + len(attacks)), 3.6), layout="constrained")
    _draw(axes[0], found, summary.accuracy)
    axes[0].set(ylabel="test accuracy with one sample of z, %", title="accuracy")
    for axis, attack in zip(axes[1:], attacks, strict=True):
        _draw(axis, found, lambda one, attack=attack: summary.success(one, attack), attack)
        _draw(axis, found, lambda one, attack=attack: one["attacks"][attack]["transfer"]["success_rate"], attack, ":")
        axis.set(ylabel="success, %", title=TITLES[attack], ylim=(0, 103))
    for axis in axes:
        axis.set(xlabel="beta", xscale="log")
    axes[-1].plot([], [], color="0.4", linestyle=":", label="made on a vanilla head")
    handles = [handle for axis in (axes[0], axes[-1]) for handle in axis.get_legend_handles_labels()[0]]
    labels = [label for axis in (axes[0], axes[-1]) for label in axis.get_legend_handles_labels()[1]]
    named = dict(zip(labels, handles, strict=True))
    figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=len(named))
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _draw(
    axis: Any, found: Mapping[str, Mapping[str, Any]], measure: Any, attack: str | None = None, style: str = "-"
) -> None:
    for name, record in found.items():
        groups = {
            beta: np.array([measure(one) for one in group], float)
            for beta, group in summary.groups(record["members"]).items()
            if attack is None or attack in group[0]["attacks"]
        }
        if not groups:
            continue
        label = None if style != "-" else "vanilla" if name == "cross_entropy" else name.upper()
        if None in groups:
            axis.axhline(np.nanmean(groups[None]), color=COLOURS[name], linestyle=style, linewidth=1, label=label)
            continue
        means = [np.nanmean(values) for values in groups.values()]
        spread = [np.std(values, ddof=1) if len(values) > 1 and style == "-" else 0.0 for values in groups.values()]
        axis.errorbar(
            list(groups), means, spread, color=COLOURS[name], linestyle=style, marker=".", capsize=2, label=label
        )
