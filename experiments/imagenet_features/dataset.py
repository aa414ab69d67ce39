"""Where the images of `experiments.imagenet_features` come from: the one place that chooses the data set."""

from typing import NamedTuple

import jax
import numpy as np

from experiments.core.feature_fill import ImageSource
from experiments.core.settings import SettingError
from experiments.imagenet_features.settings import IMAGENET2012, FeaturesConfig
from ib_jax import data

_CHUNK = 1000  # images enlarged at a time


class Images(NamedTuple):
    """Training and evaluation images by their row, uint8 [S, S, 3], and how many of the first are used.

    Attributes:
      train: what heads are trained on.
      evaluation: what is measured and attacked; of ImageNet the validation images.
      num_train: of the first training images.
      num_evaluation: of the first evaluation images.
      num_classes: C.
    """

    train: ImageSource
    evaluation: ImageSource
    num_train: int
    num_evaluation: int
    num_classes: int


def open_images(config: FeaturesConfig) -> Images:
    """Opens the data set of a configuration.

    Args:
      config: its `dataset`, `data_dir`, `image_size`, `num_train_images` and `num_eval_images` count.

    Returns:
      Images. Those of digits and CIFAR-10 are in memory, enlarged to S x S by bilinear interpolation and rounded to 256
      levels, digits with three equal channels: the enlarged images are what is attacked.

    Raises:
      DatasetUnavailableError: the data set is not there.
      ValueError: the images would have to shrink, or the target class is none.
    """
    if config.dataset == IMAGENET2012:
        check_target(config, 1000)
        # Without random crops: the features of each training image are computed once.
        sized = {"data_dir": config.data_dir or None, "image_size": config.image_size}
        opened = [data.open_split(IMAGENET2012, split, **sized) for split in ("train", "validation")]  # type: ignore[arg-type]
        limits = [config.num_train_images, config.num_eval_images]
        counts = [min(limit or len(source), len(source)) for limit, source in zip(limits, opened, strict=True)]
        return Images(opened[0], opened[1], counts[0], counts[1], 1000)
    dataset = data.load(config.dataset, data_dir=config.data_dir or None)
    check_target(config, dataset.num_classes)
    train, evaluation = (
        data.ArraySource(_enlarge(data.Split(*(field[: limit or None] for field in split)), config.image_size))
        for split, limit in ((dataset.train, config.num_train_images), (dataset.test, config.num_eval_images))
    )
    return Images(train, evaluation, len(train), len(evaluation), dataset.num_classes)


def check_target(config: FeaturesConfig, num_classes: int) -> None:
    """Refuses a target that is no class.

    Raises:
      ValueError: it is not.
    """
    if config.target >= num_classes:
        raise SettingError(f"--target_class must be in [0, {num_classes}), got {config.target}")


def _enlarge(split: data.Split, size: int) -> data.Split:
    """uint8 [N, S, S, 3]."""
    height, width, channels = split.inputs.shape[1:]
    if size < max(height, width):
        raise SettingError(f"--image_size must be at least {max(height, width)}, that of the images, got {size}")
    images = np.empty((len(split.labels), size, size, 3), np.uint8)
    for first in range(0, len(images), _CHUNK):
        part = np.asarray(data.to_unit_interval(split.inputs[first : first + _CHUNK]))
        if (height, width) != (size, size):
            part = np.asarray(jax.image.resize(part, (len(part), size, size, channels), "bilinear"))
        images[first : first + _CHUNK] = np.rint(255 * np.clip(part, 0, 1))  # one channel becomes three
    return data.Split(images, split.labels)
