"""A contact sheet of the corruptions: what each does to one image at each severity.

Run:      python -m experiments.corruptions.sheet
Expect:   a minute, most of it compiling.
Leaves:   experiments/results/corruptions/sheet.png.
"""

import functools
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.core.corrupted_images import ALL
from experiments.core.keys import stream
from ib_jax import corruptions

SHEET = pathlib.Path(__file__).parents[1] / "results/corruptions/sheet.png"
SIDE, THUMBNAIL = 96, 62  # pixels, corrupted and shown
GAP, TITLE = 4, 26


def contact_sheet(image: np.ndarray) -> Any:
    """Every corruption of an image uint8 [H, W, 3] at every severity below it, in two bands: a `PIL.Image`."""
    import PIL.Image
    import PIL.ImageDraw

    band, column, height = -(-len(ALL) // 2), THUMBNAIL + GAP, TITLE + 6 * (THUMBNAIL + GAP)
    sheet, keys = (
        PIL.Image.new("RGB", (band * column, 2 * height), "white"),
        jax.random.split(stream(0, "corruption"), 1),
    )
    pen = PIL.ImageDraw.Draw(sheet)
    for index, name in enumerate(ALL):
        left, top = column * (index % band), height * (index // band)
        pen.multiline_text((left, top), name.replace("_", "\n", 1), fill="black", spacing=0)
        pictures = [image]
        for severity in corruptions.SEVERITIES:
            settings: dict[str, Any] = {"name": name, "severity": severity, "constants": "imagenet"}
            run = jax.jit(functools.partial(corruptions.corrupt, **settings))
            pictures.append(np.asarray(run(keys, jnp.asarray(image[None]))[0]))
        for place, picture in enumerate(pictures):
            small = PIL.Image.fromarray(picture).resize((THUMBNAIL, THUMBNAIL))
            sheet.paste(small, (left, top + TITLE + place * column))
    return sheet


def photograph(side: int) -> np.ndarray:
    """A piece of a photograph that comes with scikit-learn: uint8 [side, side, 3]."""
    import sklearn.datasets

    picture = sklearn.datasets.load_sample_image("china.jpg")[60:348, 150:438]
    step = len(picture) // side
    means = picture[: side * step, : side * step].reshape(side, step, side, step, 3).mean((1, 3))
    return np.round(means).astype(np.uint8)


if __name__ == "__main__":
    # Noise does not compress; a palette keeps the file small.
    contact_sheet(photograph(SIDE)).quantize(64, dither=0).save(SHEET, optimize=True)
    print(SHEET)
