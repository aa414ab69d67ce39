"""The settings of `experiments.imagenet_ceb`: the image experiments', the ResNet, and the presets."""

from typing import Any

from absl.flags import FlagValues

from experiments.core import groups
from experiments.core.image_settings import ANNEAL_EPOCHS, AttackSettings, ImageConfig
from experiments.core.image_sweep import RhoSweep
from experiments.core.settings import GRAIN, OneOf, Preset, SettingError, configure, setting

DATASETS = ("imagenet2012", "cifar10", "digits")
AUGMENTS = ("none", "flip", "autoaugment")
DEPTHS = ("50", "101", "152")
FULL_BATCH = 8192  # the batch that the learning rate is told for

_SHARED = {"schedule": "linear_gamma", "weight_decay": 1e-4}
PRESETS = {
    "quick": Preset(
        "a narrow ResNet-50 on digits for three epochs, to see it run.",
        _SHARED
        | {"num_epochs": 3, "width": 0.125, "batch_size": 64, "anneal_epochs": 1.0, "warmup_epochs": 1.0}
        | {"learning_rate": 6.4},
    ),
    "paper": Preset(
        "the paper's recipe for ResNet-50 on ImageNet; --depth=152 and --width=2 make the others.",
        {"dataset": "imagenet2012"}
        | _SHARED
        | {"num_epochs": 270, "width": 1.0, "batch_size": FULL_BATCH, "learning_rate": 1.6}
        | {"precision": "bfloat16", "augment": "autoaugment", "input_pipeline": GRAIN, "epochs_per_eval": 10}
        | {"warmup_epochs": 5.0, "anneal_epochs": ANNEAL_EPOCHS, "num_microbatches": 0}
        | {"radius": 16.0, "linf_epsilons": (16.0,), "l2_epsilons": (16.0, 16 * 255.0)},
    ),
}


def scaled(values: dict[str, Any], flags: FlagValues) -> dict[str, Any]:
    """A preset's values, with its lengths and width times --scale_epochs and --scale_width."""
    return values | {
        "num_epochs": max(1, round(values["num_epochs"] * flags.scale_epochs)),
        "anneal_epochs": values["anneal_epochs"] * flags.scale_epochs,
        "warmup_epochs": values["warmup_epochs"] * min(1.0, flags.scale_epochs),
        "width": values["width"] * flags.scale_width,
    }


@configure(
    choices={"dataset": DATASETS},
    paper={"dataset": "imagenet2012", "image_size": 224, "schedule": "linear_gamma", "num_epochs": 270}
    | {"batch_size": 8192, "learning_rate": 1.6},
    note={"weight_decay": "as in the AutoAugment paper"},
    least={"num_microbatches": 0},
    help={
        "dataset": "imagenet2012 must be prepared; digits needs no download.",
        "num_microbatches": "Parts in which a device takes its batch, adding up gradients, each normalised by itself; "
        "must divide it. 0: as few as its memory allows.",
        "image_size": "Side of ImageNet's images.",
        "scale_epochs": "Factor of the preset's epochs, and of those in which rho falls.",
    },
)
class ImageNetConfig(ImageConfig, groups.ImageSize):
    """One run of a ResNet."""

    group = "Network"

    augment: str = setting(
        "none",
        "Of the training images, on the device (ImageNet's are cropped at random when they are read): flips; flips and "
        "AutoAugment's ImageNet policy.",
        paper=OneOf("flip", "autoaugment"),
        choices=AUGMENTS,
    )
    depth: str = setting("50", "Of the ResNet.", paper=OneOf("50", "152"), choices=DEPTHS)
    width: float = setting(1.0, "Factor of its channels.", paper=OneOf(1.0, 2.0), above=0)
    warmup_epochs: float = setting(5.0, "Time in which the rate rises from 0 to its top.", unit="epochs", least=0)
    momentum: float = setting(0.9, "Of SGD, as Nesterov has it.", paper=0.9, least=0, below=1)

    def check(self) -> None:
        super().check()
        if self.dataset == "imagenet2012" and self.input_pipeline != GRAIN:
            raise SettingError(f"--input_pipeline must be {GRAIN} for imagenet2012: it does not fit into memory")

    @property
    def top_rate(self) -> float:
        """The highest learning rate, scaled to the batch."""
        return self.learning_rate * self.batch_size / FULL_BATCH


@configure(
    baseline=False,
    note={"rhos": "1 to 10"},
    help={"baseline": "Train cross-entropy beside a bottleneck."},
)
class SweepSettings(RhoSweep):
    """Which models are trained, one after another, each over all devices."""


@configure(
    num_attack_images=0,
    pgd_path=2.5,
    paper={"num_attack_images": 50_000, "radius": 16.0, "pgd_path": 2.5, "num_corrupted_images": None},
    note={"l2_epsilons": "16", "pgd_path": ""},
)
class ImageNetAttacks(AttackSettings):
    """What a trained model is attacked with; nothing, unless asked for."""
