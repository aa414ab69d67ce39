"""The figures of `experiments.mnist_robustness`, drawn from its records."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from experiments.core.plots import Path, save
from experiments.mnist_robustness import settings as names
from experiments.mnist_robustness.attack import ONE, ZERO
from experiments.mnist_robustness.summary import unpack
from experiments.mnist_robustness.table import TITLES, Groups, Record, accuracy, attack_row, relative_accuracy

PAPER_EPSILONS = (0.35, 0.4, 0.45, 0.5)
_FRAMES = {ONE: ("tab:red", "a one: the attack succeeded"), ZERO: ("tab:green", "still a zero")}
_MARKERS = ".xo+sv^D*"  # lines lie on top of each other
_OTHER = ("tab:purple", "another class")


def draw_all(folder: pathlib.Path, groups: Groups) -> None:
    """Every figure of a folder of records."""
    attacked_zeros(folder / "figure3.png", groups, names.CW_ONE_TARGETED)
    attacked_zeros(folder / "figure3_eot.png", groups, names.CW_TARGETED)
    fgsm_ratios(folder / "figure5.png", groups)
    minimal_attacks(folder / "figure6.png", groups)
    every_attack(folder / "figure_honest.png", groups)


def attacked_zeros(path: Path, groups: Groups, attack: str) -> None:
    """The paper's Figure 3: zeros that are to become ones, a column for each model with seed 0.

    Args:
      path: PNG file to write.
      groups: records by model.
      attack: which of the two attacks in `zeros`.
    """
    columns = {name: record["zeros"] for name, group in groups.items() for record in group if record["zeros"]}
    if not columns:
        return
    first = next(iter(columns.values()))
    originals, count = unpack(first["originals"], first["shape"]), first["shape"][0]
    figure, axes = plt.subplots(
        count, 1 + len(columns), figsize=(1.05 * (1 + len(columns)), 1.18 * count), layout="constrained", squeeze=False
    )
    for axis, image in zip(axes[:, 0], originals, strict=True):
        _image(axis, image)
    axes[0, 0].set_title("original", fontsize=8)
    for column, (name, zeros) in zip(axes[:, 1:].T, columns.items(), strict=True):
        found = zeros[attack]
        images = unpack(found["pixels"], zeros["shape"])
        column[0].set_title(name.replace(", ", "\n"), fontsize=8)
        for axis, image, answer, distance in zip(column, images, found["answers"], found["l2"], strict=True):
            _image(axis, image, _FRAMES.get(answer, _OTHER)[0])
            axis.set_xlabel(f"{distance:.2f}" if distance > 0 else "nothing found", fontsize=7, labelpad=1)
    for color, label in (*_FRAMES.values(), _OTHER):
        axes[0, 0].plot([], [], "s", markerfacecolor="none", markeredgecolor=color, markeredgewidth=2, label=label)
    figure.legend(loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    samples = "1 sample" if attack == names.CW_ONE_TARGETED else "many samples"
    figure.suptitle(f"Carlini-Wagner L2 from zero to one, {samples} of z in each gradient; L2 distances", fontsize=9)
    save(figure, path)


def fgsm_ratios(path: Path, groups: Groups) -> None:
    """The paper's Figure 5: accuracy of VIB under FGSM over that of each baseline, against beta.

    Two rows, for the two units that the paper's epsilon may have; a gap where the baseline has no right answer left.

    Args:
      path: PNG file to write.
      groups: records by model.
    """
    baselines = {names.DETERMINISTIC: "deterministic", names.DROPOUT: "dropout"}
    figure, axes = plt.subplots(2, 2, figsize=(10, 7), layout="constrained")
    for column, (baseline, title) in zip(axes.T, baselines.items(), strict=True):
        betas, ratios = relative_accuracy(groups, baseline)
        for axis, (units, width) in zip(column, {"[0, 1]": 1, "[-1, 1]": 2}.items(), strict=True):
            drawn = False
            for index, epsilon in enumerate(PAPER_EPSILONS):
                for attack, style in ((names.FGSM_ONE, {"marker": "."}), (names.FGSM, {"marker": "x", "ls": "--"})):
                    label = f"{epsilon:g}" if attack == names.FGSM_ONE else f"{epsilon:g}, averaged gradients"
                    values = ratios.get((attack, epsilon / width))
                    if values is not None:
                        _bars(axis, betas, values, label=label, color=f"C{index}", **style)
                        drawn |= bool(np.isfinite(values).any())
            axis.axhline(1.0, color="black", linewidth=0.8)
            if not drawn:
                axis.text(0.5, 0.5, f"{title}: no right answer left", transform=axis.transAxes, ha="center")
            axis.set(xlim=(min(betas) / 2, 2 * max(betas)), ylim=(0, None), xscale="log", xlabel="beta")
            axis.set(ylabel="accuracy under FGSM, relative", title=f"VIB / {title}, epsilon for inputs in {units}")
    handles, labels = max((axis.get_legend_handles_labels() for axis in axes.flat), key=lambda pair: len(pair[1]))
    figure.legend(
        handles, labels, loc="outside lower center", ncols=4, title="epsilon", fontsize="small", frameon=False
    )
    save(figure, path)


def minimal_attacks(path: Path, groups: Groups) -> None:
    """The paper's Figure 6: accuracy under Carlini-Wagner against beta, and how far it goes.

    Args:
      path: PNG file to write.
      groups: records by model.
    """
    vibs, baselines = _split(groups)
    betas = [group[0]["beta"] for group in vibs]
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    curves = [
        (names.CW_ONE_TARGETED, "C0", "-", "targeted, 1 sample"),
        (names.CW_ONE, "C2", "-", "untargeted, 1 sample"),
        (names.CW_TARGETED, "C0", "--", "targeted, averaged gradients"),
        (names.CW, "C2", "--", "untargeted, averaged gradients"),
    ]
    for attack, color, line, label in curves:
        style: dict[str, Any] = {"color": color, "linestyle": line, "marker": ".", "label": label}
        _bars(left, betas, _table(vibs, lambda record, a=attack: attack_row(record, a)["accuracy"]), **style)
        if attack in (names.CW, names.CW_TARGETED):
            _bars(right, betas, _table(vibs, lambda record, a=attack: attack_row(record, a)["median_l2"]), **style)
    for index, (name, group) in enumerate(baselines.items()):
        line = ("--", ":")[index % 2]
        for attack in (names.CW, names.CW_TARGETED):
            for axis, key in ((left, "accuracy"), (right, "median_l2")):
                level = _table([group], lambda record, a=attack, k=key: attack_row(record, a)[k]).mean()
                axis.axhline(
                    level, color="red", linestyle=line, linewidth=1, label=name if attack == names.CW else None
                )
    limits = (min(betas) / 2, 2 * max(betas))
    left.set(xlim=limits, ylim=(-0.03, 1.03), xscale="log", xlabel="beta", ylabel="accuracy under Carlini-Wagner L2")
    right.set(xlim=limits, ylim=(0, None), xscale="log", xlabel="beta", ylabel="median L2 distance")
    right.set_title("a failure counts as infinitely far", fontsize=10)
    figure.legend(
        *left.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize="small", frameon=False
    )
    save(figure, path)


def every_attack(path: Path, groups: Groups) -> None:
    """Accuracy of every model under every attack at one radius: the lowest is what counts.

    Args:
      path: PNG file to write.
      groups: records by model.
    """
    first = next(iter(groups.values()))[0]
    radius, count = first["settings"]["radius"], first["same_images"][0]["num_images"]
    tried = next(row["accuracy"] for row in first["same_images"] if row["epsilon"] == radius)
    figure, axis = plt.subplots(figsize=(8, 4.2), layout="constrained")
    positions = np.arange(len(groups))
    is_vib = np.array([group[0]["objective"] == "vib" for group in groups.values()])
    for index, attack in enumerate(name for name in TITLES if name in tried):
        values = _table(list(groups.values()), lambda record, a=attack: accuracy(record, a, radius))
        style: dict[str, Any] = {"color": "black" if attack == names.WORST else f"C{index}", "marker": _MARKERS[index]}
        style["linewidth"] = 2.2 if attack == names.WORST else 1.2
        _bars(axis, positions[is_vib], values[is_vib], label=TITLES[attack], **style)
        _bars(axis, positions[~is_vib], values[~is_vib], **style | {"linestyle": "none"})
    axis.set_xticks(positions, [name.replace("VIB, beta = ", "") for name in groups], rotation=30, ha="right")
    axis.set(ylabel="accuracy", ylim=(0, 1.02), xlabel="baselines, and VIB by beta")
    axis.set_title(f"L-inf radius {radius:g}, first {count} test images", fontsize=10)
    figure.legend(loc="outside right center", fontsize="small", frameon=False)
    save(figure, path)


def _split(groups: Groups) -> tuple[list[Sequence[Record]], Mapping[str, Sequence[Record]]]:
    vibs = [group for group in groups.values() if group[0]["objective"] == "vib"]
    return vibs, {name: group for name, group in groups.items() if group[0]["objective"] != "vib"}


def _table(groups: Sequence[Sequence[Record]], value: Any) -> np.ndarray:
    """A number of each record, [groups, seeds]; NaN for what is missing or infinite."""
    table = np.full((len(groups), max(map(len, groups))), np.nan)
    for row, group in zip(table, groups, strict=True):
        row[: len(group)] = [np.nan if value(record) is None else value(record) for record in group]
    return table


def _bars(axis: Axes, places: Sequence[float] | np.ndarray, values: np.ndarray, **style: Any) -> None:
    """The mean over seeds with its standard deviation; a gap where a seed has no finite value."""
    seeds = values.shape[1]
    axis.errorbar(places, values.mean(1), values.std(1, ddof=1) if seeds > 1 else None, capsize=2, **style)


def _image(axis: Axes, image: np.ndarray, frame: str = "0.7") -> None:
    axis.imshow(image, cmap="gray", vmin=0, vmax=1)
    axis.set(xticks=[], yticks=[])
    for spine in axis.spines.values():
        spine.set(color=frame, linewidth=2.5)
