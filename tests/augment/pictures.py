"""Real pictures to augment, and what Pillow makes of them."""

import functools

import numpy as np
from PIL import Image, ImageEnhance, ImageOps
from sklearn.datasets import load_sample_image


@functools.cache
def patches(num, size):
    """Squares of two photographs, some of them scaled down: uint8 [num, size, size, 3]."""
    photographs = [load_sample_image(name) for name in ("china.jpg", "flower.jpg")]
    rng = np.random.default_rng(0)
    found = []
    for index in range(num):
        photograph = photographs[index % 2]
        extent = int(rng.integers(size, min(photograph.shape[:2]) + 1))
        top, left = (int(rng.integers(0, length - extent + 1)) for length in photograph.shape[:2])
        part = Image.fromarray(photograph[top : top + extent, left : left + extent])
        found.append(np.asarray(part.resize((size, size), Image.Resampling.BICUBIC)))
    return np.stack(found)


@functools.cache
def wide():
    """One larger picture that is not square: uint8 [150, 211, 3]."""
    return np.ascontiguousarray(load_sample_image("china.jpg")[100:250, 200:411])


def by_pillow(operation, image, amount, fill=(0, 0, 0)):
    """The same operation by Pillow."""
    picture = Image.fromarray(np.asarray(image))
    matrices = {
        "shear_x": lambda: (1, amount, 0, 0, 1, 0),
        "shear_y": lambda: (1, 0, 0, amount, 1, 0),
        "translate_x": lambda: (1, 0, amount, 0, 1, 0),
        "translate_y": lambda: (1, 0, 0, 0, 1, amount),
    }
    if operation in matrices:
        affine = Image.Transform.AFFINE
        return np.asarray(picture.transform(picture.size, affine, matrices[operation](), fillcolor=fill))
    if operation == "rotate":
        return np.asarray(picture.rotate(amount, fillcolor=fill))
    if operation in ("brightness", "color", "contrast", "sharpness"):
        return np.asarray(getattr(ImageEnhance, operation.capitalize())(picture).enhance(amount))
    function = {"auto_contrast": "autocontrast"}.get(operation, operation)
    return np.asarray(getattr(ImageOps, function)(picture, *([] if amount is None else [amount])))
