"""The settings of the experiment on features' entropy and robustness: data, network, attacks, grids."""

from typing import Any

from experiments.core import groups
from experiments.core.settings import (
    EVALUATION,
    NOTHING,
    TRAINING,
    OneOf,
    Preset,
    SettingError,
    Settings,
    configure,
    setting,
)
from experiments.ib_adversarial_training import Config
from ib_jax.evaluation import AttackSpec

FGSM, DEEPFOOL, CW = "FGSM", "DeepFool", "CW"
ATTACKS = (FGSM, DEEPFOOL, CW)
DATASETS = ("digits", "mnist", "cifar10")

PRESETS = {
    "quick": Preset(
        "digits, no download, a minute and a half on two cores.",
        {"ratios": (0.0, 0.5, 0.75), "num_attack_images": 100, "num_beside": 50, "num_queries": 50, "num_epochs": 6},
    ),
    "small": Preset(
        "as measured.",
        {"num_train_images": 2000, "num_seeds": 3, "shrink": 2, "num_epochs": 20, "refresh": 1},
        by_dataset={"cifar10": {"num_train_images": 4000, "epsilon": 8 / 255, "l2_radius": 0.25, "cw_const": 1.0}},
    ),
    "paper": Preset(
        "the full network and all images.",
        {"dataset": "mnist", "scale_width": 1.0, "num_seeds": 3, "num_epochs": 50, "warm_up": 1, "refresh": 1}
        | {"batch_size": 128, "deepfool_steps": 50, "deepfool_candidates": 10, "cw_steps": 1000}
        | {"cw_learning_rate": 0.01, "num_attack_images": 10_000, "num_beside": 1000, "num_queries": 5000}
        | {"learning_rate": 5e-4, "l2_radius": 2.0},
        by_dataset={"cifar10": {"epsilon": 8 / 255, "l2_radius": 0.5}},
    ),
}


class _Models(groups.Seeds, groups.ScaleWidth, groups.Fit):
    group = "Training"

    ratios: tuple[float, ...] = setting(
        (0.0, 0.25, 0.5, 0.75),
        "Shares of the training images that are attacked.",
        note="not given",
        least=0,
        most=1,
        distinct=True,
        decides=NOTHING,
    )
    warm_up: int = setting(2, "Epochs on clean images alone, before the first attack.", unit="epochs", least=0)
    refresh: int = setting(
        2, "Epochs between two attacks on the model as it stands.", unit="epochs", note="not given", least=1
    )

    def check(self) -> None:
        super().check()
        if self.ratios[0] != 0.0:
            raise SettingError(f"--ratios must begin with 0, got {self.ratios}")
        if self.warm_up >= self.num_epochs:
            raise SettingError(f"--warm_up must be below --num_epochs={self.num_epochs}, got {self.warm_up}")


class _Attacks(
    groups.Epsilon,
    groups.DeepfoolSteps,
    groups.CwSteps,
    groups.CwConst,
    groups.CwRate,
    groups.AttackBatch,
    groups.AttackImages,
    groups.PgdSteps,
    groups.Queries,
):
    l2_radius: float = setting(
        1.0, "DeepFool and CW: an image stands if nothing nearer than this fools it.", unit="L2 of pixels", above=0
    )
    deepfool_candidates: int = setting(4, "Classes that DeepFool considers, the label among them.", least=2)


class _Counted(Settings):
    group = "Evaluation"

    num_beside: int = setting(
        200,
        "First attacked images under PGD, transfer and Square too.",
        unit="images",
        least=1,
        decides=EVALUATION,
    )
    num_feature_images: int = setting(
        10_000, "First test images whose features are counted.", unit="images", least=1, decides=EVALUATION
    )
    num_groups: int = setting(
        24,
        "Units are averaged in at most so many groups of neighbours before they are counted on the first two grids: of "
        "the paper's 192 apart every image would have a symbol of its own, whatever the bins.",
        least=1,
        decides=EVALUATION,
    )
    num_bins: int = setting(3, "Bins of a unit on the grid that all models share.", least=2, decides=EVALUATION)
    own_bins: int = setting(
        2,
        "Bins of a unit on its own range: with 3 two images in three had one alone.",
        least=2,
        decides=EVALUATION,
    )
    num_components: int = setting(
        4, "Principal components of the features that are counted.", least=1, decides=EVALUATION
    )
    component_bins: int = setting(5, "Bins of each.", least=2, decides=EVALUATION)
    num_resamples: int = setting(200, "Bootstrap resamples of an interval.", least=0, decides=EVALUATION)


@configure(
    results="workdirs/feature_entropy",
    scale_width=0.125,
    batch_size=50,
    learning_rate=2e-3,
    epsilon=0.2,
    deepfool_steps=8,
    cw_steps=20,
    cw_const=10.0,
    cw_learning_rate=0.1,
    num_attack_images=500,
    num_queries=100,
    choices={"dataset": DATASETS},
    paper={"dataset": OneOf("mnist", "cifar10"), "num_train_images": 0, "scale_width": 1.0},
    note=dict.fromkeys(("num_epochs", "batch_size", "learning_rate", "deepfool_steps", "cw_const"), "not given"),
    decides=dict.fromkeys(("epsilon", "deepfool_steps", "cw_steps", "cw_const", "cw_learning_rate"), TRAINING),
    help={
        "results": "Folder of the record, the table and the figure; models that its record has are not trained again.",
        "num_seeds": "Models of each ratio, with seeds 0, 1, ...",
        "scale_width": "Factor of all channels of All-CNN.",
        "learning_rate": "Adam's rate at the start.",
        "epsilon": "L-inf radius of FGSM, and of PGD, transfer and Square.",
    },
)
class FeatureConfig(
    groups.Recipe, groups.Results, groups.Dataset, groups.DataDir, groups.TrainImages, _Models, _Attacks, _Counted
):
    """All models of a data set."""

    group = "Run"

    only: str = setting("", "One of the attacks, to train its models alone; empty for all.", decides=EVALUATION)
    shrink: int = setting(
        1,
        "Images are averaged over squares of this side, which must divide theirs.",
        unit="pixels",
        paper=1,
        least=1,
    )

    def check(self) -> None:
        super().check()
        if self.only not in ("", *ATTACKS):
            raise SettingError(f"--only must be one of {', '.join(ATTACKS)}, got {self.only!r}")

    @property
    def attacks(self) -> tuple[str, ...]:
        """The attacks trained against."""
        return (self.only,) if self.only else ATTACKS

    @property
    def model(self) -> Config:
        """The network and its training on given images: deterministic, no batch norm, no dropout, no average."""
        return Config(
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

    def spec(self, name: str) -> AttackSpec:
        """An attack by name: the same in training and on test images."""
        if name == FGSM:
            return AttackSpec("fgsm", self.epsilon)
        if name == DEEPFOOL:
            options: dict[str, Any] = {"num_candidates": self.deepfool_candidates}
            return AttackSpec("deepfool", num_steps=self.deepfool_steps, options=options)
        # The paper's c is in logits (nats) per squared unit; the library's own default measures it otherwise.
        options = {"const_per": "nat", "initial_const": self.cw_const, "learning_rate": self.cw_learning_rate}
        options |= {"num_binary_steps": 1, "abort_early": False}
        return AttackSpec("carlini_wagner", num_steps=self.cw_steps, options=options)
