"""A contact sheet of the corruptions: what each does to one image at each severity.

Run:      python -m experiments.corruptions.sheet
Expect:   a minute, most of it compiling.
Leaves:   experiments/results/corruptions/sheet.png.
"""

import functools
import os
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.core import plots
from experiments.core.corrupted_images import ALL
from experiments.core.keys import stream
from ib_jax import corruptions

SHEET = pathlib.Path(__file__).parents[1] / "results/corruptions/sheet.png"
SIDE = 96

Corrupt = Callable[[np.ndarray, str, int], np.ndarray]
"""From an image uint8 [H, W, 3], a name and a severity to the corrupted image."""


def ours(constants: str, seed: int = 0) -> Corrupt:
    """The corruptions of this library, as the sheet wants them."""

    def corrupt(image: np.ndarray, name: str, severity: int) -> np.ndarray:
        run = jax.jit(functools.partial(corruptions.corrupt, name=name, severity=severity, constants=constants))
        return np.asarray(run(jax.random.split(stream(seed, "corruption"), 1), jnp.asarray(image[None]))[0])

    return corrupt


def contact_sheet(path: str | os.PathLike[str], image: np.ndarray, corrupt: Corrupt) -> None:
    """Draws every corruption at every severity, a column for each corruption in two bands.

    Args:
      path: PNG file to write.
      image: uint8 [H, W, 3].
      corrupt: what makes the pictures, `ours(...)` or a package's.
    """
    import pandas as pd
    import PIL.Image

    band = -(-len(ALL) // 2)
    size = (band * 0.8, 12.6 * 0.8 * image.shape[0] / image.shape[1])
    figure = plots.Figure("", draw=functools.partial(_draw, image, corrupt, band), size=size)
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    plots.draw(figure, pd.DataFrame(), path)
    # Noise does not compress; a palette keeps the file small.
    sheet = PIL.Image.open(path).convert("RGB").quantize(64, dither=PIL.Image.Dither.NONE)
    sheet.save(path, optimize=True)


def _draw(image: np.ndarray, corrupt: Corrupt, band: int, figure: Any, frame: Any) -> None:
    del frame
    ratios = (1, 1, 1, 1, 1, 1, 0.4)  # the image, five severities, and room for the titles of the second band
    axes = figure.subplots(13, band, gridspec_kw={"height_ratios": [*ratios, *ratios[:-1]]})
    for each in axes.flat:
        each.set_axis_off()
    for index, name in enumerate(ALL):
        first = 7 * (index // band)
        column = axes[first : first + 6, index % band]
        column[0].set_title(name.replace("_", "\n", 1), fontsize=6, pad=2)
        pictures = [image, *(corrupt(image, name, severity) for severity in corruptions.SEVERITIES)]
        for each, picture in zip(column, pictures, strict=True):
            each.imshow(picture)


def photograph(side: int) -> np.ndarray:
    """A piece of a photograph that comes with scikit-learn: uint8 [side, side, 3]."""
    import sklearn.datasets

    picture = sklearn.datasets.load_sample_image("china.jpg")[60:348, 150:438]
    step = len(picture) // side
    means = picture[: side * step, : side * step].reshape(side, step, side, step, 3).mean((1, 3))
    return np.round(means).astype(np.uint8)


if __name__ == "__main__":
    contact_sheet(SHEET, photograph(SIDE), ours("imagenet"))
    print(SHEET)
