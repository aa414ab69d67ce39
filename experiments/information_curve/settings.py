"""The settings of `experiments.information_curve` beside those of each model, and the members that they make."""

import itertools

import numpy as np

from experiments.core import groups
from experiments.core.objectives import strength_name
from experiments.core.settings import RESIDUAL_OBJECTIVES, TRAINING, configure, setting
from experiments.mnist_vib import PRESETS, Config
from ib_jax import losses

__all__ = ("PRESETS", "VARIED", "Config", "CurveConfig", "member_settings")

DECADES = tuple(float(f"1e{power}") for power in range(-9, 1))

VARIED = ("beta", "rho", "latent_dim")
"""Settings of a model that are none of a population's: it goes over --betas and --latent_dims."""


@configure(
    betas=DECADES,
    paper={"num_seeds": 5},
    note={"betas": "1e-9..1"},
    decides={"num_seeds": TRAINING},
    above={"betas": None},
    least={"betas": 0},
    help={
        "betas": "Strengths: a..b is one for each power of ten, a..b:n are n of equal ratio.",
        "num_seeds": "Models at each strength, with seeds --seed, --seed + 1, ...",
        "results": "Folder of records and figures. Default: results/ in the workdir.",
    },
)
class CurveConfig(groups.Betas, groups.Seeds, groups.Members, groups.Results):
    """Which members the populations have, and how they are laid out."""

    group = "Sweep"

    latent_dims: tuple[int, ...] = setting((2,), "K of each population.", paper=(256, 2), least=1, distinct=True)


def member_settings(curve: CurveConfig, config: Config) -> dict[str, np.ndarray]:
    """The population's hyperparams by name, M values each: every strength with every seed; `beta` among them."""
    pairs = list(itertools.product(curve.betas, range(config.seed, config.seed + curve.num_seeds)))
    betas, seeds = np.array([beta for beta, _ in pairs]), np.array([seed for _, seed in pairs], np.int32)
    members = {"beta": betas, "seed": seeds}
    if config.objective in RESIDUAL_OBJECTIVES:
        members["rho"] = np.array([float(losses.beta_to_rho(beta)) for beta in betas])
    elif strength_name(config.objective) != "beta":
        members[strength_name(config.objective)] = betas
    return members
