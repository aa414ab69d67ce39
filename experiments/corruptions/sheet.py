"""A contact sheet of the corruptions: what each does to one image at each severity.

Run:      python -m experiments.corruptions.sheet
Expect:   a minute, most of it compiling.
Leaves:   experiments/results/corruptions/sheet.png.
"""

import functools
import os
import pathlib
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from experiments.core.corrupted_images import ALL
from experiments.core.keys import stream
from ib_jax import corruptions

SHEET = pathlib.Path(__file__).parents[1] / "results/corruptions/sheet.png"
SIDE, THUMBNAIL = 96, 62  # pixels, corrupted and shown
GAP, TITLE = 4, 26

Corrupt = Callable[[np.ndarray, str, int], np.ndarray]
"""From an image uint8 [H, W, 3], a name and a severity to the corrupted image."""


def ours(constants: str, seed: int = 0) -> Corrupt:
    """The corruptions of this library, as the sheet wants them."""

    def corrupt(image: np.ndarray, name: str, severity: int) -> np.ndarray:
        run = jax.jit(functools.partial(corruptions.corrupt, name=name, severity=severity, constants=constants))
        return np.asarray(run(jax.random.split(stream(seed, "corruption"), 1), jnp.asarray(image[None]))[0])

    return corrupt


def contact_sheet(path: str | os.PathLike[str], image: np.ndarray, corrupt: Corrupt) -> None:
    """Draws every corruption at every severity below the image itself, a column for each corruption in two bands.

    Args:
      path: PNG file to write.
      image: uint8 [H, W, 3].
      corrupt: what makes the pictures, `ours(...)` or a package's.
    """
    import PIL.Image
    import PIL.ImageDraw

    band, column, height = -(-len(ALL) // 2), THUMBNAIL + GAP, TITLE + 6 * (THUMBNAIL + GAP)
    sheet = PIL.Image.new("RGB", (band * column, 2 * height), "white")
    pen = PIL.ImageDraw.Draw(sheet)
    for index, name in enumerate(ALL):
        left, top = column * (index % band), height * (index // band)
        pen.multiline_text((left, top), name.replace("_", "\n", 1), fill="black", spacing=0)
        pictures = [image, *(corrupt(image, name, severity) for severity in corruptions.SEVERITIES)]
        for place, picture in enumerate(pictures):
            small = PIL.Image.fromarray(picture).resize((THUMBNAIL, THUMBNAIL))
            sheet.paste(small, (left, top + TITLE + place * column))
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    # Noise does not compress; a palette keeps the file small.
    sheet.quantize(64, dither=PIL.Image.Dither.NONE).save(path, optimize=True)


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
