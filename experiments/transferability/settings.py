"""The settings of `experiments.transferability`: the pairs, how they are trained, and what they are attacked with."""

import dataclasses
import itertools
import math
from typing import Any

import numpy as np

from experiments.core.flags import setting
from experiments.mnist_vib.settings import EVALUATION, NEVER

PRESETS = ("quick", "small", "paper")
DATASETS = ("digits", "mnist")
FGSM, PGD = "FGSM", "PGD EOT"
ATTACKS = (FGSM, PGD)


@dataclasses.dataclass(frozen=True)
class PairConfig:
    """All pairs of a run. Fields marked `decides="training"` fix them and may not change in a workdir."""

    preset: str = setting(
        "quick",
        "Run",
        "quick: digits, no download, under a minute on two cores. small: as measured here. paper: longer training and "
        "all test images; the paper does not give its sizes.",
        choices=PRESETS,
        decides=NEVER,
    )
    workdir: str = setting(
        "", "Run", "Folder of the pairs while they train; a second call goes on. Default: under workdirs/.",
        decides=NEVER,
    )  # fmt: skip
    results: str = setting(
        "", "Run", "Folder of record, table and figure. Default: results/ in the workdir.", decides=NEVER
    )
    seed: int = setting(0, "Run", "Seed of the first pair; the next one has the next seed.")
    dataset: str = setting("digits", "Data", "Data set; digits needs no download.", paper="mnist", choices=DATASETS)
    data_dir: str = setting(
        "",
        "Data",
        "Where tensorflow-datasets keeps its data. Default: $TFDS_DATA_DIR or ~/tensorflow_datasets.",
        decides=NEVER,
    )

    depths: tuple[int, ...] = setting((1, 2, 3, 4), "Pairs", "Hidden layers of the encoders.", paper="not given")
    widths: tuple[int, ...] = setting((64, 256), "Pairs", "Units of a hidden layer.", paper="not given")
    betas: tuple[float, ...] = setting(
        (1e-3, 1e-2, 1e-1), "Pairs", "Weights of the rate.", unit="nats per nat", paper="three or so"
    )
    num_repeats: int = setting(2, "Pairs", "Pairs of each depth, width and beta.", paper="about 28 pairs in all")
    latent_dim: int = setting(64, "Pairs", "K, dimensions of the code.", paper="not given")
    decoder_width: int = setting(64, "Pairs", "Hidden units of the second decoder; the first one is linear.")

    num_epochs: int = setting(5, "Training", "Length of training.", unit="epochs", paper="not given")
    batch_size: int = setting(200, "Training", "Size of a batch.", unit="images", paper="not given")
    learning_rate: float = setting(1e-3, "Training", "Adam's rate at the start.", paper="1e-4 in the VIB paper")
    decay_rate: float = setting(0.97, "Training", "Factor of each staircase decay of the rate.")
    epochs_per_decay: float = setting(2.0, "Training", "Time between decays.", unit="epochs")
    average_decay: float = setting(0.99, "Training", "Decay of the Polyak average, which is evaluated; 0 for none.")
    epochs_per_eval: int = setting(
        100, "Training", "Time between evaluations, and between checkpoints.", unit="epochs", decides=EVALUATION
    )
    members_at_once: int = setting(
        -1, "Training", "Pairs computed side by side, the others in turn; 0 is all, -1 what is fastest.", decides=NEVER
    )

    num_eval_samples: int = setting(12, "Evaluation", "Samples of z behind an answer.", decides=EVALUATION)
    eval_batch_size: int = setting(1000, "Evaluation", "Images in one evaluation batch.", unit="images", decides=NEVER)
    epsilons: tuple[float, ...] = setting(
        (0.1, 0.3), "Attacks", "L-inf radii.", unit="share of the pixel range", paper="not given", decides=EVALUATION
    )
    num_attack_images: int = setting(
        10_000, "Attacks", "First test images that FGSM attacks.", paper="not given", decides=EVALUATION
    )
    num_pgd_images: int = setting(
        1000, "Attacks", "First test images that PGD attacks.", paper="not given", decides=EVALUATION
    )
    pgd_steps: int = setting(20, "Attacks", "Steps of PGD; FGSM has one.", paper="not given", decides=EVALUATION)
    num_eot_samples: int = setting(
        5, "Attacks", "Samples of z averaged in each gradient of PGD; FGSM takes one.", decides=EVALUATION
    )

    def __post_init__(self) -> None:
        for name in ("depths", "widths", "betas", "epsilons"):
            values = getattr(self, name)
            if not values or not all(0 < value < math.inf for value in values) or len(set(values)) < len(values):
                raise ValueError(f"--{name} must be different positive numbers, got {values}")
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            single = isinstance(value, int | float) and field.name not in ("seed", "average_decay", "members_at_once")
            if single and not 0 < value < math.inf:
                raise ValueError(f"--{field.name} must be positive and finite, got {value}")
        if not 0 <= self.average_decay < 1:
            raise ValueError(f"--average_decay must be in [0, 1), got {self.average_decay}")
        if self.members_at_once < -1:
            raise ValueError(f"--members_at_once must be at least -1, got {self.members_at_once}")

    # What a `Recipe` asks for besides, and what is not varied here.
    num_validation = 0
    objective = "vib"
    stochastic = True
    beta = math.nan  # each member has its own
    rho = 0.0
    num_train_samples = 1
    steps_per_call = 0
    weight_decay = 0.0
    num_microbatches = 1
    remat = False
    input_pipeline = "resident"
    memory_gib = 0.0


def preset(name: str, dataset: str) -> dict[str, object]:
    """The values of a preset that differ from the defaults, which are those of `small`."""
    if name == "paper":
        return {"num_epochs": 100, "num_repeats": 4, "num_pgd_images": 10_000, "pgd_steps": 40}
    if name == "small":
        return {}
    values: dict[str, object] = {"depths": (1, 2, 3), "widths": (16, 64), "betas": (1e-3, 1e-1), "num_repeats": 1}
    values |= {"latent_dim": 16, "num_pgd_images": 200, "pgd_steps": 10}
    return values | ({"num_epochs": 40, "batch_size": 50} if dataset == "digits" else {"num_epochs": 1})


def members(config: PairConfig) -> dict[str, np.ndarray]:
    """The hyperparams of the population by name, [M]; every pair has a seed of its own, so no two share a draw."""
    grid = list(itertools.product(config.depths, config.widths, config.betas, range(config.num_repeats)))
    depth, width, beta, _ = zip(*grid, strict=True)
    whole: dict[str, Any] = {"depth": depth, "width": width, "seed": config.seed + np.arange(len(grid))}
    return {name: np.array(values, np.int32) for name, values in whole.items()} | {"beta": np.array(beta, np.float32)}
