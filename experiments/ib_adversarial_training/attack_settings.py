"""The attacks of the experiments on adversarial robustness, as flags, and the plan of what is done to a model."""

import dataclasses
from typing import Any, NamedTuple

from experiments.core import groups
from experiments.core.attacks import SOURCE
from experiments.core.settings import EVALUATION, configure, setting
from ib_jax.evaluation import AttackSpec

CLEAN, WORST = "clean", "worst of all"
FGSM, BIM, PGD, DEEPFOOL, CW = "FGSM", "BIM", "PGD", "DeepFool", "CW"  # the paper's, with one sample of z a gradient
PGD_EOT, MARGIN_EOT, CW_EOT = "PGD EOT", "PGD margin EOT", "CW EOT"
TRANSFER, SQUARE = "transfer", "Square"
PAPER = (FGSM, DEEPFOOL, CW, BIM, PGD)
BESIDE = (PGD_EOT, MARGIN_EOT, TRANSFER, SQUARE)
KINDS = (*PAPER, CW_EOT, *BESIDE)
MINIMAL = (DEEPFOOL, CW, CW_EOT)
"""Attacks that have no radius."""

_CW_RATE = 0.05  # of Adam; 0.01 in the attack's paper, with 10,000 steps


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
    """What a record calls an attack; without a radius it looks for the smallest perturbation."""

    attack: str
    epsilon: float | None


def plan(settings: AttackSettings, *, stochastic: bool) -> dict[AttackSpec, Step]:
    """What is done to a model, in this order; a deterministic one is spared averages over samples."""
    samples = settings.num_eot_samples if stochastic else 1
    pgd: dict[str, Any] = {"num_steps": settings.pgd_steps}
    eot: dict[str, Any] = {"num_eot_samples": samples}
    cw: dict[str, Any] = {"const_per": "nat", "learning_rate": _CW_RATE}
    one_round = cw | {"num_binary_steps": 1, "initial_const": settings.cw_const}
    steps: list[tuple[str, float | None, str, dict[str, Any]]] = [
        *((FGSM, epsilon, "fgsm", {}) for epsilon in settings.fgsm_epsilons),
        (DEEPFOOL, None, "deepfool", {"num_steps": settings.deepfool_steps}),
        (CW, None, "carlini_wagner", _search(settings, one_round)),
        *((BIM, epsilon, "bim", {"num_steps": settings.bim_steps}) for epsilon in settings.pgd_epsilons),
        *((PGD, epsilon, "pgd", pgd) for epsilon in settings.pgd_epsilons),
    ]
    rounds = _search(settings, cw | {"num_binary_steps": settings.cw_binary_steps, "initial_const": 0.1})
    steps.append((CW_EOT, None, "carlini_wagner", rounds | eot | {"num_images": settings.num_cw_images}))
    square = eot | {"num_images": settings.num_square_images, "options": {"num_queries": settings.num_queries}}
    for epsilon in settings.honest_epsilons:
        if samples > 1 or epsilon not in settings.pgd_epsilons:
            steps.append((PGD_EOT, epsilon, "pgd", pgd | eot))
        steps.append((MARGIN_EOT, epsilon, "pgd", pgd | eot | {"loss": "margin"}))
        steps.append((TRANSFER, epsilon, "pgd", pgd | {"num_eot_samples": settings.num_eot_samples, "source": SOURCE}))
        steps.append((SQUARE, epsilon, "square", square))
    return {AttackSpec(attack, radius, **own): Step(name, radius) for name, radius, attack, own in steps}


def _search(settings: AttackSettings, options: dict[str, Any]) -> dict[str, Any]:
    return {"num_steps": settings.cw_steps, "options": options}
