"""What the settings of the image experiments have in common, and the attacks on their models: flags and plan."""

import math
from typing import Any

from experiments.core import groups
from experiments.core.attacks import SOURCE
from experiments.core.settings import EVALUATION, NOTHING, SettingError, Settings, configure, setting
from ib_jax.evaluation import AttackSpec

LEVELS = 255.0  # radii are given in levels of a pixel; images lie in [0, 1]
ANNEAL_EPOCHS = 12_000 / 156
"""The paper's 12,000 steps of 8,192 images of ImageNet, whose epoch has 156."""
SCHEDULES = ("gated_rho", "linear_gamma", "constant")


class OneRho(groups.Rho):
    """Rho for every bottleneck; vib and vub take their beta from it."""

    @property
    def beta(self) -> float:
        """The weight of the rate."""
        return 1.0 / (1.0 + math.exp(self.rho))


class JumpStart(groups.Schedule, groups.AnnealEpochs):
    """CEB's ways from rho = 100 down to the rho that is set."""

    gate_epochs: float = setting(2.0, "gated_rho: time down to 10.", unit="epochs", above=0)
    target_epochs: float = setting(1.0, "gated_rho: time from 10 to rho.", unit="epochs", above=0)


class ScaleEpochs(Settings, group="Run"):
    scale_epochs: float = setting(1.0, "Factor of the preset's epochs.", above=0, decides=NOTHING)


class L2Epsilons(Settings, group="Attacks"):
    l2_epsilons: tuple[float, ...] = setting((), "L2 radii.", above=0, decides=EVALUATION)


class PgdPath(Settings, group="Attacks"):
    pgd_path: float = setting(4 / 3, "A step of PGD is this times epsilon / steps.", above=0, decides=EVALUATION)


@configure(
    objective="ceb",
    schedule="gated_rho",
    latent_dim=0,
    anneal_epochs=ANNEAL_EPOCHS,
    eval_batch_size=500,
    choices={"schedule": SCHEDULES},
    least={"latent_dim": 0},
    decides={"scale_width": NOTHING},
    paper={"num_validation": 0, "gate_epochs": 2.0, "target_epochs": 1.0, "anneal_epochs": ANNEAL_EPOCHS}
    | {"num_train_samples": 1},
    help={
        "seed": "Seed of parameters, data order, augmentation and noise.",
        "rho": "Strength of a bottleneck: the residual weighs e^-rho; for vib and vub the rate 1 / (1 + e^rho).",
        "schedule": "How rho is reached, from 100: down to 10, and on once training accuracy exceeds 20 %; or on a "
        "line in e^-rho; or at once.",
        "anneal_epochs": "linear_gamma: time to rho.",
        "latent_dim": "K, dimensions of the code; 0 takes the pooled features as its mean, as the paper's listing 1.",
        "scale_width": "Factor of the preset's width.",
        "weight_decay": "Weight decay, of the kernels alone.",
        "steps_per_call": "Steps between two reports, between which a stop or resume happens; 0 is a whole epoch, or, "
        "with grain, what fits into memory.",
        "num_eval_samples": "Samples of z behind the averaged prediction; the paper takes the mean code.",
    },
)
class ImageConfig(
    groups.Run,
    ScaleEpochs,
    groups.ScaleWidth,
    groups.Data,
    groups.TrainImages,
    groups.ScaledObjective,
    OneRho,
    JumpStart,
    groups.TrainSamples,
    groups.LatentDim,
    groups.Precision,
    groups.Training,
    groups.Pipeline,
    groups.Evaluation,
):
    """One run."""


@configure(
    unit={"l2_epsilons": "levels of 255"},
    increasing={"l2_epsilons": True},
    empty={"l2_epsilons": False},
    decides={"attack_batch_size": EVALUATION},
    paper={"pgd_steps": 20},
)
class ImageAttacks(
    L2Epsilons,
    groups.PgdSteps,
    PgdPath,
    groups.Eot,
    groups.AttackImages,
    groups.Square,
    groups.AttackBatch,
    groups.Export,
):
    """What attacks on image models have in common."""


@configure(
    l2_epsilons=(32.0, 64.0, 128.0, 255.0),
    radius=8.0,
    attack_batch_size=200,
    paper={"radius": 8.0, "pgd_path": 4 / 3, "num_attack_images": 10_000},
    note={"l2_epsilons": "0 to 1,000"},
    unit={"radius": "levels of 255"},
    least={"num_attack_images": 0},
    help={
        "radius": "The L-inf radius at which EOT, margin loss, twice the steps and Square stand beside PGD; one of the "
        "radii.",
        "num_attack_images": "First test images that are attacked; 0 attacks none.",
    },
)
class AttackSettings(ImageAttacks, groups.Radius):
    """What each trained model is attacked with."""

    linf_epsilons: tuple[float, ...] = setting(
        (2.0, 4.0, 8.0, 16.0),
        "L-inf radii.",
        unit="levels of 255",
        note="0 to 16",
        above=0,
        increasing=True,
        decides=EVALUATION,
    )
    logit_scales: tuple[float, ...] = setting(
        (),
        "PGD at --radius also on the same network with its logits times each of these: as sure of itself as long "
        "training makes it, it answers as before, but in float32 its cross-entropy has no slope.",
        above=0,
        distinct=True,
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


def plan_scaled(settings: AttackSettings) -> list[AttackSpec]:
    """Those on a model whose logits are scaled: by cross-entropy, and by the margin, for which the scale is nothing."""
    sampled: dict[str, Any] = {"num_steps": settings.pgd_steps, "path_length": settings.pgd_path, "at_mean": True}
    return [AttackSpec("pgd", settings.radius / LEVELS, loss=loss, **sampled) for loss in ("cross_entropy", "margin")]


def plan(settings: AttackSettings, *, stochastic: bool) -> list[AttackSpec]:
    """The attacks on a model, in this order; a deterministic one is spared what would change nothing."""
    sampled: dict[str, Any] = {"num_steps": settings.pgd_steps, "path_length": settings.pgd_path}
    at_mean = sampled | {"at_mean": True}
    long, radius = at_mean | {"num_steps": 2 * settings.pgd_steps}, settings.radius / LEVELS
    queries = {"num_queries": settings.num_queries}
    specs = [
        *(
            AttackSpec("pgd", epsilon / LEVELS, norm, targeted=targeted, **at_mean)
            for norm, epsilons in (("linf", settings.linf_epsilons), ("l2", settings.l2_epsilons))
            for targeted in (False, True)
            for epsilon in epsilons
        ),
        *(AttackSpec("pgd", epsilon / LEVELS, source=SOURCE, **at_mean) for epsilon in settings.linf_epsilons),
        AttackSpec("pgd", 1.0, **at_mean),  # the whole range, under which everything must fall
        AttackSpec("pgd", radius, loss="margin", **at_mean),
        AttackSpec("pgd", radius, **long),
        *([AttackSpec("pgd", radius, num_eot_samples=settings.num_eot_samples, **sampled)] if stochastic else []),
        AttackSpec("square", radius, at_mean=True, num_images=settings.num_square_images, options=queries),
    ]
    return list(dict.fromkeys(specs))
