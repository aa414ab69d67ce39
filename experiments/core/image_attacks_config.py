"""The attacks on image models, as flags, and the plan of what is done to a model."""

import dataclasses
import itertools
from typing import Any, NamedTuple

from experiments.core.attacks import SOURCE
from experiments.core.flags import setting
from experiments.mnist_vib.settings import EVALUATION
from ib_jax.evaluation import AttackSpec

LEVELS = 255.0  # radii are given in levels of a pixel; images lie in [0, 1]
PGD, TARGETED, MARGIN, LONG = "PGD", "PGD targeted", "PGD margin", "PGD long"
EOT, TRANSFER, SQUARE, WHOLE_RANGE = "PGD EOT", "transfer", "Square", "PGD whole range"
CLEAN, WORST = "clean", "worst of all"


@dataclasses.dataclass(frozen=True)
class AttackSettings:
    """What each trained model is attacked with."""

    linf_epsilons: tuple[float, ...] = setting(
        (2.0, 4.0, 8.0, 16.0), "Attacks", "L-inf radii.", unit="levels of 255", paper="0 to 16", decides=EVALUATION
    )
    l2_epsilons: tuple[float, ...] = setting(
        (32.0, 64.0, 128.0, 255.0), "Attacks", "L2 radii.", unit="levels of 255", paper="0 to 1,000", decides=EVALUATION
    )
    radius: float = setting(
        8.0,
        "Attacks",
        "The L-inf radius at which EOT, margin loss, twice the steps and Square stand beside PGD; one of the radii.",
        unit="levels of 255",
        paper="8",
        decides=EVALUATION,
    )
    pgd_steps: int = setting(20, "Attacks", "Steps n of PGD.", paper="20", decides=EVALUATION)
    pgd_path: float = setting(
        4 / 3, "Attacks", "A step of PGD is this times epsilon / n.", paper="4/3; ImageNet 2.5", decides=EVALUATION
    )
    num_eot_samples: int = setting(
        10, "Attacks", "Samples of z averaged in each gradient of the EOT attack.", decides=EVALUATION
    )
    num_attack_images: int = setting(
        1000, "Attacks", "First test images that are attacked; 0 attacks none.", paper="10,000", decides=EVALUATION
    )
    num_square_images: int = setting(200, "Attacks", "First test images attacked by Square.", decides=EVALUATION)
    num_queries: int = setting(1000, "Attacks", "Queries of Square for an image.", unit="queries", decides=EVALUATION)
    attack_batch_size: int = setting(200, "Attacks", "Images attacked at a time.", decides=EVALUATION)
    num_corrupted_images: int = setting(
        1000, "Corruptions", "First test images that are corrupted; 0 for none.", paper="10,000", decides=EVALUATION
    )

    def __post_init__(self) -> None:
        least = {"pgd_steps": 1, "num_eot_samples": 1, "num_queries": 1, "attack_batch_size": 1}
        least |= {"num_attack_images": 0, "num_square_images": 1, "num_corrupted_images": 0}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise ValueError(f"--{name} must be at least {bound}, got {getattr(self, name)}")
        for name in ("linf_epsilons", "l2_epsilons"):
            radii = getattr(self, name)
            if not radii or any(not low < high for low, high in itertools.pairwise((0.0, *radii))):
                raise ValueError(f"--{name} must be positive and increase, got {radii}")
        if not self.pgd_path > 0:
            raise ValueError(f"--pgd_path must be positive, got {self.pgd_path}")
        if self.radius not in self.linf_epsilons:
            raise ValueError(f"--radius must be one of --linf_epsilons, {self.linf_epsilons}, got {self.radius}")


class Step(NamedTuple):
    """What a record calls an attack; the radius is in levels."""

    attack: str
    norm: str
    epsilon: float


def plan(settings: AttackSettings, *, stochastic: bool) -> dict[AttackSpec, Step]:
    """What is done to a model, in this order; a deterministic one is spared what would change nothing."""
    radius, pgd = settings.radius, {"num_steps": settings.pgd_steps, "path_length": settings.pgd_path}
    at_mean: dict[str, Any] = pgd | {"at_mean": True}
    targeted, long = at_mean | {"targeted": True}, at_mean | {"num_steps": 2 * settings.pgd_steps}
    black_box = {"at_mean": True, "num_images": settings.num_square_images}
    asked = black_box | {"options": {"num_queries": settings.num_queries}}
    linf, l2, named = settings.linf_epsilons, settings.l2_epsilons, ((PGD, at_mean), (TARGETED, targeted))
    steps: list[tuple[Step, str, dict[str, Any]]] = [
        *((Step(name, "linf", epsilon), "pgd", own) for name, own in named for epsilon in linf),
        *((Step(name, "l2", epsilon), "pgd", own) for name, own in named for epsilon in l2),
        *((Step(TRANSFER, "linf", epsilon), "pgd", at_mean | {"source": SOURCE}) for epsilon in linf),
        (Step(WHOLE_RANGE, "linf", LEVELS), "pgd", at_mean),
        (Step(MARGIN, "linf", radius), "pgd", at_mean | {"loss": "margin"}),
        (Step(LONG, "linf", radius), "pgd", long),
        *([(Step(EOT, "linf", radius), "pgd", pgd | {"num_eot_samples": settings.num_eot_samples})] * stochastic),
        (Step(SQUARE, "linf", radius), "square", asked),
    ]
    found: dict[AttackSpec, Step] = {}
    for step, attack, own in steps:
        found.setdefault(AttackSpec(attack, step.epsilon / LEVELS, step.norm, **own), step)
    return found
