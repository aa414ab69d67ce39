"""The settings of the experiment on features' entropy and robustness: data, network, attacks, grids."""

import dataclasses
from typing import Any

from experiments.core.carlini_wagner import carlini_wagner
from experiments.core.flags import setting
from experiments.ib_adversarial_training.settings import DATASETS, PRESETS, AdversarialConfig
from experiments.mnist_vib.settings import EVALUATION, NEVER
from ib_jax import attacks
from ib_jax.types import Attack

FGSM, DEEPFOOL, CW = "FGSM", "DeepFool", "CW"
ATTACKS = (FGSM, DEEPFOOL, CW)


@dataclasses.dataclass(frozen=True)
class FeatureConfig:
    """All models of a data set. Fields marked `decides="training"` and `EVALUATION` may not change in a record."""

    preset: str = setting(
        "quick",
        "Run",
        "quick: digits, no download, a minute and a half on two cores. small: as measured. paper: the full network and "
        "all images.",
        choices=PRESETS,
        decides=NEVER,
    )
    results: str = setting(
        "workdirs/feature_entropy",
        "Run",
        "Folder of the record, the table and the figure; models that its record has are not trained again.",
        decides=NEVER,
    )
    only: str = setting("", "Run", "One of the attacks, to train its models alone; empty for all.", decides=EVALUATION)

    dataset: str = setting("digits", "Data", "Data set.", paper="mnist, cifar10", choices=DATASETS)
    data_dir: str = setting("", "Data", "Where tensorflow-datasets keeps its data.", decides=NEVER)
    num_train_images: int = setting(0, "Data", "Only the first training images; 0 is all of them.", unit="images")
    shrink: int = setting(
        1, "Data", "Images are averaged over squares of this side, which must divide theirs.", unit="pixels", paper="1"
    )

    ratios: tuple[float, ...] = setting(
        (0.0, 0.25, 0.5, 0.75), "Models", "Shares of the training images that are attacked.", paper="not given",
        decides=NEVER,
    )  # fmt: skip
    num_seeds: int = setting(1, "Models", "Models of each ratio, with seeds 0, 1, ...", decides=NEVER)
    scale_width: float = setting(0.125, "Models", "Factor of all channels of All-CNN.", paper="1")
    num_epochs: int = setting(10, "Models", "Length of training.", unit="epochs", paper="not given")
    batch_size: int = setting(50, "Models", "Size of a batch.", unit="images", paper="not given")
    learning_rate: float = setting(2e-3, "Models", "Adam's rate at the start.", paper="not given")
    warm_up: int = setting(2, "Models", "Epochs on clean images alone, before the first attack.", unit="epochs")
    refresh: int = setting(
        2, "Models", "Epochs between two attacks on the model as it stands.", unit="epochs", paper="not given"
    )

    epsilon: float = setting(
        0.2, "Attacks", "L-inf radius of FGSM, and of PGD, transfer and Square.", unit="share of the pixel range"
    )
    l2_radius: float = setting(
        1.0, "Attacks", "DeepFool and CW: an image stands if nothing nearer than this fools it.", unit="L2 of pixels"
    )
    deepfool_steps: int = setting(8, "Attacks", "Most steps of DeepFool.", paper="not given")
    deepfool_candidates: int = setting(4, "Attacks", "Classes that DeepFool considers, the label among them.")
    cw_steps: int = setting(20, "Attacks", "Steps of CW.", paper="not given")
    cw_const: float = setting(10.0, "Attacks", "The one c of CW.", unit="per nat", paper="not given")
    cw_rate: float = setting(0.1, "Attacks", "Adam's rate in CW.", paper="not given")
    attack_batch_size: int = setting(250, "Attacks", "Images attacked at a time.", decides=NEVER)

    num_attack_images: int = setting(500, "Evaluation", "First test images that are attacked.", decides=EVALUATION)
    num_beside: int = setting(
        200, "Evaluation", "First of them under PGD, transfer and Square too.", decides=EVALUATION
    )
    pgd_steps: int = setting(20, "Evaluation", "Steps of PGD.", decides=EVALUATION)
    num_queries: int = setting(100, "Evaluation", "Queries of Square for an image.", decides=EVALUATION)
    num_feature_images: int = setting(
        10_000, "Evaluation", "First test images whose features are counted.", decides=EVALUATION
    )
    num_bins: int = setting(3, "Evaluation", "Bins of a unit on the grid that all models share.", decides=EVALUATION)
    own_bins: int = setting(
        2,
        "Evaluation",
        "Bins of a unit on its own range: with 3 two images in three had one alone.",
        decides=EVALUATION,
    )
    num_components: int = setting(
        4, "Evaluation", "Principal components of the features that are counted.", decides=EVALUATION
    )
    component_bins: int = setting(5, "Evaluation", "Bins of each.", decides=EVALUATION)
    num_resamples: int = setting(200, "Evaluation", "Bootstrap resamples of an interval.", decides=EVALUATION)

    def __post_init__(self) -> None:
        counts = (
            "num_seeds shrink num_epochs batch_size refresh deepfool_steps cw_steps attack_batch_size num_attack_images"
        )
        for name in (*counts.split(), "num_beside", "pgd_steps", "num_queries", "num_feature_images", "num_components"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} must be at least 1, got {getattr(self, name)}")
        for name in ("num_bins", "own_bins", "component_bins", "deepfool_candidates"):
            if getattr(self, name) < 2:
                raise ValueError(f"--{name} must be at least 2, got {getattr(self, name)}")
        for name in ("scale_width", "learning_rate", "epsilon", "l2_radius", "cw_const", "cw_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"--{name} must be positive, got {getattr(self, name)}")
        if len(set(self.ratios)) < len(self.ratios) or self.ratios[:1] != (0.0,) or not max(self.ratios) <= 1:
            raise ValueError(f"--ratios must begin with 0, differ and be at most 1, got {self.ratios}")
        if not 0 <= self.warm_up < self.num_epochs:
            raise ValueError(f"--warm_up must be at least 0 and below {self.num_epochs} epochs, got {self.warm_up}")
        if self.only not in ("", *ATTACKS):
            raise ValueError(f"--only must be one of {', '.join(ATTACKS)}, got {self.only!r}")

    @property
    def attacks(self) -> tuple[str, ...]:
        """The attacks trained against."""
        return (self.only,) if self.only else ATTACKS

    @property
    def model(self) -> AdversarialConfig:
        """The network and its training on given images: deterministic, no batch norm, no dropout, no average."""
        return AdversarialConfig(
            dataset=self.dataset,
            data_dir=self.data_dir,
            num_train_images=self.num_train_images,
            objective="cross_entropy",
            network="all_cnn",
            scale_width=self.scale_width,
            num_epochs=self.num_epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            average_decay=0.0,
        )

    def attack(self, name: str) -> Attack:
        """An attack by name: the same in training and on test images."""
        if name == FGSM:
            return attacks.fgsm(self.epsilon)
        if name == DEEPFOOL:
            return attacks.deepfool(num_steps=self.deepfool_steps, num_candidates=self.deepfool_candidates)
        return carlini_wagner(
            num_steps=self.cw_steps,
            num_binary_steps=1,
            initial_const=self.cw_const,
            learning_rate=self.cw_rate,
            abort_early=False,
        )


def preset(name: str, dataset: str) -> dict[str, Any]:
    """The values of a preset that differ from the defaults."""
    if name == "small":
        values: dict[str, Any] = {"num_train_images": 2000, "num_seeds": 3, "shrink": 2}
        return values | ({"epsilon": 8 / 255, "l2_radius": 0.25, "cw_const": 1.0} if dataset == "cifar10" else {})
    if name == "paper":
        values = {"scale_width": 1.0, "num_seeds": 3, "num_epochs": 50, "warm_up": 1, "refresh": 1, "batch_size": 128}
        values |= {"deepfool_steps": 50, "deepfool_candidates": 10, "cw_steps": 1000, "cw_rate": 0.01}
        values |= {"num_attack_images": 10_000, "num_beside": 1000, "num_queries": 5000, "learning_rate": 5e-4}
        return values | ({"epsilon": 8 / 255, "l2_radius": 0.5} if dataset == "cifar10" else {"l2_radius": 2.0})
    return {"ratios": (0.0, 0.5, 0.75), "num_attack_images": 100, "num_beside": 50, "num_queries": 50, "num_epochs": 6}
