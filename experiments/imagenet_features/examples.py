"""Figures 7 and 8 of the VIB paper, 4 and 5 of the VUB paper: images, what attacks make of them, and the answers."""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.core.pictures import draw, pack, unpack
from experiments.core.plots import Figure
from experiments.core.records import Model, Record
from experiments.imagenet_features.settings import BACKBONE, DETERMINISTIC
from ib_jax.evaluation import AttackSpec

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure as Canvas

NUM_IMAGES = 4
_BETA = 0.01  # of the VUB paper's figures
_SIDE = 96  # most pixels a side that a record keeps
_FRAMES = {True: "tab:red", False: "tab:green"}


def keep(
    images: np.ndarray, labels: np.ndarray, made: Sequence[tuple[AttackSpec, np.ndarray, np.ndarray]]
) -> dict[str, Any]:
    """For a record: images [n, S, S, 3] in [0, 1], their labels, and of each attack its images and the answers to them.

    Large images lose rows and columns, not so their sizes L2 and L-inf.
    """
    stride = -(-images.shape[1] // _SIDE)
    small = images[:, ::stride, ::stride]
    attacks = []
    for spec, attacked, answers in made:
        change = (attacked - images).reshape(len(images), -1)
        attacks.append(
            {
                "attack": spec.attack,
                "epsilon": spec.epsilon,
                "pixels": pack(attacked[:, ::stride, ::stride]),
                "answers": answers.tolist(),
                "l2": np.linalg.norm(change, axis=1).tolist(),
                "linf": np.abs(change).max(1).tolist(),
            }
        )
    return {"shape": small.shape, "labels": labels.tolist(), "originals": pack(small), "attacks": attacks}


def figures(records: Sequence[Record]) -> list[Figure]:
    """Carlini-Wagner on every model, with the differences; FGS at each radius on the bottlenecks; of seed 0."""
    of_seed = [model for record in records for model in record.models if model.seed == 0]
    models = [model for model in of_seed if model.details.get("examples", {"labels": ()})["labels"]]
    models.sort(key=lambda model: (model.settings["objective"], model.settings.get("beta") or 0.0))
    found = {_name(model.settings): model.details["examples"] for model in models}
    if not found:
        return []
    some = next(iter(found.values()))
    count = some["shape"][0]
    alt = "Images after Carlini-Wagner, and what it changed, a row for each model; a frame is red where it succeeded."
    made = [
        Figure(
            "figure_cw.png",
            draw=functools.partial(_draw_changes, found),
            title="Examples: Carlini-Wagner",
            alt=alt,
            size=(1.5 * (1 + 2 * count), 1.7 * (1 + len(found))),
        )
    ]
    alt = "Images after FGS at growing radii, for some models; a frame is red where the answer is wrong."
    chosen = _of_figure_5(models, found) or found
    radii = [attack["epsilon"] for attack in some["attacks"] if attack["attack"] == "fgsm"]
    if radii:
        size = (1.3 * count * len(chosen), 1.6 * (1 + len(radii)))
        draw_all = functools.partial(_draw_radii, chosen, radii)
        made.append(Figure("figure_fgs.png", draw=draw_all, title="Examples: FGS", alt=alt, size=size))
    return made


def _of_figure_5(models: Sequence[Model], found: Mapping[str, Any]) -> dict[str, Any]:
    """VIB and VUB, each at the beta that is nearest to the paper's."""
    chosen = {}
    for objective in ("vib", "vub"):
        own = [each.settings for each in models if each.settings["objective"] == objective and each.settings["beta"]]
        for settings in sorted(own, key=lambda settings: abs(math.log(settings["beta"] / _BETA)))[:1]:
            chosen[_name(settings)] = found[_name(settings)]
    return chosen


def _name(settings: Mapping[str, Any]) -> str:
    objective, beta = settings["objective"], settings.get("beta")
    name = {BACKBONE: "the network", DETERMINISTIC: "deterministic"}.get(objective, objective.upper())
    return name if beta is None else f"{name}, {beta:g}"


def _draw_changes(found: Mapping[str, Any], figure: "Canvas", _: "pd.DataFrame") -> None:
    """The paper's Figures 7 and 8: images on the left, absolute differences, all by the same contrast, on the right."""
    some = next(iter(found.values()))
    count = some["shape"][0]
    grid = figure.subplots(1 + len(found), 2 * count, squeeze=False)
    for axes in grid[0, count:]:
        axes.set_visible(False)
    largest = max(max(_carlini_wagner(each)["linf"]) for each in found.values()) or 1.0
    for axes, image, label in zip(grid[0], unpack(some["originals"], some["shape"]), some["labels"], strict=False):
        draw(axes, image, "0.7", f"{label}")
    for row, (name, each) in zip(grid[1:], found.items(), strict=True):
        attack = _carlini_wagner(each)
        images, originals = (unpack(pixels, each["shape"]) for pixels in (attack["pixels"], each["originals"]))
        for place, (image, original) in enumerate(zip(images, originals, strict=True)):
            label, answer = each["labels"][place], attack["answers"][place]
            draw(row[place], image, _FRAMES[label != answer], f"{label} -> {answer}")
            change = np.clip(np.abs(image - original) / largest, 0, 1)
            draw(row[count + place], change, "0.7", f"L2 {attack['l2'][place]:.2f}")
        row[0].set_ylabel(name, fontsize=8)


def _carlini_wagner(each: Mapping[str, Any]) -> Mapping[str, Any]:
    return next(attack for attack in each["attacks"] if attack["attack"] == "carlini_wagner")


def _draw_radii(found: Mapping[str, Any], radii: Sequence[float], figure: "Canvas", _: "pd.DataFrame") -> None:
    """The VUB paper's Figure 5: a row for each radius, the same images for each model side by side."""
    count = next(iter(found.values()))["shape"][0]
    grid = figure.subplots(1 + len(radii), count * len(found), squeeze=False)
    for block, (name, each) in enumerate(found.items()):
        columns = grid[:, block * count : (block + 1) * count]
        for axes, image, label in zip(
            columns[0], unpack(each["originals"], each["shape"]), each["labels"], strict=True
        ):
            draw(axes, image, "0.7", f"{label}")
        columns[0, 0].set_ylabel(name, fontsize=8)
        for row, radius in zip(columns[1:], radii, strict=True):
            attack = next(a for a in each["attacks"] if a["attack"] == "fgsm" and a["epsilon"] == radius)
            images = unpack(attack["pixels"], each["shape"])
            for axes, image, label, answer in zip(row, images, each["labels"], attack["answers"], strict=True):
                draw(axes, image, _FRAMES[label != answer], f"{label} -> {answer}")
            row[0].set_ylabel(f"epsilon {radius:g}", fontsize=8)
