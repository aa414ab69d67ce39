"""The attacks on image models, as flags, and the plan of what is done to a model."""

import dataclasses
from typing import Any, NamedTuple

from experiments.core import groups
from experiments.core.attacks import SOURCE
from experiments.core.settings import EVALUATION, SettingError, configure, setting
from ib_jax.evaluation import AttackSpec

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
