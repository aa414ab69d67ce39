"""The attacks on image models, as flags, and the plan of what is done to a model."""

import dataclasses
from typing import NamedTuple

from experiments.core import groups
from experiments.core.settings import EVALUATION, SettingError, configure, setting

LEVELS = 255.0  # radii are given in levels of a pixel; images lie in [0, 1]
PGD, TARGETED, MARGIN, LONG = "PGD", "PGD targeted", "PGD margin", "PGD long"
EOT, TRANSFER, SQUARE, WHOLE_RANGE = "PGD EOT", "transfer", "Square", "PGD whole range"
CLEAN, WORST = "clean", "worst of all"


@configure(
    l2_epsilons=(32.0, 64.0, 128.0, 255.0),
    radius=8.0,
    attack_batch_size=200,
    paper={"radius": 8.0, "pgd_steps": 20, "num_attack_images": 10_000},
    note={"l2_epsilons": "0 to 1,000", "pgd_path": "4/3; ImageNet 2.5"},
    unit={"l2_epsilons": "levels of 255", "radius": "levels of 255"},
    increasing={"l2_epsilons": True},
    empty={"l2_epsilons": False},
    least={"num_attack_images": 0},
    decides={"attack_batch_size": EVALUATION},
    help={
        "radius": "The L-inf radius at which EOT, margin loss, twice the steps and Square stand beside PGD; one of the "
        "radii.",
        "num_attack_images": "First test images that are attacked; 0 attacks none.",
    },
)
@dataclasses.dataclass(frozen=True)
class AttackSettings(
    groups.AttackImages,
    groups.L2Epsilons,
    groups.Radius,
    groups.PgdSteps,
    groups.PgdPath,
    groups.Eot,
    groups.Square,
    groups.AttackBatch,
):
    """What each trained model is attacked with."""

    group = "Attacks"

    linf_epsilons: tuple[float, ...] = setting(
        (2.0, 4.0, 8.0, 16.0),
        "L-inf radii.",
        unit="levels of 255",
        note="0 to 16",
        above=0,
        increasing=True,
        decides=EVALUATION,
    )
    num_corrupted_images: int = setting(
        1000,
        "First test images that are corrupted; 0 for none.",
        unit="images",
        paper=10_000,
        least=0,
        decides=EVALUATION,
    )

    def check(self) -> None:
        super().check()
        if self.radius not in self.linf_epsilons:
            raise SettingError(f"--radius must be one of --linf_epsilons, {self.linf_epsilons}, got {self.radius}")


class Step(NamedTuple):
    """One attack at one radius, in levels; `work` is its cost, in images times passes forth and back."""

    attack: str
    norm: str
    epsilon: float
    num_images: int
    work: float


def plan(settings: AttackSettings, num_images: int, *, stochastic: bool) -> list[Step]:
    """What is done to a model, in this order; a deterministic one is spared what would change nothing."""
    count, num_square = (min(n, num_images) for n in (settings.num_attack_images, settings.num_square_images))
    num_square = min(num_square, count)
    linf, l2, passes = settings.linf_epsilons, settings.l2_epsilons, float(settings.pgd_steps)
    steps = [
        *((attack, "linf", epsilon, count, passes) for attack in (PGD, TARGETED) for epsilon in linf),
        *((attack, "l2", epsilon, count, passes) for attack in (PGD, TARGETED) for epsilon in l2),
        *((TRANSFER, "linf", epsilon, count, 1.0) for epsilon in linf),
        (WHOLE_RANGE, "linf", LEVELS, count, passes),
        (MARGIN, "linf", settings.radius, count, passes),
        (LONG, "linf", settings.radius, count, 2 * passes),
        *([(EOT, "linf", settings.radius, count, passes)] if stochastic else []),
        (SQUARE, "linf", settings.radius, num_square, settings.num_queries / 3),  # forth alone
    ]
    return [Step(attack, norm, epsilon, n, n * cost) for attack, norm, epsilon, n, cost in steps]
