"""What `experiments.imagenet_features` compares: its settings and presets."""

from collections.abc import Callable
from typing import Any

from experiments.core import groups, heads
from experiments.core.settings import (
    EVALUATION,
    INPUT,
    NOTHING,
    OneOf,
    Preset,
    SettingError,
    Settings,
    configure,
    setting,
)

IMAGENET2012, CIFAR10, DIGITS = "imagenet2012", "cifar10", "digits"
BACKBONE, DETERMINISTIC = "backbone", heads.DETERMINISTIC
SOCCER_BALL = 805  # n04254680 among the 1,000 classes in order of their WordNet number

PRESETS = {
    "quick": Preset("the first layers of a random network on digits, no download, two minutes."),
    "paper": Preset(
        "what the VUB paper says of ImageNet; with --backbone=InceptionResNetV2 and --betas=0.01 what the VIB paper "
        "says.",
        {"dataset": IMAGENET2012, "backbone": "InceptionV3", "weights": "imagenet", "layer": "", "image_size": 299}
        | {"shard_size": 4096, "betas": (1e-3, 1e-2, 1e-1), "num_seeds": 5, "num_epochs": 100, "num_fgsm_images": 0}
        | {"cw_share": 0.01, "num_queries": 1000, "cw_steps": 200, "cw_binary_steps": 6, "radius": 0.0225}
        | {"fgsm_epsilons": (0.0225, 0.1, 0.1125, 0.5), "attack_batch_size": 64},
    ),
}


def _of_keras(paper: object) -> Callable[[Any], object]:
    """What the paper has, where there is a network of Keras at all."""
    return lambda own: None if own.trained else paper


class _Network(Settings, group="Features"):
    backbone: str = setting(
        "MobileNet",
        "Network of keras.applications.",
        paper=_of_keras(OneOf("InceptionV3", "InceptionResNetV2")),
        note="InceptionV3 or InceptionResNetV2; VUB, VIB",
    )
    trained: str = setting(
        "",
        "Workdir of a finished image model of ours, as experiments.cifar10_ceb leaves it, that is frozen in place of "
        "--backbone.",
        paper="",
        local=True,
        path=INPUT,
    )
    weights: str = setting(
        "none",
        "imagenet; none: random, with normalisation statistics of the data; or a file of them.",
        paper=_of_keras("imagenet"),
        note="imagenet",
    )
    layer: str = setting(
        "conv_pw_2_relu",
        "Layer whose average over positions is the features; empty: what the last layer is applied to. Of random "
        "weights early layers tell more.",
        paper=_of_keras(""),
        note="the last but one",
    )
    alpha: float = setting(0.0, "Width of a MobileNet; 0: the network's default.", note="no MobileNet", least=0)
    feature_batch_size: int = setting(128, "Images of one pass through the network.", least=1, decides=NOTHING)
    num_workers: int = setting(
        1,
        "Above 1: compute this program's share of the features alone, and stop. Start one on each machine that sees "
        "--cache_dir, and then a run without these two flags.",
        least=1,
        decides=NOTHING,
    )
    worker: int = setting(0, "Number of this program among --num_workers, from 0.", least=0, decides=NOTHING)

    def check(self) -> None:
        super().check()
        if self.worker >= self.num_workers:
            raise SettingError(f"--worker must be below --num_workers={self.num_workers}, got {self.worker}")


class _Attacks(
    groups.FgsmEpsilons,
    groups.FgsmImages,
    groups.Radius,
    groups.PgdSteps,
    groups.Queries,
    groups.Eot,
    groups.CwSearch,
    groups.AttackBatch,
):
    cw_share: float = setting(
        0.04, "Share of the images under all attacks but FGSM.", paper=0.01, above=0, most=1, decides=EVALUATION
    )
    target_class: int = setting(
        -1,
        "Class that Carlini-Wagner aims at; -1: soccer ball (805) of imagenet2012, else 0.",
        paper=OneOf(-1, SOCCER_BALL),
        least=-1,
        decides=EVALUATION,
    )

    def check(self) -> None:
        super().check()
        if self.radius not in self.fgsm_epsilons:
            raise SettingError(f"--radius must be one of --fgsm_epsilons, {self.fgsm_epsilons}, got {self.radius}")


@configure(
    workdir="workdirs/imagenet_features",
    dataset=DIGITS,
    image_size=32,
    shard_size=1024,
    num_epochs=20,
    learning_rate=1e-4,
    fgsm_epsilons=(0.002, 0.0225, 0.1, 0.1125, 0.5),
    num_fgsm_images=64,
    radius=0.002,
    pgd_steps=10,
    num_queries=100,
    cw_steps=20,
    cw_binary_steps=4,
    cw_learning_rate=0.01,
    attack_batch_size=16,
    choices={"dataset": (DIGITS, CIFAR10, IMAGENET2012)},
    paper={"dataset": IMAGENET2012, "num_train_images": 0, "image_size": 299, "num_epochs": 100, "batch_size": 32}
    | {"num_fgsm_images": 0},
    note={"fgsm_epsilons": "0.1,0.5", "num_fgsm_images": "all", "radius": "none of these", "num_eot_samples": "1"},
    least={"num_fgsm_images": 0},
    most={"fgsm_epsilons": 1},
    decides={"betas": NOTHING},
    help={
        "workdir": "Folder of heads, attacks and records; resumed where they stand.",
        "image_size": "Sides of the images that the network, and an attack, is given; smaller ones are enlarged.",
        "fgsm_epsilons": "Radii of FGSM. The paper gives no units; in its authors' code they are those of normalised "
        "images, whose 0.1 and 0.5 are some 0.0225 and 0.1125 here.",
        "num_fgsm_images": "Evaluation images under FGSM; 0: all.",
        "radius": "Radius of PGD, transfer and Square; one of --fgsm_epsilons.",
        "num_queries": "Square: candidates for each image.",
        "num_eot_samples": "Samples of z averaged in each gradient; one is tried as well.",
    },
)
class FeaturesConfig(
    groups.Recipe,
    groups.Workdir,
    groups.Results,
    groups.Figures,
    groups.Dataset,
    groups.DataDir,
    groups.TrainImages,
    groups.ImageSize,
    _Network,
    heads.HeadsConfig,
    _Attacks,
):
    """One comparison."""

    group = "Data"

    num_eval_images: int = setting(
        0, "First evaluation images that are used; 0: all.", unit="images", paper=0, least=0, decides=EVALUATION
    )

    @property
    def target(self) -> int:
        """The class that Carlini-Wagner aims at."""
        if self.target_class >= 0:
            return self.target_class
        return SOCCER_BALL if self.dataset == IMAGENET2012 else 0
