"""Figures of single runs, drawn from records; other figures are in modules of their own beside this one."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib

matplotlib.use("Agg")  # a run draws to files, also where there is no screen

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.collections import EllipseCollection
from matplotlib.figure import Figure

_CHI2_95_TWO_DIMENSIONS = 5.991464547107979  # -2 log(0.05)
Path = str | os.PathLike[str]


def training_curves(path: Path, history: Sequence[Mapping[str, Any]], num_samples: int, title: str) -> None:
    """Error and information against the epoch.

    Args:
      path: PNG file to write.
      history: rows with `epoch` and `test`, the summary of `evaluation.summarise`.
      num_samples: samples behind `error_avg`.
      title: of the figure.
    """
    epochs = [row["epoch"] for row in history]
    tests = [row["test"] for row in history]
    stochastic = "rate_bits" in tests[-1]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    curves = {"error_mean": "at the mean of p(z|x)"}
    if stochastic:
        curves = {"error_one": "1 sample", "error_avg": f"{num_samples} samples"}
    for name, label in curves.items():
        left.plot(epochs, [100 * test[name] for test in tests], marker=".", label=label)
    left.set(xlabel="epoch", ylabel="test error, %", ylim=(0, None))
    left.legend(frameon=False)
    (line,) = right.plot(epochs, [test["information_zy_bits"] for test in tests], marker=".", color="C2")
    right.set(xlabel="epoch", ylabel="I(Z;Y) lower bound, bits")
    right.yaxis.label.set_color(line.get_color())
    if stochastic:
        rates = right.twinx()
        rates.plot(epochs, [test["rate_bits"] for test in tests], marker=".", color="C3")
        rates.set_ylabel("I(X;Z) upper bound, bits", color="C3")
        rates.set_ylim(0, None)
    figure.suptitle(title)
    save(figure, path)


def robustness_curves(path: Path, rows: Sequence[Mapping[str, Any]], clean_accuracy: float, title: str) -> None:
    """Accuracy against epsilon, a panel for each norm and a line for each attack.

    Args:
      path: PNG file to write.
      rows: with `attack`, `norm`, `epsilons` and `accuracy`.
      clean_accuracy: accuracy at radius 0 on the same images.
      title: of the figure.
    """
    norms = list(dict.fromkeys(row["norm"] for row in rows))
    figure, axes = plt.subplots(1, len(norms), figsize=(4.5 * len(norms), 3.4), layout="constrained", squeeze=False)
    for axis, norm in zip(axes[0], norms, strict=True):
        for row in (row for row in rows if row["norm"] == norm):
            order = np.argsort(row["epsilons"])
            epsilons = [0.0, *np.asarray(row["epsilons"])[order]]
            accuracy = 100 * np.array([clean_accuracy, *np.asarray(row["accuracy"])[order]])
            axis.plot(epsilons, accuracy, marker=".", label=row["attack"])
        axis.set(xlabel=f"epsilon, {norm}", ylabel="accuracy, %", ylim=(0, 100))
        axis.legend(frameon=False)
    figure.suptitle(title)
    save(figure, path)


def latent_plane(
    path: Path,
    codes: tuple[np.ndarray, np.ndarray],
    labels: np.ndarray,
    decode_entropy: Callable[[np.ndarray], np.ndarray],
    title: str,
) -> None:
    """The paper's Figure 2: 95 % ellipses of p(z|x), coloured by class, over the entropy of q(y|z).

    Args:
      path: PNG file to write.
      codes: mean and standard deviation of the codes, each float [N, 2].
      labels: int [N].
      decode_entropy: from points [M, 2] to the entropy of q(y|z) there, in nats [M].
      title: of the figure.
    """
    mean, scale = map(np.asarray, codes)
    reach = np.sqrt(_CHI2_95_TWO_DIMENSIONS)
    low, high = (mean - reach * scale).min(0), (mean + reach * scale).max(0)
    margin = 0.03 * (high - low)
    xs, ys = (np.linspace(low[i] - margin[i], high[i] + margin[i], 200) for i in (0, 1))
    grid = np.stack(np.meshgrid(xs, ys), -1).reshape(-1, 2)
    background = np.asarray(decode_entropy(grid)).reshape(len(ys), len(xs)) / np.log(2.0)
    figure, axis = plt.subplots(figsize=(6.2, 5), layout="constrained")
    extent = (xs[0], xs[-1], ys[0], ys[-1])
    image = axis.imshow(background, origin="lower", extent=extent, cmap="gray_r", aspect="auto", vmin=0, alpha=0.6)
    figure.colorbar(image, label="H(q(y|z)), bits")
    widths, heights = 2 * reach * scale.T
    ellipses = EllipseCollection(
        widths,
        heights,
        np.zeros(len(mean)),
        units="xy",
        offsets=mean,
        offset_transform=axis.transData,
        facecolors="none",
        edgecolors=plt.get_cmap("tab10")(labels % 10),
        linewidths=0.7,
    )
    axis.add_collection(ellipses)
    for label in np.unique(labels):
        axis.plot([], [], "o", markersize=4, color=plt.get_cmap("tab10")(label % 10), label=str(label))
    figure.legend(title="class", fontsize="small", loc="outside left center", frameon=False)
    axis.set(xlabel="$z_1$", ylabel="$z_2$", xlim=extent[:2], ylim=extent[2:], title=title)
    save(figure, path)


def objectives_figure(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """Error, information and calibration on the held-out images against the rate, a line for each objective.

    Args:
      path: PNG file to write.
      records: results of runs with held-out images, with `config` and `validation`.
    """
    panels = [
        ("error_avg", 100, "held-out error, %"),
        ("information_zy_bits", 1, "I(Z;Y) lower bound, bits"),
        ("calibration_error", 100, "calibration error, %"),
    ]
    figure, axes = plt.subplots(1, len(panels), figsize=(11, 3.4), layout="constrained")
    names = dict.fromkeys(record["config"]["objective"] for record in records)
    for index, name in enumerate(names):
        group = [record["validation"] for record in records if record["config"]["objective"] == name]
        group.sort(key=lambda held_out: held_out["rate_bits"])
        rates = [held_out["rate_bits"] for held_out in group]
        for axis, (key, factor, label) in zip(axes, panels, strict=True):
            axis.plot(rates, [factor * held_out[key] for held_out in group], marker=".", color=f"C{index}", label=name)
            axis.set(xlabel="I(X;Z) upper bound, bits", ylabel=label, xscale="log")
    axes[0].legend(frameon=False)
    save(figure, path)


def exact_curves(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """The information plane of each exact problem: the least I(X;Z) for an I(Z;Y), and the trained codes above it.

    Args:
      path: PNG file to write.
      records: of `experiments.exact_ib`, with `problem`, `curve` and `objectives`.
    """
    figure, axes = plt.subplots(1, len(records), figsize=(5.5 * len(records), 4.2), layout="constrained")
    markers = {"vib": "o", "vub": "^", "ceb": "x"}
    for axis, record in zip(axes, records, strict=True):
        relevance, rates = record["curve"]["information_zy"], record["curve"]["information_xz"]
        axis.plot(relevance, rates, color="black", label="exact")
        axis.fill_between(relevance, rates, color="0.93", label="no code lies here")
        for index, (name, rows) in enumerate(record["objectives"].items()):
            relevance, rates = ([row[key] for row in rows] for key in ("information_zy", "information_xz"))
            axis.plot(relevance, rates, markers[name], color=f"C{index}", markerfacecolor="none", label=name)
        axis.set(xlabel="I(Z;Y), nats", ylabel="I(X;Z), nats", title=record["problem"], xlim=(0, None), ylim=(0, None))
        axis.legend(frameon=False)
    save(figure, path)


def save(figure: Figure, path: Path) -> None:
    """Writes a figure and forgets it."""
    figure.savefig(path, dpi=110)
    plt.close(figure)
