"""Images in records, as text, and how one is drawn in a grid of them."""

import base64
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def pack(images: np.ndarray) -> str:
    """Images in [0, 1] as text, in 256 levels of each channel."""
    return base64.b64encode(zlib.compress(np.rint(255 * images).astype(np.uint8).tobytes())).decode()


def unpack(text: str, shape: Sequence[int]) -> np.ndarray:
    """What `pack` packed, in [0, 1]."""
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8).reshape(shape) / 255.0


def draw(axes: "Axes", image: np.ndarray, frame: str, title: str = "") -> None:
    """An image [H, W], [H, W, 1] or [H, W, 3] in a frame of a colour, without ticks."""
    axes.imshow(image, cmap="gray", vmin=0, vmax=1)
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, fontsize=7)
    for spine in axes.spines.values():
        spine.set(color=frame, linewidth=2.5)
