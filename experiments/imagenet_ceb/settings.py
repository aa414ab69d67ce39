"""The settings of `experiments.imagenet_ceb`: the shared ones, the ResNet, and the presets."""

import dataclasses
from typing import Any

from experiments.core.flags import setting
from experiments.core.image_config import ImageConfig
from experiments.mnist_vib.settings import GRAIN, NEVER

PRESETS = ("quick", "paper")
DATASETS = ("imagenet2012", "cifar10", "digits")
AUGMENTS = ("none", "flip", "autoaugment")
DEPTHS = ("50", "101", "152")
FULL_BATCH = 8192  # the batch that the learning rate is told for


@dataclasses.dataclass(frozen=True)
class ImageNetConfig(ImageConfig):
    """One run of a ResNet."""

    preset: str = setting(
        "quick",
        "Run",
        "quick: a narrow ResNet-50 on digits for three epochs, to see it run. paper: the paper's recipe for ResNet-50 "
        "on ImageNet; --depth=152 and --width=2 make the others.",
        choices=PRESETS,
        decides=NEVER,
    )
    scale_epochs: float = setting(
        1.0, "Run", "Factor of the preset's epochs, and of the steps in which rho falls.", decides=NEVER
    )
    scale_width: float = setting(1.0, "Run", "Factor of the preset's width.", decides=NEVER)
    dataset: str = setting(
        "digits",
        "Data",
        "imagenet2012 must be prepared; digits needs no download.",
        paper="imagenet2012",
        choices=DATASETS,
    )
    image_size: int = setting(224, "Data", "Side of ImageNet's images.", unit="pixels", paper="224")
    augment: str = setting(
        "none",
        "Data",
        "Of the training images, on the device (ImageNet's are cropped at random when they are read): flips; flips and "
        "AutoAugment's ImageNet policy.",
        paper="flip and autoaugment",
        choices=AUGMENTS,
    )
    depth: str = setting("50", "Network", "Of the ResNet.", paper="50 and 152", choices=DEPTHS)
    width: float = setting(1.0, "Network", "Factor of its channels.", paper="1 and 2")
    warmup_epochs: float = setting(5.0, "Training", "Time in which the rate rises from 0 to its top.", unit="epochs")
    momentum: float = setting(0.9, "Training", "Of SGD.", paper="0.9")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.image_size < 1:
            raise ValueError(f"--image_size must be at least 1, got {self.image_size}")
        if not self.warmup_epochs >= 0:
            raise ValueError(f"--warmup_epochs must be at least 0, got {self.warmup_epochs}")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"--momentum must be in [0, 1), got {self.momentum}")
        if self.dataset == "imagenet2012" and self.input_pipeline != GRAIN:
            raise ValueError(f"--input_pipeline must be {GRAIN} for imagenet2012: it does not fit into memory")

    @property
    def top_rate(self) -> float:
        """The highest learning rate, scaled to the batch."""
        return self.learning_rate * self.batch_size / FULL_BATCH


def preset(name: str, *, scale_epochs: float = 1.0, scale_width: float = 1.0) -> dict[str, Any]:
    """The values of a preset that differ from the defaults.

    Raises:
      ValueError: a scale is not positive.
    """
    for flag, scale in [("scale_epochs", scale_epochs), ("scale_width", scale_width)]:
        if not scale > 0:
            raise ValueError(f"--{flag} must be positive, got {scale}")
    shared = {"schedule": "linear_gamma", "learning_rate": 1.6, "weight_decay": 1e-4}
    quick = {"num_epochs": 3, "width": 0.125, "batch_size": 64, "anneal_steps": 20, "warmup_epochs": 1.0}
    paper = {"dataset": "imagenet2012", "num_epochs": 270, "width": 1.0, "batch_size": FULL_BATCH}
    paper |= {"anneal_steps": 12_000, "precision": "bfloat16", "augment": "autoaugment", "input_pipeline": GRAIN}
    paper |= {"epochs_per_eval": 10, "warmup_epochs": 5.0}
    values: dict[str, Any] = shared | (paper if name == "paper" else quick | {"learning_rate": 6.4})
    return values | {
        "num_epochs": max(1, round(values["num_epochs"] * scale_epochs)),
        "anneal_steps": max(1, round(values["anneal_steps"] * scale_epochs)),
        "warmup_epochs": values["warmup_epochs"] * min(1.0, scale_epochs),
        "width": values["width"] * scale_width,
    }
