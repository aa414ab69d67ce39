"""What the settings of the image experiments have in common: the data, rho, its jump-start, training and evaluation."""

import dataclasses

from experiments.core import groups
from experiments.core.settings import NOTHING, configure

SCHEDULES = ("gated_rho", "linear_gamma", "constant")


@configure(
    objective="ceb",
    schedule="gated_rho",
    latent_dim=0,
    eval_batch_size=500,
    choices={"schedule": SCHEDULES},
    least={"latent_dim": 0},
    decides={"scale_width": NOTHING},
    paper={
        "num_validation": 0,
        "gate_epochs": 2.0,
        "target_epochs": 1.0,
        "anneal_steps": 12_000,
        "num_train_samples": 1,
    },
    help={
        "seed": "Seed of parameters, data order, augmentation and noise.",
        "rho": "Strength of a bottleneck: the residual weighs e^-rho; for vib and vub the rate 1 / (1 + e^rho).",
        "schedule": "How rho is reached, from 100: down to 10, and on once training accuracy exceeds 20 %; or on a "
        "line in e^-rho; or at once.",
        "latent_dim": "K, dimensions of the code; 0 takes the pooled features as its mean, as the paper's listing 1.",
        "scale_width": "Factor of the preset's width.",
        "weight_decay": "Weight decay, of the kernels alone.",
        "steps_per_call": "Steps between two reports, between which a stop or resume happens; 0 is a whole epoch.",
        "num_eval_samples": "Samples of z behind the averaged prediction; the paper takes the mean code.",
    },
)
@dataclasses.dataclass(frozen=True)
class ImageConfig(
    groups.Run,
    groups.ScaleEpochs,
    groups.ScaleWidth,
    groups.Data,
    groups.TrainImages,
    groups.ScaledObjective,
    groups.OneRho,
    groups.JumpStart,
    groups.TrainSamples,
    groups.LatentDim,
    groups.Precision,
    groups.Training,
    groups.Pipeline,
    groups.Evaluation,
):
    """One run."""
