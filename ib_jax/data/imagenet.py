"""ImageNet (ILSVRC 2012) and ImageNet-A, as tensorflow-datasets prepares them: JPEGs of every size in 1,000 classes.

ImageNet: Russakovsky et al. 2015, arXiv:1409.0575; 1,281,167 training and 50,000 validation images. The labels of its
test images are not public, so that "validation" is what results are reported on. ImageNet-A: Hendrycks et al. 2021,
arXiv:1907.07174; 7,500 photographs of 200 of the classes, under the same numbers 0..999.

Neither is prepared here: ImageNet has to be fetched by hand, and both need TensorFlow once. Reading does not.

The host decodes, which is slow. A core (AMD EPYC, shared, per second of its own time) read, decoded and cropped
510 to 640 JPEGs of 500 x 375 pixels and 85 KB for training at 224 pixels, 360 to 490 for evaluation, which takes no
shortcuts, and 790 to 1,000 for training at 64. Two threads did 1.5 to 2.1 times the work of one. Some 0.17 ms of each
image belongs to the interpreter, so no number of threads takes one process past 6,000 images a second. A ResNet-50 on a
TPU v3-8 trains on about 8,100 (flax, examples/imagenet): the decoding of some sixteen such cores, in two processes.
What is read ahead is held in memory, 154 MB for each batch of 1,024 at 224 pixels.
"""

import dataclasses

from ib_jax.data import crops
from ib_jax.data.records import Records
from ib_jax.data.spec import ImageSpec

NUM_CLASSES = 1000
IMAGE_SIZE = 224
"""Side of the images, in pixels, that is usual for ImageNet."""


@dataclasses.dataclass(frozen=True, eq=False)
class RandomCrops:
    """Training images with a new crop in every epoch (an `EpochSource`).

    Attributes:
      records: the images as they are stored.
      image_size: S, side of the crops in pixels.
      seed: seed of the draws, >= 0. A crop depends on it, the epoch and the row, and on nothing else.
    """

    records: Records
    image_size: int
    seed: int

    def __post_init__(self) -> None:
        self.at_epoch(0)  # refuses bad numbers now rather than in a reading thread

    def __len__(self) -> int:
        return len(self.records)

    def at_epoch(self, epoch: int, /) -> Records:
        return self.records.decoded_by(crops.RandomCrop(self.image_size, seed=self.seed, epoch=epoch))


def imagenet_spec() -> ImageSpec:
    """ImageNet as published."""
    import tensorflow_datasets as tfds

    return ImageSpec(
        builder=tfds.builder_cls("imagenet2012"),
        split_sizes={"train": 1_281_167, "validation": 50_000},
        image_shape=None,
        num_classes=NUM_CLASSES,
        manual_files=("ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"),
    )


def imagenet_a_spec() -> ImageSpec:
    """ImageNet-A as published; tensorflow-datasets downloads it itself (0.7 GB)."""
    import tensorflow_datasets as tfds

    return ImageSpec(
        builder=tfds.builder_cls("imagenet_a"),
        split_sizes={"test": 7_500},
        image_shape=None,
        num_classes=NUM_CLASSES,
    )
