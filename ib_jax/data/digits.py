"""The digits data set: 1,797 real 8x8 images of handwritten digits inside scikit-learn, so nothing is downloaded.

It is the test part of the UCI "Optical Recognition of Handwritten Digits" data (Alpaydin and Kaynak, 1998). There is no
official division, so this one is ours: with the images sorted by label (a stable sort), every fifth, beginning with the
first, is a test image. That gives 360 test and 1,437 training images, each class divided four to one to within one
image. It needs no random numbers, so it cannot change with a library's version. Several images come from each writer,
and a writer's images may lie on both sides.
"""

import numpy as np

from ib_jax.data.dataset import DatasetCorruptError, Split

NUM_CLASSES = 10
_NUM_IMAGES = 1797
_MAX_VALUE = 16  # each pixel counts the set bits of a 4x4 block
_TEST_EVERY = 5


def load_splits() -> tuple[Split, Split]:
    """Loads the digits as training and test split.

    Returns:
      train with 1,437 and test with 360 images; inputs float32 [N, 8, 8, 1] in [0, 1] (the original 0..16 divided by
      16), labels int32 [N].

    Raises:
      DatasetCorruptError: if the installed scikit-learn hands out something else.

    Example:
      >>> train, test = load_splits()
      >>> train.inputs.shape, test.inputs.shape
      ((1437, 8, 8, 1), (360, 8, 8, 1))
    """
    from sklearn import datasets  # slow to import, and only needed here

    pixels, classes = datasets.load_digits(return_X_y=True)
    found = (pixels.shape, float(pixels.min()), float(pixels.max()), sorted(set(classes.tolist())))
    expected = ((_NUM_IMAGES, 64), 0.0, float(_MAX_VALUE), list(range(NUM_CLASSES)))
    if found != expected:
        raise DatasetCorruptError(
            f"scikit-learn's digits have (shape, smallest, largest value, labels) = {found}, expected {expected}; "
            f"install scikit-learn again"
        )
    inputs = (pixels / _MAX_VALUE).astype(np.float32).reshape(-1, 8, 8, 1)
    labels = classes.astype(np.int32)
    by_label = np.argsort(labels, kind="stable")
    is_test = np.zeros(_NUM_IMAGES, bool)
    is_test[by_label[::_TEST_EVERY]] = True
    return Split(inputs[~is_test], labels[~is_test]), Split(inputs[is_test], labels[is_test])
