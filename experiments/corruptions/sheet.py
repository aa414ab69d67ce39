"""A contact sheet of the corruptions: what each does to one image at each severity.

Run:      python -m experiments.corruptions.sheet
Expect:   a minute, most of it compiling.
Leaves:   experiments/results/corruptions/sheet.png.
"""

import functools
import io
import os
import pathlib
from collections.abc import Callable

import jax
import jax.numpy as jnp
import matplotlib

matplotlib.use("Agg")  # a run draws to files, also where there is no screen

import matplotlib.pyplot as plt
import numpy as np
import PIL.Image
import sklearn.datasets

from experiments.core.keys import stream
from ib_jax import corruptions

NAMES = (*corruptions.CORRUPTIONS, *corruptions.EXTRA_CORRUPTIONS)
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
    height, width = image.shape[:2]
    band = -(-len(NAMES) // 2)
    ratios = (1, 1, 1, 1, 1, 1, 0.4)  # the image, five severities, and room for the titles of the second band
    figure, axes = plt.subplots(
        13,
        band,
        figsize=(band * 0.8, 12.6 * 0.8 * height / width),
        gridspec_kw={"height_ratios": [*ratios, *ratios[:-1]]},
    )
    for axis in axes.flat:
        axis.set_axis_off()
    for index, name in enumerate(NAMES):
        first = 7 * (index // band)
        column = axes[first : first + 6, index % band]
        column[0].set_title(name.replace("_", "\n", 1), fontsize=6, pad=2)
        pictures = [image, *(corrupt(image, name, severity) for severity in corruptions.SEVERITIES)]
        for axis, picture in zip(column, pictures, strict=True):
            axis.imshow(picture)
    figure.subplots_adjust(left=0.005, right=0.995, bottom=0.005, top=0.97, wspace=0.04, hspace=0.04)
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=80)
    plt.close(figure)
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    # Noise does not compress; a palette keeps the file small.
    sheet = PIL.Image.open(drawn).convert("RGB").quantize(64, dither=PIL.Image.Dither.NONE)
    sheet.save(path, optimize=True)


def photograph(side: int) -> np.ndarray:
    """A piece of a photograph that comes with scikit-learn: uint8 [side, side, 3]."""
    picture = sklearn.datasets.load_sample_image("china.jpg")[60:348, 150:438]
    step = len(picture) // side
    means = picture[: side * step, : side * step].reshape(side, step, side, step, 3).mean((1, 3))
    return np.round(means).astype(np.uint8)


def main() -> None:
    """Draws the sheet with ImageNet's constants."""
    contact_sheet(SHEET, photograph(SIDE), ours("imagenet"))
    print(SHEET)


if __name__ == "__main__":
    main()
