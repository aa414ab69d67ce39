"""The settings of `experiments.cifar10_ceb`: the shared ones, the Wide ResNet, and the presets."""

import dataclasses
from typing import Any

from experiments.core.flags import setting
from experiments.core.image_config import ImageConfig
from experiments.mnist_vib.settings import NEVER

PRESETS = ("quick", "small", "paper")
DATASETS = ("digits", "cifar10")
NORMS = ("none", "batch")
AUGMENTS = ("none", "flip_crop", "autoaugment", "autoaugment_95")


@dataclasses.dataclass(frozen=True)
class Cifar10Config(ImageConfig):
    """One run of a Wide ResNet."""

    preset: str = setting(
        "quick",
        "Run",
        "quick: digits, no download, under a minute on two cores. small: WRN-10-2 on CIFAR-10 for a few epochs. paper: "
        "the paper's recipe, WRN-28-10 for 1,500 epochs.",
        choices=PRESETS,
        decides=NEVER,
    )
    scale_epochs: float = setting(1.0, "Run", "Factor of the preset's epochs.", decides=NEVER)
    scale_width: float = setting(1.0, "Run", "Factor of the preset's width.", decides=NEVER)
    dataset: str = setting("digits", "Data", "Data set; digits needs no download.", paper="cifar10", choices=DATASETS)
    augment: str = setting(
        "none",
        "Data",
        "Of the training images, on the device: flips and crops out of images padded by 4; the same and AutoAugment's "
        "25 policies, or its 95, and cutout.",
        paper="autoaugment",
        choices=AUGMENTS,
    )
    depth: int = setting(10, "Network", "Of the Wide ResNet: 6 n + 4.", paper="28")
    width: int = setting(1, "Network", "Factor of its channels.", paper="10")
    norm: str = setting(
        "none",
        "Network",
        "Batch normalisation, whose models are far less robust (section 3.1), or none.",
        paper="none",
        choices=NORMS,
    )


def preset(name: str, *, scale_epochs: float = 1.0, scale_width: float = 1.0) -> dict[str, Any]:
    """The values of a preset that differ from the defaults.

    Raises:
      ValueError: a scale is not positive.
    """
    for flag, scale in [("scale_epochs", scale_epochs), ("scale_width", scale_width)]:
        if not scale > 0:
            raise ValueError(f"--{flag} must be positive, got {scale}")
    values: dict[str, Any] = {"quick": {"num_epochs": 12, "gate_epochs": 1.0}}.get(name, {})
    if name == "small":
        # Four epochs are too few to overfit, so the images are not changed.
        values = {"dataset": "cifar10", "width": 2, "num_epochs": 4, "gate_epochs": 0.5, "target_epochs": 0.5}
        values |= {"steps_per_call": 50}
    if name == "paper":
        values = {"dataset": "cifar10", "depth": 28, "width": 10, "num_epochs": 1500, "augment": "autoaugment"}
        values |= {"epochs_per_eval": 50}
    base = {"num_epochs": 10, "width": 1} | values
    scaled = {
        "num_epochs": max(1, round(base["num_epochs"] * scale_epochs)),
        "width": max(1, round(base["width"] * scale_width)),
    }
    return values | scaled


@dataclasses.dataclass(frozen=True)
class SweepSettings:
    """Which models are trained and measured together."""

    rhos: tuple[float, ...] = setting(
        (), "Sweep", "The objective at each of these; none: at --rho alone.", paper="-1 to 5 in steps of 0.25"
    )
    num_seeds: int = setting(1, "Sweep", "Models of each kind, with seeds --seed, --seed + 1, ...", paper="1")
    baseline: bool = setting(True, "Sweep", "Train cross-entropy beside a bottleneck; the transfer attack needs it.")
    members_at_once: int = setting(
        -1,
        "Sweep",
        "Members computed side by side on a device, the others in turn; 0 is all, -1 what is fastest.",
        decides=NEVER,
    )
    memory_gib: float = setting(
        0.0, "Sweep", "Memory of a device that the members may take; 0 is what is free.", unit="GiB", decides=NEVER
    )
    results: str = setting(
        "", "Sweep", "Folder of records and figures. Default: results/ in the workdir.", decides=NEVER
    )

    def __post_init__(self) -> None:
        if len(set(self.rhos)) < len(self.rhos):
            raise ValueError(f"--rhos must differ, got {self.rhos}")
        if self.num_seeds < 1:
            raise ValueError(f"--num_seeds must be at least 1, got {self.num_seeds}")
        if self.members_at_once < -1:
            raise ValueError(f"--members_at_once must be at least -1, got {self.members_at_once}")
