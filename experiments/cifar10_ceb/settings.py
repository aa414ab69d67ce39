"""The settings of `experiments.cifar10_ceb`: the image experiments', the Wide ResNet, and the presets."""

from typing import Any

from absl.flags import FlagValues

from experiments.core import groups
from experiments.core.adversary import NONE, PGD, Adversary
from experiments.core.image_settings import LEVELS, AttackSettings, ImageConfig
from experiments.core.image_sweep import RhoSweep
from experiments.core.settings import DATA, NOTHING, OneOf, Preset, configure, setting

__all__ = ("PRESETS", "AttackSettings", "Cifar10Config", "SweepSettings", "scaled")

DATASETS = ("digits", "cifar10")
NORMS = ("none", "batch")
AUGMENTS = ("none", "flip_crop", "autoaugment", "autoaugment_95")

PRESETS = {
    "quick": Preset("digits, no download, some minutes on two cores.", {"num_epochs": 12, "gate_epochs": 1.0}),
    "small": Preset(
        "as measured: WRN-10-2 on CIFAR-10, its image halved at once, for 40 epochs.",
        {"dataset": "cifar10", "width": 2, "stem_stride": 2, "num_epochs": 40, "augment": "autoaugment"}
        | {"learning_rate": 3e-3, "steps_per_call": 50, "epochs_per_eval": 2},
    ),
    "paper": Preset(
        "the paper's recipe, WRN-28-10 for 1,500 epochs.",
        {"dataset": "cifar10", "depth": 28, "width": 10, "num_epochs": 1500, "augment": "autoaugment"}
        | {"epochs_per_eval": 50, "madry": True, "num_attack_images": 10_000, "num_corrupted_images": 10_000}
        | {"linf_epsilons": (1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0, 16.0), "num_square_images": 1000}
        | {"l2_epsilons": (20.0, 40.0, 60.0, 80.0, 100.0, 200.0, 400.0, 700.0, 1000.0), "num_queries": 5000},
    ),
}


def scaled(values: dict[str, Any], flags: FlagValues) -> dict[str, Any]:
    """A preset's values, with its epochs and width times --scale_epochs and --scale_width."""
    base = {"num_epochs": 10, "width": 1} | values
    return values | {
        "num_epochs": max(1, round(base["num_epochs"] * flags.scale_epochs)),
        "width": max(1, round(base["width"] * flags.scale_width)),
    }


@configure(
    choices={"dataset": DATASETS},
    path={"dataset": DATA},
    adversary_epsilon=8.0,
    adversary_steps=7,
    adversary_fraction=1.0,
    unit={"adversary_epsilon": "levels of 255"},
    paper={"dataset": "cifar10", "num_epochs": 1500, "learning_rate": 1e-3, "schedule": "gated_rho"}
    | {"adversary": OneOf(NONE, PGD), "adversary_epsilon": 8.0, "adversary_steps": 7, "adversary_fraction": 1.0},
)
class Cifar10Config(ImageConfig, groups.DataChecksum, Adversary):
    """One run of a Wide ResNet."""

    group = "Network"

    augment: str = setting(
        "none",
        "Of the training images, on the device: flips and crops out of images padded by 4; the same and AutoAugment's "
        "25 policies, or its 95, and cutout.",
        paper="autoaugment",
        choices=AUGMENTS,
    )
    depth: int = setting(10, "Of the Wide ResNet: 6 n + 4.", paper=28)
    width: int = setting(1, "Factor of its channels.", paper=10, least=1)
    norm: str = setting(
        "none",
        "Batch normalisation, whose models are far less robust (section 3.1), or none.",
        paper="none",
        choices=NORMS,
    )
    stem_stride: int = setting(
        1, "Of the first convolution; 2 halves the image at once, for a quarter of the products.", paper=1, least=1
    )

    @property
    def adversary_radius(self) -> float:
        return self.adversary_epsilon / LEVELS


@configure(note={"rhos": "-1 to 5 in steps of 0.25"})
class SweepSettings(RhoSweep, groups.Members):
    """Which models are trained and measured together."""

    madry: bool = setting(
        False,
        "Train cross-entropy against PGD beside it, too: the paper's adversarially trained network of Madry et al.",
        paper=True,
        decides=NOTHING,
    )
    madry_learning_rate: float = setting(
        1e-3,
        "Of that network, at the start; at 3e-3 with AutoAugment that of --preset=small was at chance after an epoch.",
        note="not given",
        above=0,
        decides=NOTHING,
    )

    def against_pgd(self, config: Cifar10Config) -> list[dict[str, Any]]:
        """Madry et al. flip and crop their images, whatever policy the others have."""
        augment = "none" if config.augment == "none" else "flip_crop"
        return [{"learning_rate": self.madry_learning_rate, "augment": augment}] if self.madry else []
