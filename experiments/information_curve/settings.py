"""The settings of `experiments.information_curve` beside those of each model, and the members that they make."""

import dataclasses
import itertools

import numpy as np

from experiments.core.flags import setting
from experiments.core.objectives import strength_name
from experiments.mnist_vib.settings import NEVER, RESIDUAL_OBJECTIVES, Config
from ib_jax import losses

DECADES = tuple(float(f"1e{power}") for power in range(-9, 1))


@dataclasses.dataclass(frozen=True)
class CurveConfig:
    """Which members the populations have, and how they are laid out."""

    betas: tuple[float, ...] = setting(
        DECADES,
        "Curve",
        "Strengths: a..b is one for each power of ten, a..b:n are n of equal ratio.",
        unit="nats per nat",
        paper="1e-9..1",
    )
    num_seeds: int = setting(1, "Curve", "Models at each strength, with seeds --seed, --seed + 1, ...", paper="5")
    latent_dims: tuple[int, ...] = setting((2,), "Curve", "K of each population.", paper="256,2")
    members_at_once: int = setting(
        -1,
        "Curve",
        "Members computed side by side on a device, the others in turn; 0 is all, -1 what is fastest.",
        decides=NEVER,
    )
    memory_gib: float = setting(
        0.0, "Curve", "Memory of a device that the members may take; 0 is what is free.", unit="GiB", decides=NEVER
    )
    results: str = setting(
        "", "Curve", "Folder of records and figures. Default: results/ in the workdir.", decides=NEVER
    )

    def __post_init__(self) -> None:
        if not self.betas or not all(0 <= beta < np.inf for beta in self.betas):
            raise ValueError(f"--betas must be numbers of at least 0, got {self.betas}")
        if len(set(self.betas)) < len(self.betas):
            raise ValueError(f"--betas must differ, got {self.betas}")
        if self.num_seeds < 1:
            raise ValueError(f"--num_seeds must be at least 1, got {self.num_seeds}")
        if not self.latent_dims or min(self.latent_dims) < 1 or len(set(self.latent_dims)) < len(self.latent_dims):
            raise ValueError(f"--latent_dims must be different numbers of at least 1, got {self.latent_dims}")
        if self.members_at_once < -1:
            raise ValueError(f"--members_at_once must be at least -1, got {self.members_at_once}")
        if not 0 <= self.memory_gib < np.inf:
            raise ValueError(f"--memory_gib must be at least 0 and finite, got {self.memory_gib}")


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
