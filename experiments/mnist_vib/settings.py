"""The settings of `experiments.mnist_vib`: every flag with its group, unit and the paper's value, and the presets."""

import dataclasses
import math

from experiments.core.flags import setting

RATE_OBJECTIVES = ("vib", "vub")
RESIDUAL_OBJECTIVES = ("ceb", "consistent_ceb")
BOTTLENECKS = RATE_OBJECTIVES + RESIDUAL_OBJECTIVES
OBJECTIVES = (*BOTTLENECKS, "cross_entropy", "dropout", "confidence_penalty", "label_smoothing")
DATASETS = ("digits", "mnist", "fashion_mnist", "cifar10")
PRESETS = ("quick", "paper", "tuned", "compare")
SCHEDULES = ("constant", "linear_gamma", "linear_rho", "gated_rho")
SCALES = ("learned", "unit")
PRIORS = ("standard", "learned", "mixture")
INITIALIZERS = ("xavier_uniform", "he_normal", "lecun_normal")
PRECISIONS = ("float32", "bfloat16")
GRAIN = "grain"
PIPELINES = ("resident", GRAIN)
NEVER, EVALUATION, TRAINING = "never", "evaluation", "training"


@dataclasses.dataclass(frozen=True)
class Config:
    """One run. Fields marked `decides="training"` fix the trained model and may not change in a workdir."""

    preset: str = setting(
        "quick",
        "Run",
        "quick: trains in under a minute on two cores. paper: the paper's whole recipe. tuned: the paper's network and "
        "objective with a learning rate and weight decay chosen on held-out training images. compare: 20 epochs, tuned "
        "for no objective.",
        choices=PRESETS,
        decides=NEVER,
    )
    workdir: str = setting(
        "", "Run", "Folder of the run; an unfinished one is resumed. Default: a new one under workdirs/.", decides=NEVER
    )
    seed: int = setting(0, "Run", "Seed of parameters, data order and noise.", paper="5 seeds")
    figures: bool = setting(True, "Run", "Whether to draw the figures.", decides=NEVER)

    dataset: str = setting("digits", "Data", "Data set; digits needs no download.", paper="mnist", choices=DATASETS)
    data_dir: str = setting(
        "",
        "Data",
        "Where tensorflow-datasets keeps its data. Default: $TFDS_DATA_DIR or ~/tensorflow_datasets.",
        decides=NEVER,
    )
    num_validation: int = setting(0, "Data", "Training images held out to choose by.", unit="images", paper="0")

    objective: str = setting(
        "vib", "Objective", "What is trained. dropout is cross-entropy with dropout.", choices=OBJECTIVES
    )
    beta: float = setting(1e-3, "Objective", "vib, vub: weight of the rate.", unit="nats per nat", paper="1e-3")
    rho: float = setting(
        3.0, "Objective", "ceb, consistent_ceb: the residual weighs e^-rho.", paper="above 0", unit="nats per nat"
    )
    schedule: str = setting(
        "constant",
        "Objective",
        "How the strength is reached: at once; from rho = 100 on a line in e^-rho or in rho; or down to rho = 10, and "
        "on once training accuracy exceeds 20 %. For vib and vub beta is 1 / (1 + e^rho).",
        choices=SCHEDULES,
    )
    anneal_epochs: float = setting(1.0, "Objective", "Length of a linear schedule.", unit="epochs")
    num_train_samples: int = setting(1, "Objective", "Bottlenecks: samples of z for each image and step.", paper="1")
    label_smoothing: float = setting(0.1, "Objective", "label_smoothing: share of the label spread over all classes.")
    confidence_penalty: float = setting(0.1, "Objective", "confidence_penalty: weight of the entropy.")
    dropout_rate: float = setting(0.5, "Objective", "dropout: share of hidden units dropped.")

    latent_dim: int = setting(
        256, "Network", "K, dimensions of the code z. With 2 the codes are drawn.", paper="256 and 2"
    )
    hidden_width: int = setting(1024, "Network", "Units of each of the two ReLU layers.", paper="1024")
    encoder_scale: str = setting(
        "learned", "Network", "Scale of p(z|x) in a bottleneck.", paper="vib: learned, ceb: unit", choices=SCALES
    )
    prior: str = setting("standard", "Network", "vib, vub: r(z).", paper="standard: N(0, I)", choices=PRIORS)
    backward_scale: str = setting(
        "learned", "Network", "ceb, consistent_ceb: scales of b(z|y).", paper="unit", choices=SCALES
    )
    scale_shift: float = setting(
        -5.0, "Network", "Added before the softplus that gives the scale of p(z|x).", paper="-5"
    )
    initializer: str = setting(
        "xavier_uniform", "Network", "Initial weights.", paper="xavier_uniform", choices=INITIALIZERS
    )

    num_epochs: int = setting(300, "Training", "Length of training.", unit="epochs", paper="200")
    batch_size: int = setting(
        100, "Training", "Size of the global batch, over all devices.", unit="images", paper="100"
    )
    learning_rate: float = setting(1e-3, "Training", "Adam's rate at the start.", paper="1e-4")
    weight_decay: float = setting(
        0.0, "Training", "Decoupled weight decay (AdamW), times the learning rate.", paper="0"
    )
    decay_rate: float = setting(0.97, "Training", "Factor of each staircase decay of the rate.", paper="0.97")
    epochs_per_decay: float = setting(2.0, "Training", "Time between decays.", unit="epochs", paper="2")
    average_decay: float = setting(
        0.999, "Training", "Decay of the debiased Polyak average, which is evaluated.", paper="0.999"
    )
    steps_per_call: int = setting(
        0,
        "Training",
        "Steps in one compiled loop; 0 is a whole epoch. A stop or resume happens between two loops.",
        unit="steps",
        decides=NEVER,
    )

    precision: str = setting(
        "float32",
        "Training",
        "Of the networks' products; parameters and losses are float32 in any case.",
        choices=PRECISIONS,
        paper="float32",
    )
    num_microbatches: int = setting(
        1, "Training", "Parts in which a device takes its batch, adding up gradients, to save memory; must divide it."
    )
    remat: bool = setting(False, "Training", "Compute activations again in the backward pass, to save memory.")
    input_pipeline: str = setting(
        "resident",
        "Training",
        "resident: all training images lie on each device. grain: read from disk as they are needed, each process its "
        "share, for data that does not fit. Both take the same batches.",
        choices=PIPELINES,
        decides=NEVER,
    )

    num_eval_samples: int = setting(
        12, "Evaluation", "Samples of z behind the averaged prediction.", paper="12", decides=EVALUATION
    )
    epochs_per_eval: int = setting(
        10, "Evaluation", "Time between evaluations, and between checkpoints.", unit="epochs", decides=EVALUATION
    )
    eval_batch_size: int = setting(1000, "Evaluation", "Images in one evaluation batch.", unit="images", decides=NEVER)

    attack_epsilons: tuple[float, ...] = setting(
        (0.1, 0.2, 0.3), "Attacks", "L-inf radii.", unit="share of the pixel range", decides=EVALUATION
    )
    attack_l2_epsilons: tuple[float, ...] = setting(
        (0.5, 1.0, 2.0), "Attacks", "L2 radii.", unit="pixel ranges, root of the sum of squares", decides=EVALUATION
    )
    attack_steps: int = setting(20, "Attacks", "Steps of PGD.", unit="steps", decides=EVALUATION)
    num_eot_samples: int = setting(
        10, "Attacks", "Samples of z averaged in each gradient of an attack.", decides=EVALUATION
    )
    num_attack_images: int = setting(
        1000, "Attacks", "First test images that are attacked; 0 for none.", unit="images", decides=EVALUATION
    )

    def __post_init__(self) -> None:
        at_least = {
            "num_epochs": 1,
            "batch_size": 1,
            "epochs_per_eval": 1,
            "num_eval_samples": 1,
            "attack_steps": 1,
            "num_eot_samples": 1,
            "num_attack_images": 0,
            "beta": 0,
            "weight_decay": 0,
            "hidden_width": 1,
            "steps_per_call": 0,
            "eval_batch_size": 1,
            "num_train_samples": 1,
            "num_microbatches": 1,
            "confidence_penalty": 0,
        }
        for name, least in at_least.items():
            value = getattr(self, name)
            if not value >= least or math.isinf(value):
                raise ValueError(f"--{name} must be at least {least} and finite, got {value}")
        for name in ("attack_epsilons", "attack_l2_epsilons"):
            if any(not epsilon >= 0 for epsilon in getattr(self, name)):
                raise ValueError(f"--{name} must be radii of at least 0, got {getattr(self, name)}")
        for name in ("epochs_per_decay", "anneal_epochs"):
            if not getattr(self, name) > 0:
                raise ValueError(f"--{name} must be positive, got {getattr(self, name)}")
        if math.isnan(self.rho):
            raise ValueError(f"--rho must be a number, got {self.rho}")
        if self.schedule != "constant" and self.objective in RATE_OBJECTIVES and not 0 < self.beta < 1:
            raise ValueError(f"--beta must be in (0, 1) with --schedule={self.schedule}, got {self.beta}")
        if not 0 <= self.label_smoothing <= 1:
            raise ValueError(f"--label_smoothing must be in [0, 1], got {self.label_smoothing}")

    @property
    def stochastic(self) -> bool:
        """Whether the encoder is stochastic; the baselines are not."""
        return self.objective in BOTTLENECKS

    @property
    def strength(self) -> str:
        """The setting that decides how strong the bottleneck is, for titles and tables."""
        if not self.stochastic:
            return ""
        return f"beta = {self.beta:g}" if self.objective in RATE_OBJECTIVES else f"rho = {self.rho:g}"

    @property
    def name(self) -> str:
        """What the model is called in records, without its seed."""
        strength = {"vib": f"_beta{self.beta:g}", "vub": f"_beta{self.beta:g}"}.get(self.objective, f"_rho{self.rho:g}")
        return f"{self.preset}_{self.objective}{strength if self.stochastic else ''}_K{self.latent_dim}"


def preset(name: str, dataset: str) -> dict[str, object]:
    """The values of a preset that differ from the defaults."""
    if name == "paper":
        return {"num_epochs": 200, "learning_rate": 1e-4}
    if name == "tuned":
        return {"num_epochs": 60, "learning_rate": 5e-4, "decay_rate": 0.9, "weight_decay": 0.5}
    if name == "compare":
        return {"num_epochs": 20, "learning_rate": 5e-4, "decay_rate": 0.8}
    return {"epochs_per_eval": 20} if dataset == "digits" else {"num_epochs": 4, "epochs_per_eval": 1}
