"""Images to corrupt: a photograph, and what is hard about others."""

import numpy as np
import sklearn.datasets


def photographs(size, count=2):
    """Pieces of a photograph at several scales: uint8 [count, size, size, 3]."""
    picture = sklearn.datasets.load_sample_image("china.jpg")
    pieces = []
    for i in range(count):
        step = 1 + i % 3
        top, left = 60 + 37 * i % 40, 50 + 61 * i % 150
        pieces.append(picture[top : top + size * step : step, left : left + size * step : step])
    return np.ascontiguousarray(np.stack(pieces))


def assert_levels_of(ours, values):
    """That uint8 `ours` are the shares of white `values` as levels, cut off, but for rounding in float32."""
    levels = np.clip(values, 0, 1) * 255
    ours = np.asarray(ours).astype(int)
    assert (ours >= np.floor(levels - 3e-3)).all()
    assert (ours <= np.floor(levels + 3e-3)).all()


def extremes(size):
    """Black, white, one bright pixel, pure noise and saturated stripes: uint8 [5, size, size, 3]."""
    images = np.zeros((5, size, size, 3), np.uint8)
    images[1] = 255
    images[2, size // 2, size // 3] = 255
    images[3] = np.random.default_rng(0).integers(0, 256, images.shape[1:])
    images[4, :, ::3, 0], images[4, ::2, :, 1] = 255, 200
    return images
