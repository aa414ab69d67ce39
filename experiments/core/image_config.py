"""The settings that the image experiments share: data, objective, jump-start, training and evaluation."""

import dataclasses
import math
from typing import Any

from experiments.core.flags import setting
from experiments.mnist_vib.settings import BOTTLENECKS, EVALUATION, NEVER, PIPELINES, PRECISIONS, RATE_OBJECTIVES

OBJECTIVES = ("cross_entropy", *BOTTLENECKS)
SCHEDULES = ("gated_rho", "linear_gamma", "constant")


@dataclasses.dataclass(frozen=True)
class ImageConfig:
    """One run. Fields marked `decides="training"` fix the trained model and may not change in a workdir."""

    workdir: str = setting(
        "", "Run", "Folder of the run; an unfinished one is resumed. Default: a new one under workdirs/.", decides=NEVER
    )
    seed: int = setting(0, "Run", "Seed of parameters, data order, augmentation and noise.")
    dataset: str = setting("cifar10", "Data", "Data set.")
    data_dir: str = setting(
        "",
        "Data",
        "Where tensorflow-datasets keeps its data. Default: $TFDS_DATA_DIR or ~/tensorflow_datasets.",
        decides=NEVER,
    )
    num_validation: int = setting(0, "Data", "Training images held out to choose by.", unit="images", paper="0")
    num_train_images: int = setting(0, "Data", "Only the first training images; 0 is all of them.", unit="images")

    objective: str = setting("ceb", "Objective", "What is trained.", choices=OBJECTIVES)
    rho: float = setting(
        3.0,
        "Objective",
        "Strength of a bottleneck: the residual weighs e^-rho; for vib and vub the rate 1 / (1 + e^rho).",
        unit="nats per nat",
    )
    schedule: str = setting(
        "gated_rho",
        "Objective",
        "How rho is reached, from 100: down to 10, and on once training accuracy exceeds 20 %; or on a line in e^-rho; "
        "or at once.",
        choices=SCHEDULES,
    )
    gate_epochs: float = setting(2.0, "Objective", "gated_rho: time down to 10.", unit="epochs", paper="2")
    target_epochs: float = setting(1.0, "Objective", "gated_rho: time from 10 to rho.", unit="epochs", paper="1")
    anneal_steps: int = setting(12_000, "Objective", "linear_gamma: time to rho.", unit="steps", paper="12,000")
    num_train_samples: int = setting(1, "Objective", "Samples of z for each image and step.", paper="1")

    latent_dim: int = setting(
        0, "Network", "K, dimensions of the code; 0 takes the pooled features as its mean, as the paper's listing 1."
    )

    num_epochs: int = setting(10, "Training", "Length of training.", unit="epochs")
    batch_size: int = setting(100, "Training", "Size of the global batch, over all devices.", unit="images")
    learning_rate: float = setting(1e-3, "Training", "Rate at the start.")
    weight_decay: float = setting(0.0, "Training", "Weight decay, of the kernels alone.")
    average_decay: float = setting(0.0, "Training", "Decay of a Polyak average, which is evaluated; 0 for none.")
    steps_per_call: int = setting(
        0,
        "Training",
        "Steps between two reports, between which a stop or resume happens; 0 is a whole epoch.",
        unit="steps",
        decides=NEVER,
    )
    precision: str = setting(
        "float32",
        "Training",
        "Of the network's products; parameters, statistics and losses are float32 in any case.",
        choices=PRECISIONS,
    )
    num_microbatches: int = setting(
        1, "Training", "Parts in which a device takes its batch, adding up gradients, to save memory; must divide it."
    )
    remat: bool = setting(False, "Training", "Compute activations again in the backward pass, to save memory.")
    input_pipeline: str = setting(
        "resident",
        "Training",
        "resident: all training images lie on each device. grain: read from disk as they are needed.",
        choices=PIPELINES,
        decides=NEVER,
    )

    epochs_per_eval: int = setting(
        1, "Evaluation", "Time between evaluations, and between checkpoints.", unit="epochs", decides=EVALUATION
    )
    num_eval_samples: int = setting(
        12,
        "Evaluation",
        "Samples of z behind the averaged prediction; the paper takes the mean code.",
        decides=EVALUATION,
    )
    eval_batch_size: int = setting(500, "Evaluation", "Images in one evaluation batch.", unit="images", decides=NEVER)

    def __post_init__(self) -> None:
        at_least = {
            "num_epochs": 1,
            "batch_size": 1,
            "anneal_steps": 1,
            "num_train_samples": 1,
            "num_microbatches": 1,
            "epochs_per_eval": 1,
            "num_eval_samples": 1,
            "eval_batch_size": 1,
            "latent_dim": 0,
            "weight_decay": 0,
            "steps_per_call": 0,
            "num_train_images": 0,
        }
        for name, least in at_least.items():
            value = getattr(self, name)
            if not value >= least or math.isinf(value):
                raise ValueError(f"--{name} must be at least {least} and finite, got {value}")
        for name in ("gate_epochs", "target_epochs", "learning_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"--{name} must be positive, got {getattr(self, name)}")
        if math.isnan(self.rho):
            raise ValueError(f"--rho must be a number, got {self.rho}")

    @property
    def stochastic(self) -> bool:
        """Whether the encoder is stochastic."""
        return self.objective in BOTTLENECKS

    @property
    def beta(self) -> float:
        """The weight of the rate, for vib and vub."""
        return 1.0 / (1.0 + math.exp(self.rho))

    @property
    def name(self) -> str:
        """What the model is called in tables, figures and files."""
        return f"{self.objective}_rho{self.rho:g}" if self.stochastic else self.objective

    @property
    def encoder_scale(self) -> Any:
        """Scale of p(z|x): learned for VIB and VUB, one for CEB, none for the deterministic baseline."""
        if not self.stochastic:
            return "zero"
        return "learned" if self.objective in RATE_OBJECTIVES else "unit"
