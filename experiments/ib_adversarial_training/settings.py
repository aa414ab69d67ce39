"""The settings: a model and whom it is trained against, which models are compared, and how they are attacked."""

from experiments.core import groups
from experiments.core.adversary import ADVERSARIES, FGSM, NONE, PGD, Adversary
from experiments.core.settings import EVALUATION, NOTHING, RESIDENT, OneOf, Preset, SettingError, configure, setting

DATASETS = ("digits", "mnist", "cifar10")
NETWORKS = ("mlp", "cnn_mlp", "all_cnn")

_COLOUR = {"network": "cnn_mlp", "betas": (1e-3,), "adversaries": f"{NONE},{FGSM}"}
PRESETS = {
    "quick": Preset(
        "digits, no download, two to four minutes on two cores.",
        {"betas": (1e-2,), "adversaries": f"{NONE},{FGSM},{PGD}", "num_attack_images": 100, "num_cw_images": 20}
        | {"num_queries": 100, "num_square_images": 50, "scale_width": 0.25, "latent_dim": 32},
        by_dataset={"cifar10": {"network": "cnn_mlp"}},
    ),
    "small": Preset(
        "as measured.",
        {"num_epochs": 5, "batch_size": 200, "adversary_steps": 7, "num_seeds": 3},
        by_dataset={
            "cifar10": _COLOUR
            | {"num_epochs": 8, "num_train_images": 10_000, "batch_size": 100, "num_seeds": 2}
            | {"num_attack_images": 100, "num_eot_samples": 5, "num_square_images": 50, "num_queries": 150}
            | {"num_cw_images": 20, "cw_binary_steps": 4, "cw_steps": 50, "honest_epsilons": (8 / 255, 0.1)}
        },
    ),
    "paper": Preset(
        "the paper's sizes, as far as it gives them.",
        {"dataset": "mnist", "num_epochs": 100, "adversary_steps": 40, "num_seeds": 3, "num_attack_images": 10_000}
        | {"num_cw_images": 1000, "num_square_images": 1000, "num_queries": 5000, "cw_steps": 1000},
        by_dataset={"cifar10": _COLOUR},
    ),
}


class _Network(groups.ScaleWidth, groups.LatentDim, groups.ScaleShift):
    network: str = setting("mlp", "mlp, CNN-MLP or all-CNN.", paper=OneOf(*NETWORKS), choices=NETWORKS)
    num_layers: int = setting(3, "N of {512}xN-{256}xN-2K.", paper=3, least=1)


@configure(
    num_epochs=30,
    learning_rate=5e-4,
    average_decay=0.99,
    epochs_per_eval=100,
    choices={"dataset": DATASETS, "input_pipeline": (RESIDENT,)},
    paper={
        "dataset": OneOf("mnist", "cifar10"),
        "num_validation": 0,
        "num_train_images": 0,
        "objective": OneOf("vib", "cross_entropy"),
        "scale_width": 1.0,
        "scale_shift": 0.0,
    },
    note={
        "beta": "1e-1 to 1e-3",
        "num_train_samples": "not given",
        "latent_dim": "not given",
        "scale_shift": "-5 in the VIB notebook",
        "num_epochs": "not given",
        "learning_rate": "1e-4 in the VIB paper",
    },
    help={
        "workdir": "Folder of the models while they train; a second call goes on. Default: under workdirs/.",
        "latent_dim": "K, dimensions of the code; all_cnn has its own where there is no noise.",
        "learning_rate": "Adam's rate at the start.",
        "input_pipeline": "Whether the images lie on the device.",
    },
)
class AdversarialConfig(
    groups.Run,
    groups.Data,
    groups.TrainImages,
    groups.ScaledObjective,
    groups.Beta,
    groups.Rho,
    groups.TrainSamples,
    Adversary,
    _Network,
    groups.Training,
    groups.StaircaseDecay,
    groups.Pipeline,
    groups.Evaluation,
):
    """One model."""


@configure(
    betas=(1e-1, 1e-2, 1e-3),
    paper={"betas": (1e-1, 1e-2, 1e-3)},
    note={"num_seeds": "not given"},
    decides={"betas": NOTHING},
    help={
        "betas": "A VIB for each.",
        "results": "Folder of records, table and figure. Default: results/ in the workdir.",
    },
)
class SweepSettings(groups.Betas, groups.Seeds, groups.Results):
    """Which models are trained and attacked together."""

    group = "Sweep"

    variant: str = setting(
        "",
        "In what these models differ from others whose records lie in the same folder, in a word or two, for the names "
        "of records and the rows of tables.",
        decides=NOTHING,
    )
    adversaries: str = setting(
        "none,fgsm,bim,pgd",
        "VIB is trained against each of these, cross-entropy against the first two.",
        paper="none,fgsm,bim,pgd",
        decides=NOTHING,
    )

    def check(self) -> None:
        super().check()
        groups.check_names("adversaries", self.against or ("",), ADVERSARIES)
        if NONE not in self.against[:2]:  # images for transfer are made on cross-entropy without an adversary
            raise SettingError(f"--adversaries must have {NONE} among the first two, got {self.adversaries}")

    @property
    def against(self) -> tuple[str, ...]:
        """The adversaries by name."""
        return groups.split(self.adversaries)


@configure(
    num_attack_images=200,
    cw_steps=100,
    cw_binary_steps=5,
    num_cw_images=50,
    num_square_images=100,
    num_queries=300,
    paper={
        "num_attack_images": 10_000,
        "fgsm_epsilons": (0.1, 0.3, 0.5),
        "pgd_epsilons": (0.2, 0.3),
        "deepfool_steps": 100,
        "cw_const": 0.1,
    },
    note={"pgd_steps": "not given", "cw_binary_steps": ""},
    help={
        "pgd_epsilons": "Radii of BIM and PGD.",
        "cw_const": "The one c of CW (L2).",
        "cw_steps": "Steps of a round of CW.",
        "cw_binary_steps": "CW EOT: rounds of the search for c.",
        "num_cw_images": "Images attacked by CW EOT.",
        "num_eot_samples": "Samples of z averaged in each gradient with EOT, and in each query.",
    },
)
class AttackSettings(
    groups.AttackImages,
    groups.FgsmEpsilons,
    groups.PgdEpsilons,
    groups.PgdSteps,
    groups.DeepfoolSteps,
    groups.CwConst,
    groups.CwSteps,
    groups.CwRounds,
    groups.CwImages,
    groups.Eot,
    groups.Square,
    groups.AttackBatch,
    groups.Export,
):
    """What each trained model is attacked with."""

    group = "Attacks"

    honest_epsilons: tuple[float, ...] = setting(
        (0.1, 0.3),
        "Radii of what stands beside: PGD with EOT, with a margin loss too, transfer and Square.",
        unit=groups.SHARE,
        above=0,
        distinct=True,
        decides=EVALUATION,
    )
    bim_steps: int = setting(10, "Steps of BIM.", unit="steps", note="not given", least=1, decides=EVALUATION)
