"""The plane of two-dimensional codes, as in the paper's Figure 2: what is measured of a model, and how it is drawn."""

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np

from experiments.core.plots import Figure
from ib_jax import data, losses
from ib_jax.models import Classifier
from ib_jax.types import AnyGaussian, DiagGaussian, Params

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

ELLIPSE = float(np.sqrt(-2 * np.log(0.05)))
"""Scales from the mean of a two-dimensional normal to the edge of the ellipse that holds 95 % of it."""
NUM_DRAWN = 1000
"""Test images whose codes are drawn, as in the paper's Figure 2."""
DIGITS = tuple(map(str, range(10)))
"""The classes of records that do not say how these are called."""
NUM_NAMED = 20
"""Classes that have a colour of their own."""
_LOWER = np.tril_indices(2)


def drawn_codes(model: Classifier, params: Params, dataset: data.Dataset, size: int = 120) -> dict[str, Any]:
    """Two-dimensional codes of the first test images, and H(q(y|z)) where they lie.

    Returns:
      `labels` [N], `class_names` [C]; of p(z|x) `mean` [N, 2] and `cholesky` [N, 3], the entries L11, L21 and L22 of
      its factor; `extent` (left, right, bottom, top), `entropy_bits` [size, size].
    """
    inputs, labels = (array[:NUM_DRAWN] for array in dataset.test)
    encoding = model.encode(params, data.to_unit_interval(inputs))
    mean, factor = np.asarray(encoding.mean), scale_tril(encoding)
    reach = ELLIPSE * np.linalg.norm(factor, axis=-1)  # of each ellipse along each axis
    low, high = (mean - reach).min(0), (mean + reach).max(0)
    margin = 0.03 * (high - low)
    xs, ys = (np.linspace(low[i] - margin[i], high[i] + margin[i], size) for i in (0, 1))
    grid = jnp.asarray(np.stack(np.meshgrid(xs, ys), -1).reshape(-1, 2), jnp.float32)
    bits = np.asarray(losses.entropy(model.decode(params, grid))).reshape(size, size) / np.log(2.0)
    extent = np.array([*xs[[0, -1]], *ys[[0, -1]]])
    arrays = {"mean": mean, "cholesky": factor[:, *_LOWER], "entropy_bits": bits, "extent": extent}
    names = list(dataset.class_names or map(str, range(dataset.num_classes)))
    return {"labels": labels.tolist(), "class_names": names} | {
        name: np.round(each, 4).tolist() for name, each in arrays.items()
    }


def scale_tril(encoding: AnyGaussian) -> np.ndarray:
    """The Cholesky factors of the covariances, [N, D, D], diagonal or full."""
    if isinstance(encoding, DiagGaussian):
        return np.asarray(encoding.scale)[:, None] * np.eye(encoding.scale.shape[-1])
    return np.tril(encoding.scale_tril)


def latent_planes(models: Sequence[tuple[str, Mapping[str, Any]]], file: str) -> Figure:
    """The paper's Figure 2: 95 % ellipses of p(z|x), coloured by class, over the entropy of q(y|z); a panel for each.

    Args:
      models: titles, and what `drawn_codes` found.
      file: name of the figure.
    """
    alt = "The codes of test images as 95 % ellipses in the plane, over the entropy of the decoder's answer."
    size = (1.4 + 4.8 * len(models), 5.0)
    return Figure(file, title="Figure 2", alt=alt, size=size, draw=functools.partial(_draw, models))


def _draw(models: Sequence[tuple[str, Mapping[str, Any]]], figure: "Canvas", _: "pd.DataFrame") -> None:
    import matplotlib

    names = models[0][1].get("class_names", DIGITS)
    colors = matplotlib.colormaps["tab10" if len(names) <= 10 else "tab20"]
    panels = figure.subplots(1, len(models), squeeze=False)[0]
    images = [_draw_plane(axes, codes, colors) for axes, (_, codes) in zip(panels, models, strict=True)]
    for axes, (title, _codes) in zip(panels, models, strict=True):
        axes.set_title(title, fontsize="medium")
    figure.colorbar(images[-1], ax=panels, label="H(q(y|z)), bits")
    shown = sorted({label for _, codes in models for label in codes["labels"]})[:NUM_NAMED]
    for label in shown:
        panels[0].plot([], [], "o", markersize=4, color=colors(label % colors.N), label=names[label])
    title = "class" if len(shown) < NUM_NAMED else f"the first {NUM_NAMED} classes"
    figure.legend(title=title, fontsize="small", loc="outside left center", frameon=False)


def _draw_plane(axes: "Axes", codes: Mapping[str, Any], colors: Any) -> Any:
    from matplotlib.collections import EllipseCollection

    mean, labels, extent = (np.array(codes[name]) for name in ("mean", "labels", "extent"))
    factor = np.zeros((len(mean), 2, 2))
    factor[:, *_LOWER] = codes["cholesky"]
    variances, directions = np.linalg.eigh(factor @ factor.mT)
    heights, widths = 2 * ELLIPSE * np.sqrt(variances).T
    angles = np.degrees(np.arctan2(directions[:, 1, 1], directions[:, 0, 1]))
    num_classes = len(codes.get("class_names", DIGITS))
    limits: dict[str, Any] = {"vmin": 0.0, "vmax": np.log2(num_classes), "extent": tuple(extent), "aspect": "auto"}
    image = axes.imshow(codes["entropy_bits"], origin="lower", cmap="gray_r", alpha=0.6, **limits)
    style: dict[str, Any] = {"facecolors": "none", "edgecolors": colors(labels % colors.N), "linewidths": 0.7}
    style |= {"units": "xy", "offsets": mean, "offset_transform": axes.transData}
    axes.add_collection(EllipseCollection(widths, heights, angles, **style))
    axes.set(xlabel="$z_1$", ylabel="$z_2$", xlim=tuple(extent[:2]), ylim=tuple(extent[2:]))
    return image
