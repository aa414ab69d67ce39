"""Figures of the theorems: the two Gaussians with who has adversarial examples, and the slack of every inequality."""

import pathlib
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from experiments.core.plots import save
from experiments.theorems.table import THEOREM_NAMES
from experiments.theorems.toy import toy_problem

_STYLES = (("C0", "-", 4.5), ("C1", "--", 2.0), ("C3", "-", 1.8), ("C0", ":", 1.8), ("C1", "-.", 1.8))


_MOST = 1e6  # slack beyond it is not drawn


def draw(folder: pathlib.Path, record: dict[str, Any]) -> None:
    """Writes toy.png and slack.png."""
    toy_figure(folder / "toy.png", record)
    slack_figure(folder / "slack.png", record)


def toy_figure(path: pathlib.Path, record: dict[str, Any]) -> None:
    """Left: densities, levels of T and boundaries. Right: the share of points with an adversarial example.

    Args:
      path: PNG file to write.
      record: of `experiments.theorems`.
    """
    problem, toy = toy_problem(), record["toy"]
    oracle = problem.oracle()
    points, labels = problem.sample(np.random.default_rng(0), 240)
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5.4), layout="constrained")
    limit = 4.2
    axis = np.linspace(-limit, limit, 200)
    plane = np.stack(np.meshgrid(axis, axis), -1) @ oracle.weights
    levels = left.contour(axis, axis, plane - oracle.threshold, levels=np.arange(-12, 13, 2), colors="0.8",
                          linewidths=0.8, linestyles="-")  # fmt: skip
    left.clabel(levels, fmt="%d", fontsize=7)
    for label, marker in ((0, "o"), (1, "^")):
        left.scatter(*points[labels == label].T, s=14, marker=marker, color=("C4", "C2")[label], alpha=0.7, lw=0,
                     label=f"y = {label}")  # fmt: skip
    handles = []
    for row, (colour, dash, width) in zip(toy["rows"], _STYLES, strict=True):
        weights, threshold = np.array(row["weights"]), row["threshold"]
        along = np.array([-weights[1], weights[0]]) / np.linalg.norm(weights)
        ends = threshold * weights / (weights @ weights) + np.array([[-9.0], [9.0]]) * along
        left.plot(*ends.T, dash, color=colour, linewidth=width)
        shares = 100.0 * np.array(row["shares"])
        handles += right.plot(toy["epsilons"], shares, dash, color=colour, linewidth=width, label=row["name"])
    left.set(xlim=(-limit, limit), ylim=(-limit, limit), xlabel="$x_1$", ylabel="$x_2$", aspect="equal",
             title="Boundaries, over levels of $T(x) = \\theta^\\top x - c$")  # fmt: skip
    left.legend(frameon=True, loc="upper left", fontsize="small", framealpha=0.9)
    right.set(xlabel="epsilon, L2", ylabel="points with $f(x') \\neq o(x')$ within epsilon, %", ylim=(-2, 101),
              xlim=(0, max(toy["epsilons"])), title="Adversarial examples in the sense of the oracle")  # fmt: skip
    count = record["config"]["num_training"]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False, fontsize="small",
                  title=f"statistic, decoder (learned: from {count} points; left one training set, right their mean)",
                  title_fontsize="small")  # fmt: skip
    save(figure, path)


def slack_figure(path: pathlib.Path, record: dict[str, Any]) -> None:
    """For each inequality the bound over what it bounds: 5 to 95 %, the quartiles, the median and the least.

    Args:
      path: PNG file to write.
      record: of `experiments.theorems`.
    """
    rows = record["inequalities"]
    figure, axis = plt.subplots(figsize=(9, 0.42 * len(rows) + 1.6), layout="constrained")
    for height, row in enumerate(reversed(rows)):
        low, first, middle, third, high = (2 * _MOST if value is None else value for value in row["quantiles"])
        colour = "C3" if row["violations"] else "C0"
        axis.plot([low, high], [height, height], color=colour, linewidth=1.2)
        axis.plot([first, third], [height, height], color=colour, linewidth=7, alpha=0.45, solid_capstyle="butt")
        axis.plot(middle, height, "|", color=colour, markersize=13, markeredgewidth=2)
        axis.plot(row["least"], height, "o", color=colour, markersize=4)
        if row["violations"]:
            text = f"{row['violations']} of {row['problems']} violated"
            axis.text(0.99, height + 0.3, text, transform=axis.get_yaxis_transform(), ha="right", va="center",
                      fontsize="small", color=colour)  # fmt: skip
    axis.axvline(1.0, color="black", linewidth=1)
    axis.set(xscale="log", yticks=range(len(rows)), xlabel="bound / value (log scale); left of 1 the inequality fails",
             yticklabels=[THEOREM_NAMES[row["name"]] for row in reversed(rows)], ylim=(-0.7, len(rows) - 0.3),
             xlim=(0.1, _MOST), title="Slack on exact problems: least (dot), 5 to 95 %, quartiles, median")  # fmt: skip
    axis.grid(axis="x", color="0.92")
    axis.set_axisbelow(True)
    save(figure, path)
