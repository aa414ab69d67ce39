"""The settings of `experiments.mnist_vib`, and its presets."""

from experiments.core import groups
from experiments.core.optimizers import COSINE, STAIRCASE
from experiments.core.settings import (
    DATA,
    EVALUATION,
    OWN,
    SCALES,
    OneOf,
    Preset,
    SettingError,
    configure,
    setting,
)
from ib_jax.objectives import BOTTLENECKS, RATE_OBJECTIVES, RESIDUAL_OBJECTIVES

OBJECTIVES = (*BOTTLENECKS, "cross_entropy", "dropout", "confidence_penalty", "label_smoothing")
DATASETS = ("digits", "mnist", "fashion_mnist", "cifar10")
SCHEDULES = ("constant", "linear_gamma", "linear_rho", "gated_rho")
PRIORS = ("standard", "learned", "mixture")
INITIALIZERS = ("xavier_uniform", "he_normal", "lecun_normal")

PRESETS = {
    "quick": Preset(
        "trains in under a minute on two cores.",
        by_dataset={"digits": {"epochs_per_eval": 20}}
        | {name: {"num_epochs": 4, "epochs_per_eval": 1} for name in DATASETS if name != "digits"}
        | {OWN: {"num_epochs": 20, "epochs_per_eval": 1}},
    ),
    "paper": Preset("the paper's whole recipe.", {"dataset": "mnist", "num_epochs": 200, "learning_rate": 1e-4}),
    "tuned": Preset(
        "the paper's network and objective with a learning rate and weight decay chosen on held-out training images.",
        {"num_epochs": 60, "learning_rate": 5e-4, "decay_rate": 0.9, "weight_decay": 0.5},
    ),
    "compare": Preset(
        "20 epochs, tuned for no objective.", {"num_epochs": 20, "learning_rate": 5e-4, "decay_rate": 0.8}
    ),
}

RECIPES = {
    name: Preset(preset.help, {flag: value for flag, value in preset.values.items() if flag == "dataset"})
    for name, preset in PRESETS.items()
}
"""The same for a program that trains many such models: `--preset` names their recipe, and sets the data set alone."""


class _Objective(
    groups.Objective,
    groups.Beta,
    groups.Rho,
    groups.Schedule,
    groups.AnnealEpochs,
    groups.TrainSamples,
    groups.DropoutRate,
):
    label_smoothing: float = setting(
        0.1,
        "label_smoothing: share of the label spread over all classes.",
        least=0,
        most=1,
        objectives=("label_smoothing",),
    )
    confidence_penalty: float = setting(
        0.1, "confidence_penalty: weight of the entropy.", least=0, objectives=("confidence_penalty",)
    )

    def check(self) -> None:
        super().check()
        if self.schedule != "constant" and self.objective in RATE_OBJECTIVES and not 0 < self.beta < 1:
            raise SettingError(f"--beta must be in (0, 1) with --schedule={self.schedule}, got {self.beta}")


class _Network(groups.LatentDim, groups.HiddenWidth, groups.ScaleShift, groups.Precision):
    encoder_scale: str = setting(
        "learned",
        "Scale of p(z|x) in a bottleneck; full is a full covariance.",
        paper=lambda own: "full" if own.latent_dim == 2 else "learned",
        note="learned, with K = 2 full; ceb: unit",
        choices=(*SCALES, "full"),
        objectives=RATE_OBJECTIVES,
    )
    prior: str = setting(
        "standard", "vib, vub: r(z).", paper="standard", note="N(0, I)", choices=PRIORS, objectives=RATE_OBJECTIVES
    )
    backward_scale: str = setting(
        "learned",
        "ceb, consistent_ceb: scales of b(z|y).",
        paper="unit",
        choices=SCALES,
        objectives=RESIDUAL_OBJECTIVES,
    )
    initializer: str = setting("xavier_uniform", "Initial weights.", paper="xavier_uniform", choices=INITIALIZERS)


class _Training(groups.Training, groups.StaircaseDecay):
    decay: str = setting(
        STAIRCASE,
        "How the rate falls: in stairs, or along half a cosine to 0 at the end.",
        paper=STAIRCASE,
        choices=(STAIRCASE, COSINE),
    )
    input_noise: float = setting(
        0.0, "Standard deviation of noise on the training images.", unit=groups.SHARE, paper=0.0, least=0
    )


class _Attacks(groups.AttackImages, groups.Eot):
    attack_epsilons: tuple[float, ...] = setting(
        (0.1, 0.2, 0.3), "L-inf radii.", unit=groups.SHARE, least=0, empty=True, decides=EVALUATION
    )
    attack_l2_epsilons: tuple[float, ...] = setting(
        (0.5, 1.0, 2.0),
        "L2 radii.",
        unit="pixel ranges, root of the sum of squares",
        least=0,
        empty=True,
        decides=EVALUATION,
    )
    attack_steps: int = setting(20, "Steps of PGD.", unit="steps", least=1, decides=EVALUATION)


@configure(
    dataset="digits",
    latent_dim=256,
    scale_shift=-5.0,
    num_epochs=300,
    average_decay=0.999,
    epochs_per_eval=10,
    choices={"dataset": DATASETS, "objective": OBJECTIVES, "schedule": SCHEDULES},
    path={"dataset": DATA},
    paper={
        "dataset": "mnist",
        "num_validation": 0,
        "beta": 1e-3,
        "num_train_samples": 1,
        "latent_dim": OneOf(256, 2),
        "hidden_width": 1024,
        "scale_shift": -5.0,
        "precision": "float32",
        "num_epochs": 200,
        "batch_size": 100,
        "learning_rate": 1e-4,
        "weight_decay": 0.0,
        "decay_rate": 0.97,
        "epochs_per_decay": 2.0,
        "average_decay": 0.999,
        "num_eval_samples": 12,
    },
    note={"seed": "5 seeds", "rho": "above 0"} | {"learning_rate": "in its notebook; 1e-3 in the text"},
    help={
        "objective": "What is trained. dropout is cross-entropy with dropout.",
        "schedule": "How the strength is reached: at once; from rho = 100 on a line in e^-rho or in rho; or down to "
        "rho = 10, and on once training accuracy exceeds 20 %. For vib and vub beta is 1 / (1 + e^rho).",
        "latent_dim": "K, dimensions of the code z. With 2 the codes are drawn.",
        "learning_rate": "Adam's rate at the start.",
        "num_attack_images": "First test images that are attacked; 0 for none.",
    },
    least={"num_attack_images": 0},
)
class Config(
    groups.Run,
    groups.Figures,
    groups.Data,
    groups.DataChecksum,
    _Objective,
    _Network,
    _Training,
    groups.Pipeline,
    groups.Evaluation,
    _Attacks,
):
    """One run."""

    @property
    def name(self) -> str:
        """What the model is called in records, without its seed."""
        strength = {"vib": f"_beta{self.beta:g}", "vub": f"_beta{self.beta:g}"}.get(self.objective, f"_rho{self.rho:g}")
        return f"{self.preset}_{self.objective}{strength if self.stochastic else ''}_K{self.latent_dim}"
