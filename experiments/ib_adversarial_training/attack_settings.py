"""The attacks of the experiments on adversarial robustness, as flags, and the plan of what is done to a model."""

import dataclasses
from typing import Any, NamedTuple

from experiments.core.flags import setting
from experiments.mnist_vib.settings import EVALUATION, NEVER

CLEAN, WORST = "clean", "worst of all"
FGSM, BIM, PGD, DEEPFOOL, CW = "FGSM", "BIM", "PGD", "DeepFool", "CW"  # the paper's, with one sample of z a gradient
PGD_EOT, MARGIN_EOT, CW_EOT = "PGD EOT", "PGD margin EOT", "CW EOT"
TRANSFER, SQUARE = "transfer", "Square"
PAPER = (FGSM, DEEPFOOL, CW, BIM, PGD)
BESIDE = (PGD_EOT, MARGIN_EOT, TRANSFER, SQUARE)
MINIMAL = (DEEPFOOL, CW, CW_EOT)
"""Attacks that have no radius."""


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


def conditions(attack: str, settings: AttackSettings, *, stochastic: bool, source: str = "") -> dict[str, Any]:
    """The conditions of an attack's measurements, but for radius and images.

    Args:
      attack: its name here.
      settings: of all attacks.
      stochastic: whether the model's code is; gradients of a deterministic one are not averaged.
      source: the model on which the images of the transfer attack were made.
    """
    samples = settings.num_eot_samples if stochastic else 1
    eot: dict[str, Any] = {"num_eot_samples": samples}
    pgd: dict[str, Any] = {"attack": "pgd", "norm": "linf", "num_steps": settings.pgd_steps}
    cw: dict[str, Any] = {"attack": "carlini_wagner", "norm": "l2", "num_steps": settings.cw_steps}
    one: dict[str, Any] = {"num_eot_samples": 1}
    found: dict[str, dict[str, Any]] = {
        CLEAN: {"attack": "clean"},
        WORST: {"attack": "worst", "norm": "linf"},
        FGSM: {"attack": "fgsm", "norm": "linf"} | one,
        BIM: {"attack": "bim", "norm": "linf", "num_steps": settings.bim_steps} | one,
        PGD: pgd | one,
        PGD_EOT: pgd | eot,
        MARGIN_EOT: pgd | eot | {"loss": "margin"},
        DEEPFOOL: {"attack": "deepfool", "norm": "l2", "num_steps": settings.deepfool_steps} | one,
        CW: cw | one | {"num_binary_steps": 1},
        CW_EOT: cw | eot | {"num_binary_steps": settings.cw_binary_steps},
        TRANSFER: {"attack": "transfer", "norm": "linf", "source": source},
        SQUARE: {"attack": "square", "norm": "linf", "num_queries": settings.num_queries} | eot,
    }
    return found[attack]
