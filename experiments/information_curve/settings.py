"""The settings of `experiments.information_curve` beside those of each model, and the members that they make."""

import dataclasses
import itertools

import numpy as np

from experiments.core import groups
from experiments.core.objectives import strength_name
from experiments.core.settings import NOTHING, TRAINING, configure, setting
from experiments.mnist_vib import PRESETS, Config
from ib_jax import losses
from ib_jax.objectives import RATE_OBJECTIVES, RESIDUAL_OBJECTIVES

__all__ = ("PRESETS", "VARIED", "Config", "CurveConfig", "member_settings")

DECADES = tuple(float(f"1e{power}") for power in range(-9, 1))

VARIED = ("beta", "rho", "latent_dim", "encoder_scale")
"""Settings of a model that are none of a population's: it goes over --betas and --latent_dims."""
DRAWN = (1e-3, 1e-1, 1.0)
"""Strengths of which the two-dimensional codes are drawn, those of the paper's Figure 2."""


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
    full_covariance: bool = setting(True, "Whether p(z|x) has a full covariance with K = 2.", paper=True)
    alone: bool = setting(
        False,
        "Train each model alone, in a folder and with a record of its own, all betas of one seed before the next: as "
        "fast on a CPU, and a later run goes on with what is missing.",
        decides=NOTHING,
    )


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


def of_size(curve: CurveConfig, config: Config, latent_dim: int) -> Config:
    """The settings of the models of a size."""
    full = latent_dim == 2 and curve.full_covariance and config.objective in RATE_OBJECTIVES
    return dataclasses.replace(config, latent_dim=latent_dim, encoder_scale="full" if full else "learned")
