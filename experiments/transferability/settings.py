"""The settings of `experiments.transferability`: the pairs, how they are trained, and what they are attacked with."""

import itertools
import math
from typing import Any

import numpy as np

from experiments.core import groups
from experiments.core.settings import EVALUATION, TRAINING, Preset, Settings, configure, setting

DATASETS = ("digits", "mnist")

_QUICK = {"depths": (1, 2, 3), "widths": (16, 64), "betas": (1e-3, 1e-1), "num_repeats": 1}
PRESETS = {
    "quick": Preset(
        "digits, no download, under a minute on two cores.",
        _QUICK | {"latent_dim": 16, "num_pgd_images": 200, "pgd_steps": 10},
        by_dataset={"digits": {"num_epochs": 40, "batch_size": 50}, "mnist": {"num_epochs": 1}},
    ),
    "small": Preset("as measured here."),
    "paper": Preset(
        "longer training and all test images; the paper does not give its sizes.",
        {"dataset": "mnist", "num_epochs": 100, "num_repeats": 4, "num_pgd_images": 10_000, "pgd_steps": 40},
    ),
}


class _Pairs(Settings):
    group = "Pairs"

    depths: tuple[int, ...] = setting(
        (1, 2, 3, 4), "Hidden layers of the encoders.", note="not given", least=1, distinct=True
    )
    widths: tuple[int, ...] = setting((64, 256), "Units of a hidden layer.", note="not given", least=1, distinct=True)
    num_repeats: int = setting(2, "Pairs of each depth, width and beta.", note="about 28 pairs in all", least=1)
    decoder_width: int = setting(64, "Hidden units of the second decoder; the first one is linear.", least=1)


# The errors of the trained pairs are kept with them, so the samples behind them may not change in a workdir.
@configure(
    betas=(1e-3, 1e-2, 1e-1),
    latent_dim=64,
    num_epochs=5,
    batch_size=200,
    average_decay=0.99,
    epochs_per_eval=100,
    num_attack_images=10_000,
    num_eot_samples=5,
    choices={"dataset": DATASETS},
    paper={"dataset": "mnist"},
    decides={"num_eval_samples": TRAINING},
    note={"betas": "three or so", "learning_rate": "1e-4 in the VIB paper"}
    | dict.fromkeys(
        ("latent_dim", "num_epochs", "batch_size", "num_attack_images", "num_pgd_images", "pgd_steps"), "not given"
    ),
    help={
        "workdir": "Folder of the pairs while they train; a second call goes on. Default: under workdirs/.",
        "results": "Folder of record, table and figure. Default: results/ in the workdir.",
        "seed": "Seed of the first pair; the next one has the next seed.",
        "betas": "Weights of the rate.",
        "learning_rate": "Adam's rate at the start.",
        "num_attack_images": "First test images that FGSM attacks.",
        "pgd_steps": "Steps of PGD; FGSM has one.",
        "num_eot_samples": "Samples of z averaged in each gradient of PGD; FGSM takes one.",
    },
)
class PairConfig(
    groups.Run,
    groups.Results,
    groups.Dataset,
    groups.DataDir,
    _Pairs,
    groups.Betas,
    groups.LatentDim,
    groups.Fit,
    groups.StaircaseDecay,
    groups.AverageDecay,
    groups.MembersAtOnce,
    groups.Evaluation,
    groups.AttackImages,
    groups.PgdImages,
    groups.PgdSteps,
    groups.Eot,
):
    """All pairs of a run."""

    group = "Attacks"

    epsilons: tuple[float, ...] = setting(
        (0.1, 0.3),
        "L-inf radii.",
        unit=groups.SHARE,
        note="not given",
        above=0,
        distinct=True,
        decides=EVALUATION,
    )

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


def members(config: PairConfig) -> dict[str, np.ndarray]:
    """The hyperparams of the population by name, [M]; every pair has a seed of its own, so no two share a draw."""
    grid = list(itertools.product(config.depths, config.widths, config.betas, range(config.num_repeats)))
    depth, width, beta, _ = zip(*grid, strict=True)
    whole: dict[str, Any] = {"depth": depth, "width": width, "seed": config.seed + np.arange(len(grid))}
    return {name: np.array(values, np.int32) for name, values in whole.items()} | {"beta": np.array(beta, np.float32)}
