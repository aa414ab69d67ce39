"""The settings of one model of the adversarial experiments: network, objective, and whom it is trained against."""

import dataclasses
import math
from typing import Any

from experiments.core.flags import setting
from experiments.mnist_vib.settings import BOTTLENECKS, EVALUATION, NEVER, PIPELINES, RATE_OBJECTIVES

PRESETS = ("quick", "small", "paper")
DATASETS = ("digits", "mnist", "cifar10")
NETWORKS = ("mlp", "cnn_mlp", "all_cnn")
OBJECTIVES = ("cross_entropy", *BOTTLENECKS)
NONE, FGSM, BIM, PGD = "none", "fgsm", "bim", "pgd"
ADVERSARIES = (NONE, FGSM, BIM, PGD)


@dataclasses.dataclass(frozen=True)
class AdversarialConfig:
    """One model. Fields marked `decides="training"` fix it and may not change in a workdir."""

    preset: str = setting(
        "quick",
        "Run",
        "quick: digits, no download, two to four minutes on two cores. small: as measured. paper: the paper's sizes, "
        "as far as it gives them.",
        choices=PRESETS,
        decides=NEVER,
    )
    workdir: str = setting(
        "",
        "Run",
        "Folder of the models while they train; a second call goes on. Default: under workdirs/.",
        decides=NEVER,
    )
    seed: int = setting(0, "Run", "Seed of parameters, data order and noise.")

    dataset: str = setting(
        "digits", "Data", "Data set; digits needs no download.", paper="mnist, cifar10", choices=DATASETS
    )
    data_dir: str = setting(
        "",
        "Data",
        "Where tensorflow-datasets keeps its data. Default: $TFDS_DATA_DIR or ~/tensorflow_datasets.",
        decides=NEVER,
    )
    num_validation: int = setting(0, "Data", "Training images held out.", unit="images", paper="0")
    num_train_images: int = setting(0, "Data", "Only the first training images; 0 is all of them.", unit="images")

    objective: str = setting("vib", "Objective", "What is trained.", paper="vib, cross_entropy", choices=OBJECTIVES)
    beta: float = setting(1e-3, "Objective", "vib, vub: weight of the rate.", unit="nats per nat", paper="1e-3")
    rho: float = setting(3.0, "Objective", "ceb, consistent_ceb: the residual weighs e^-rho.", unit="nats per nat")
    num_train_samples: int = setting(1, "Objective", "Samples of z for each image and step.", paper="not given")

    adversary: str = setting(
        NONE,
        "Adversarial training",
        "Attack on the model as it stands, in each step.",
        paper="fgsm",
        choices=ADVERSARIES,
    )
    adversary_epsilon: float = setting(
        0.3, "Adversarial training", "Its L-inf radius.", unit="share of the pixel range", paper="0.3"
    )
    adversary_steps: int = setting(10, "Adversarial training", "Its steps; fgsm has one.", paper="not given")
    adversary_fraction: float = setting(
        0.5, "Adversarial training", "Share of each batch that is replaced by attacked images.", paper="not given"
    )
    consistency: float = setting(
        0.0,
        "Adversarial training",
        "Above 0: no image is replaced; the divergence between the answers to an image and to its attacked neighbour "
        "is added with this weight (TRADES).",
        unit="nats per nat",
    )

    network: str = setting(
        "mlp", "Network", "mlp, CNN-MLP or all-CNN.", paper="mlp, cnn_mlp, all_cnn", choices=NETWORKS
    )
    num_layers: int = setting(3, "Network", "N of {512}xN-{256}xN-2K.", paper="3")
    scale_width: float = setting(1.0, "Network", "Factor of all widths and channels.", paper="1")
    latent_dim: int = setting(256, "Network", "K, dimensions of the code; all_cnn has its own.", paper="not given")

    scale_shift: float = setting(
        0.0, "Network", "Added before the softplus that gives the scale of p(z|x).", paper="0; -5 in the VIB notebook"
    )

    num_epochs: int = setting(30, "Training", "Length of training.", unit="epochs", paper="not given")
    batch_size: int = setting(100, "Training", "Size of the global batch, over all devices.", unit="images")
    learning_rate: float = setting(5e-4, "Training", "Adam's rate at the start.", paper="1e-4 in the VIB paper")
    decay_rate: float = setting(0.97, "Training", "Factor of each staircase decay of the rate.")
    epochs_per_decay: float = setting(2.0, "Training", "Time between decays.", unit="epochs")
    weight_decay: float = setting(0.0, "Training", "Decoupled weight decay, times the learning rate.")
    average_decay: float = setting(0.99, "Training", "Decay of the Polyak average, which is evaluated; 0 for none.")
    steps_per_call: int = setting(
        0, "Training", "Steps in one compiled loop; 0 is a whole epoch.", unit="steps", decides=NEVER
    )
    num_microbatches: int = setting(1, "Training", "Parts in which a device takes its batch; must divide it.")
    remat: bool = setting(False, "Training", "Compute activations again in the backward pass, to save memory.")
    input_pipeline: str = setting(
        "resident", "Training", "Whether the images lie on the device.", choices=PIPELINES[:1], decides=NEVER
    )

    epochs_per_eval: int = setting(
        100, "Evaluation", "Time between evaluations, and between checkpoints.", unit="epochs", decides=EVALUATION
    )
    num_eval_samples: int = setting(12, "Evaluation", "Samples of z behind an answer.", decides=EVALUATION)
    eval_batch_size: int = setting(1000, "Evaluation", "Images in one evaluation batch.", unit="images", decides=NEVER)

    def __post_init__(self) -> None:
        at_least = {
            "num_train_images": 0,
            "num_train_samples": 1,
            "adversary_epsilon": 0,
            "adversary_steps": 1,
            "consistency": 0,
            "num_layers": 1,
            "latent_dim": 1,
            "num_epochs": 1,
            "batch_size": 1,
            "weight_decay": 0,
            "steps_per_call": 0,
            "num_microbatches": 1,
            "epochs_per_eval": 1,
            "num_eval_samples": 1,
            "eval_batch_size": 1,
            "beta": 0,
        }
        for name, least in at_least.items():
            value = getattr(self, name)
            if not value >= least or math.isinf(value):
                raise ValueError(f"--{name} must be at least {least} and finite, got {value}")
        for name in ("scale_width", "learning_rate", "epochs_per_decay"):
            if not getattr(self, name) > 0:
                raise ValueError(f"--{name} must be positive, got {getattr(self, name)}")
        if not 0 <= self.adversary_fraction <= 1:
            raise ValueError(f"--adversary_fraction must be in [0, 1], got {self.adversary_fraction}")
        if self.consistency and self.adversary != PGD:
            raise ValueError(f"--adversary must be {PGD} with --consistency, got {self.adversary}")
        if math.isnan(self.rho):
            raise ValueError(f"--rho must be a number, got {self.rho}")

    @property
    def stochastic(self) -> bool:
        """Whether the encoder is stochastic."""
        return self.objective in BOTTLENECKS

    @property
    def encoder_scale(self) -> Any:
        """Scale of p(z|x): learned for VIB and VUB, one for CEB, none for the deterministic baseline."""
        if not self.stochastic:
            return "zero"
        return "learned" if self.objective in RATE_OBJECTIVES else "unit"

    @property
    def name(self) -> str:
        """What the model is called in tables and files, without its seed."""
        strength = f"_beta{self.beta:g}" if self.objective in RATE_OBJECTIVES else ""
        strength += f"_rho{self.rho:g}" if self.stochastic and not strength else ""
        against = "" if self.adversary == NONE else f"_{self.adversary}{self.adversary_epsilon:g}"
        return f"{self.objective}{strength}{against}"
