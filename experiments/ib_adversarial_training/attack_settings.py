"""The attacks of the experiments on adversarial robustness, as flags, and the plan of what is done to a model."""

import dataclasses
from typing import Any, NamedTuple

from experiments.core.attacks import SOURCE
from experiments.core.flags import setting
from experiments.mnist_vib.settings import EVALUATION, NEVER
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


@dataclasses.dataclass(frozen=True)
class AttackSettings:
    """What each trained model is attacked with."""

    num_attack_images: int = setting(
        200, "Attacks", "First test images that are attacked.", paper="10,000", decides=EVALUATION
    )
    fgsm_epsilons: tuple[float, ...] = setting(
        (0.1, 0.3, 0.5),
        "Attacks",
        "Radii of FGSM.",
        unit="share of the pixel range",
        paper="0.1,0.3,0.5",
        decides=EVALUATION,
    )
    pgd_epsilons: tuple[float, ...] = setting(
        (0.2, 0.3),
        "Attacks",
        "Radii of BIM and PGD.",
        unit="share of the pixel range",
        paper="0.2,0.3",
        decides=EVALUATION,
    )
    honest_epsilons: tuple[float, ...] = setting(
        (0.1, 0.3),
        "Attacks",
        "Radii of what stands beside: PGD with EOT, with a margin loss too, transfer and Square.",
        unit="share of the pixel range",
        decides=EVALUATION,
    )
    pgd_steps: int = setting(20, "Attacks", "Steps of PGD.", paper="not given", decides=EVALUATION)
    bim_steps: int = setting(10, "Attacks", "Steps of BIM.", paper="not given", decides=EVALUATION)
    deepfool_steps: int = setting(100, "Attacks", "Most steps of DeepFool.", paper="m = 100", decides=EVALUATION)
    cw_const: float = setting(0.1, "Attacks", "The one c of CW (L2).", unit="per nat", paper="0.1", decides=EVALUATION)
    cw_steps: int = setting(100, "Attacks", "Steps of a round of CW.", paper="not given", decides=EVALUATION)
    cw_binary_steps: int = setting(5, "Attacks", "CW EOT: rounds of the search for c.", decides=EVALUATION)
    num_cw_images: int = setting(50, "Attacks", "Images attacked by CW EOT.", decides=EVALUATION)
    num_eot_samples: int = setting(
        10, "Attacks", "Samples of z averaged in each gradient with EOT, and in each query.", decides=EVALUATION
    )
    num_square_images: int = setting(100, "Attacks", "Images attacked by Square.", decides=EVALUATION)
    num_queries: int = setting(300, "Attacks", "Queries of Square for an image.", decides=EVALUATION)
    attack_batch_size: int = setting(250, "Attacks", "Images attacked at a time.", decides=NEVER)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, tuple):
                if not value or not all(radius > 0 for radius in value):
                    raise ValueError(f"--{field.name} must be positive radii, got {value}")
            elif not value > 0:
                raise ValueError(f"--{field.name} must be positive, got {value}")


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
