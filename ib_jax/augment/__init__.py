"""Data augmentation in pure JAX: one key and one image at a time, on the device.

A factory takes an augmentation's settings and returns an `Augment`, (key, image uint8 [H, W, 3]) -> image. `compose`
chains augmentations; `batched` applies one to a batch, with a key for each example.
"""

from ib_jax.augment import operations
from ib_jax.augment.auto_augment import Draw, auto_augment, draw_sub_policy
from ib_jax.augment.batch import batched, compose
from ib_jax.augment.crop import pad_crop, random_resized_crop
from ib_jax.augment.cutout import cutout
from ib_jax.augment.flip import random_flip
from ib_jax.augment.image import Augment
from ib_jax.augment.magnitudes import CIFAR10_MEAN
from ib_jax.augment.policies import POLICIES
from ib_jax.augment.resize import Box, center_crop, resize

__all__ = [
    "CIFAR10_MEAN",
    "POLICIES",
    "Augment",
    "Box",
    "Draw",
    "auto_augment",
    "batched",
    "center_crop",
    "compose",
    "cutout",
    "draw_sub_policy",
    "operations",
    "pad_crop",
    "random_flip",
    "random_resized_crop",
    "resize",
]
