"""The attacks of the experiments on adversarial robustness, as flags, and the plan of what is done to a model."""

import dataclasses
from typing import NamedTuple

from experiments.core import groups
from experiments.core.settings import EVALUATION, configure, setting

CLEAN, WORST = "clean", "worst of all"
FGSM, BIM, PGD, DEEPFOOL, CW = "FGSM", "BIM", "PGD", "DeepFool", "CW"  # the paper's, with one sample of z a gradient
PGD_EOT, MARGIN_EOT, CW_EOT = "PGD EOT", "PGD margin EOT", "CW EOT"
TRANSFER, SQUARE = "transfer", "Square"
PAPER = (FGSM, DEEPFOOL, CW, BIM, PGD)
BESIDE = (PGD_EOT, MARGIN_EOT, TRANSFER, SQUARE)
MINIMAL = (DEEPFOOL, CW, CW_EOT)
"""Attacks that have no radius."""


@configure(
    num_attack_images=200,
    cw_steps=100,
    cw_binary_steps=5,
    num_cw_images=50,
    num_square_images=100,
    num_queries=300,
    paper={
        "num_attack_images": 10_000,
        "fgsm_epsilons": (0.1, 0.3, 0.5),
        "pgd_epsilons": (0.2, 0.3),
        "deepfool_steps": 100,
        "cw_const": 0.1,
    },
    note={"pgd_steps": "not given", "cw_binary_steps": ""},
    help={
        "pgd_epsilons": "Radii of BIM and PGD.",
        "cw_const": "The one c of CW (L2).",
        "cw_steps": "Steps of a round of CW.",
        "cw_binary_steps": "CW EOT: rounds of the search for c.",
        "num_cw_images": "Images attacked by CW EOT.",
        "num_eot_samples": "Samples of z averaged in each gradient with EOT, and in each query.",
    },
)
@dataclasses.dataclass(frozen=True)
class AttackSettings(
    groups.AttackImages,
    groups.FgsmEpsilons,
    groups.PgdEpsilons,
    groups.PgdSteps,
    groups.DeepfoolSteps,
    groups.CwConst,
    groups.CwSteps,
    groups.CwRounds,
    groups.CwImages,
    groups.Eot,
    groups.Square,
    groups.AttackBatch,
):
    """What each trained model is attacked with."""

    group = "Attacks"

    honest_epsilons: tuple[float, ...] = setting(
        (0.1, 0.3),
        "Radii of what stands beside: PGD with EOT, with a margin loss too, transfer and Square.",
        unit=groups.SHARE,
        above=0,
        decides=EVALUATION,
    )
    bim_steps: int = setting(10, "Steps of BIM.", unit="steps", note="not given", least=1, decides=EVALUATION)


class Step(NamedTuple):
    """One attack on a model; `work` is its cost, in images times passes forth and back."""

    attack: str
    epsilon: float | None
    num_images: int
    work: float


def plan(settings: AttackSettings, num_images: int, *, stochastic: bool) -> list[Step]:
    """What is done to a model, in this order; a deterministic one is spared averages over samples."""
    count = min(settings.num_attack_images, num_images)
    num_square, num_cw = min(settings.num_square_images, count), min(settings.num_cw_images, count)
    samples = settings.num_eot_samples if stochastic else 1
    pgd, search = settings.pgd_steps, settings.cw_steps * settings.cw_binary_steps
    steps = [
        *((FGSM, epsilon, count, 1) for epsilon in settings.fgsm_epsilons),
        (DEEPFOOL, None, count, 10 * settings.deepfool_steps / 4),  # ten gradients a step; most end early
        (CW, None, count, settings.cw_steps),
        *((BIM, epsilon, count, settings.bim_steps) for epsilon in settings.pgd_epsilons),
        *((PGD, epsilon, count, pgd) for epsilon in settings.pgd_epsilons),
        (CW_EOT, None, num_cw, search * samples),
    ]
    for epsilon in settings.honest_epsilons:
        if stochastic or epsilon not in settings.pgd_epsilons:
            steps.append((PGD_EOT, epsilon, count, pgd * samples))
        steps.append((MARGIN_EOT, epsilon, count, pgd * samples))
        steps.append((TRANSFER, epsilon, count, pgd))
        steps.append((SQUARE, epsilon, num_square, settings.num_queries * samples / 2))
    return [Step(attack, epsilon, n, float(n * passes)) for attack, epsilon, n, passes in steps]
