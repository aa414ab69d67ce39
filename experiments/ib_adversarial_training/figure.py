"""The figure of IB and adversarial training: what the paper's attacks leave, and what all attacks leave together."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from experiments.core.plots import Path, plt, save
from experiments.ib_adversarial_training import attack_settings as names
from experiments.ib_adversarial_training import paper, table

Groups = Mapping[tuple[str, float, str], Sequence[Mapping[str, Any]]]


def draw(path: Path, groups: Groups) -> None:
    """Information and accuracy on attacked images against beta, or of one beta accuracy by attack; and all attacks.

    Args:
      path: PNG file to write.
      groups: records by objective, beta and adversary, as `table.read` gives them.
    """
    betas = sorted({beta for _, beta, _ in groups if beta})
    widths = (1, 1, 1.5) if len(betas) > 1 else (2, 1.5)
    figure, axes = plt.subplots(1, len(widths), figsize=(14, 4.2), layout="constrained", width_ratios=widths)
    if len(betas) > 1:
        _against_beta(axes[0], groups, betas, "rate_bits", "I(X';T') upper bound, bits")
        _against_beta(axes[1], groups, betas, "accuracy", "accuracy under attack, %")
        if axes[0].get_legend_handles_labels()[0]:
            axes[0].legend(frameon=False, fontsize="small")
    else:
        _by_attack(axes[0], groups)
    _worst(axes[-1], groups)
    figure.legend(
        *axes[-1].get_legend_handles_labels(), loc="outside lower right", ncols=3, frameon=False, fontsize="small"
    )
    save(figure, path)


def _against_beta(axis: Axes, groups: Groups, betas: Sequence[float], name: str, label: str) -> None:
    for index, (adversary, attack) in enumerate(table.COLUMN_OF.items()):
        for against, style in [("none", "--"), (adversary, "-")]:
            own = [groups.get(("vib", beta, against), []) for beta in betas]
            values = [[table.value(record, attack, table.RADIUS, name) for record in records] for records in own]
            if not all(values):
                continue
            means, errors = ([float(of(row)) for row in values] for of in (np.mean, np.std))
            text = f"{attack}, trained against it" if against != "none" else f"{attack}, trained on clean"
            axis.errorbar(betas, means, errors, fmt=f"o{style}", markersize=4, capsize=2, color=f"C{index}", label=text)
    axis.set(xscale="log", xlabel="beta", ylabel=label, ylim=(0, None))
    axis.set_title(f"VIB, radius {table.RADIUS:g}, one sample of z", fontsize="medium")


def _by_attack(axis: Axes, groups: Groups) -> None:
    places, width = np.arange(len(paper.COLUMNS)), 0.8 / len(groups)
    for index, key in enumerate(table.order(groups)):
        rows = [[table.value(record, *column) for record in groups[key]] for column in paper.COLUMNS]
        means, errors = ([float(of(row)) for row in rows] for of in (np.mean, np.std))
        axis.bar(places + index * width, means, width, yerr=errors, capsize=2, label=table.title(key))
    heads = [attack if radius is None else f"{attack} {radius:g}" for attack, radius in paper.COLUMNS]
    axis.set_xticks(places + width * (len(groups) - 1) / 2, heads, fontsize="small")
    axis.set(ylabel="accuracy, %", ylim=(0, 100))
    axis.legend(frameon=False, fontsize="small")
    axis.set_title("one sample of z", fontsize="medium")


def _worst(axis: Axes, groups: Groups) -> None:
    keys = table.order(groups)
    radii = [row["epsilon"] for row in groups[keys[0]][0]["honest"]]
    places, height = np.arange(len(keys)), 0.8 / (len(radii) + 1)
    for index, radius in enumerate([None, *radii]):
        attack = names.CLEAN if radius is None else names.WORST
        rows = [[table.beside(record, attack, radius or radii[0]) for record in groups[key]] for key in keys]
        label = "clean" if radius is None else f"worst of all at {radius:.2g}"
        shade, errors = "0.8" if radius is None else f"C{index - 1}", [float(np.std(row)) for row in rows]
        means = [float(np.mean(row)) for row in rows]
        axis.barh(places + index * height, means, height, xerr=errors, color=shade, label=label)
    axis.set(xlabel="accuracy, %", xlim=(0, 100))
    axis.set_yticks(places + height * len(radii) / 2, [table.title(key) for key in keys], fontsize="small")
    axis.invert_yaxis()
    axis.set_title("all attacks of a radius together, EOT and Square among them", fontsize="medium")
