"""The figures of `experiments.imdb_vub`: the way through the information plane, and success of attacks against beta."""

import math
import pathlib
from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from experiments.imdb_vub import summary

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
    """Accuracy, success of each attack and of transferred texts, and words changed, with the deviation over seeds.

    Args:
      path: of the PNG.
      found: records by objective.
    """
    attacks = list(next(iter(found.values()))["members"][0]["attacks"])
    columns = 1 + len(attacks)
    figure, axes = plt.subplots(2, columns, figsize=(4.2 * columns, 6.4), sharex="col", layout="constrained")
    for axis, answer, title in zip(axes[:, 0], ("one", "avg"), ("one sample", "mean of samples"), strict=True):
        _draw(axis, found, lambda one, answer=answer: summary.accuracy(one, answer=answer))
        axis.set(ylabel="test accuracy, %", title=f"accuracy, {title} of z")
    for (above, below), attack in zip(axes[:, 1:].T, attacks, strict=True):
        _draw(above, found, lambda one, attack=attack: summary.success(one, attack), attack)
        _draw(above, found, lambda one, attack=attack: one["attacks"][attack]["transfer"]["success_rate"], attack, ":")
        above.set(ylabel="success, %", title=f"{TITLES[attack]}: success", ylim=(0, 103))
        _draw(below, found, lambda one, attack=attack: summary.words_changed(one, attack), attack)
        below.set(ylabel="of a text's words, %", title=f"{TITLES[attack]}: words changed", ylim=(0, None))
    for axis in axes[-1]:
        axis.set(xlabel="beta", xscale="log")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    handles += axes[0, -1].plot([], [], color="0.4", linestyle=":")
    labels.append("made on a vanilla head")
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
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
