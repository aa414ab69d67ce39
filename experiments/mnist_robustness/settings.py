"""What `experiments.mnist_robustness` compares: its settings, the models, the attacks and their sizes."""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

from experiments.core.flags import setting
from experiments.mnist_vib.settings import NEVER, PRESETS, preset

DATASETS = ("digits", "mnist", "fashion_mnist")
DETERMINISTIC, DROPOUT = "cross_entropy", "dropout"

CLEAN, FGSM_ONE, FGSM, TRANSFER, SQUARE = "clean", "fgsm_one", "fgsm", "transfer", "square"
PGD, PGD_MARGIN, PGD_LONG, WORST = "pgd", "pgd_margin", "pgd_long", "worst"
CW_ONE, CW, CW_ONE_TARGETED, CW_TARGETED = "cw_one", "cw", "cw_one_targeted", "cw_targeted"
WITHOUT_NOISE = {FGSM_ONE: FGSM, CW_ONE: CW, CW_ONE_TARGETED: CW_TARGETED}  # one sample is the expectation there
PGD_STEPS = 20
WHOLE_RANGE = 1.0  # a radius within which every input lies


@dataclasses.dataclass(frozen=True)
class RobustnessConfig:
    """What is trained and attacked. Fields marked `decides=NEVER` may change while a comparison goes on."""

    dataset: str = setting("digits", "Models", "Data set; digits needs no download.", paper="mnist", choices=DATASETS)
    preset: str = setting("compare", "Models", "Recipe of every run, see mnist_vib --help.", choices=PRESETS)
    betas: tuple[float, ...] = setting(
        (1e-8, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1),
        "Models",
        "A VIB for each.",
        unit="nats per nat",
        paper="1e-8 to 1e-1",
        decides=NEVER,
    )
    num_seeds: int = setting(2, "Models", "Runs of each model, seeds 0, 1, ...", decides=NEVER)
    num_epochs: int = setting(0, "Models", "Length of each run; 0 is the preset's.", unit="epochs", paper="200")
    workdir: str = setting(
        "workdirs/mnist_robustness",
        "Models",
        "Folder of the runs, such as vib_beta0.001_seed0; finished ones are used, unfinished ones resumed.",
        decides=NEVER,
    )
    results: str = setting(
        "", "Models", "Folder of records, table and figures. Default: results/ in the workdir.", decides=NEVER
    )

    fgsm_epsilons: tuple[float, ...] = setting(
        (0.1, 0.175, 0.2, 0.225, 0.25, 0.35, 0.4, 0.45, 0.5),
        "L-inf attacks",
        "Radii of FGSM, besides --pgd_epsilons.",
        unit="share of the pixel range",
        paper="0.35,0.4,0.45,0.5 in units it does not give",
    )
    num_fgsm_images: int = setting(1000, "L-inf attacks", "First test images attacked by FGSM.", unit="images")
    pgd_epsilons: tuple[float, ...] = setting(
        (0.1, 0.2, 0.3),
        "L-inf attacks",
        "Radii of PGD, transfer and Square.",
        unit="share of the pixel range",
        paper="none of these",
    )
    radius: float = setting(
        0.1, "L-inf attacks", "The one of --pgd_epsilons at which PGD gets twice the steps, and which is drawn."
    )
    num_attack_images: int = setting(500, "L-inf attacks", "Images for PGD and for transfer.", unit="images")
    num_square_images: int = setting(200, "L-inf attacks", "Images for Square.", unit="images")
    num_queries: int = setting(1000, "L-inf attacks", "Square: candidates for each image.", unit="queries")
    num_eot_samples: int = setting(10, "L-inf attacks", "Samples of z averaged in each gradient or query.", paper="1")

    num_cw_images: int = setting(100, "Carlini-Wagner L2", "Images attacked.", unit="images")
    cw_steps: int = setting(200, "Carlini-Wagner L2", "Steps of each round.", unit="steps", paper="not given")
    cw_binary_steps: int = setting(6, "Carlini-Wagner L2", "Rounds of the search for c.", paper="not given")
    cw_learning_rate: float = setting(0.03, "Carlini-Wagner L2", "Adam's.", paper="not given")
    cw_initial_const: float = setting(0.1, "Carlini-Wagner L2", "The first c.", unit="per nat", paper="not given")
    cw_targets: str = setting(
        "random", "Carlini-Wagner L2", "Targets of an image: all other classes, or one of them at random.",
        paper="all", choices=("random", "all"),
    )  # fmt: skip
    num_cw_eot_samples: int = setting(
        40, "Carlini-Wagner L2", "Samples of z averaged in each gradient; one is tried as well.", paper="1, as it seems"
    )

    num_eval_samples: int = setting(12, "Verdict", "Fresh samples of z behind each answer.", paper="12")

    def __post_init__(self) -> None:
        if not self.betas or not all(beta > 0 for beta in self.betas):
            raise ValueError(f"--betas must be positive, got {self.betas}")
        least = {"num_seeds": 1, "num_epochs": 0, "num_queries": 1, "cw_steps": 1, "cw_binary_steps": 1}
        for field in dataclasses.fields(self):
            if field.name.endswith(("_images", "_samples")) or field.name in least:
                value, bound = getattr(self, field.name), least.get(field.name, 1)
                if value < bound:
                    raise ValueError(f"--{field.name} must be at least {bound}, got {value}")
        for name in ("cw_learning_rate", "cw_initial_const"):
            if not getattr(self, name) > 0:
                raise ValueError(f"--{name} must be positive, got {getattr(self, name)}")
        if any(not radius > 0 for radius in self.fgsm_epsilons):
            raise ValueError(f"--fgsm_epsilons must be positive, got {self.fgsm_epsilons}")
        radii = (0.0, *self.pgd_epsilons, 1.0)
        if not self.pgd_epsilons or any(not low < high for low, high in itertools.pairwise(radii)):
            raise ValueError(f"--pgd_epsilons must increase within (0, 1), got {self.pgd_epsilons}")
        if self.radius not in self.pgd_epsilons:
            raise ValueError(f"--radius must be one of --pgd_epsilons, {self.pgd_epsilons}, got {self.radius}")


class Model(NamedTuple):
    """What is trained: a row of the table. `beta` is None for the baselines."""

    objective: str
    beta: float | None
    seed: int

    @property
    def name(self) -> str:
        """The name of its folder and record."""
        return f"{self.objective}{'' if self.beta is None else f'_beta{self.beta:g}'}_seed{self.seed}"


def models(config: RobustnessConfig) -> list[Model]:
    """Everything that is attacked."""
    kinds = [(DETERMINISTIC, None), (DROPOUT, None), *(("vib", beta) for beta in config.betas)]
    return [Model(objective, beta, seed) for objective, beta in kinds for seed in range(config.num_seeds)]


def source_of(model: Model) -> Model:
    """The deterministic model of another seed, on which the images for transfer are made."""
    return Model(DETERMINISTIC, None, 1 if model.seed == 0 else 0)


def run_settings(config: RobustnessConfig, model: Model) -> dict[str, Any]:
    """The settings of `mnist_vib` for a model, but for the workdir."""
    settings = preset(config.preset, config.dataset) | {"dataset": config.dataset, "preset": config.preset}
    if config.num_epochs:
        settings["num_epochs"] = config.num_epochs
    settings |= {"objective": model.objective, "seed": model.seed, "figures": False, "num_attack_images": 0}
    settings |= {"epochs_per_eval": settings.get("num_epochs", 300)}
    return settings | ({} if model.beta is None else {"beta": model.beta})


class Step(NamedTuple):
    """One attack at one radius; `work` is what it costs at most, in images times passes forth and back."""

    attack: str
    epsilon: float | None
    num_images: int
    work: float

    @property
    def name(self) -> str:
        """Its name among the arrays."""
        return self.attack if self.epsilon is None else f"{self.attack}_{self.epsilon:g}"


def plan(config: RobustnessConfig, num_images: int, num_classes: int, *, stochastic: bool) -> list[Step]:
    """What is done to a model, in this order; a deterministic one is spared what would change nothing."""
    kinds = ("num_fgsm_images", "num_attack_images", "num_square_images", "num_cw_images")
    num_fgsm, num_pgd, num_square, num_cw = (min(getattr(config, kind), num_images) for kind in kinds)
    cw = config.cw_steps * config.cw_binary_steps
    each_target = cw * (num_classes - 1 if config.cw_targets == "all" else 1)
    radii = sorted({*config.fgsm_epsilons, *config.pgd_epsilons})
    attacked: list[tuple[str, Sequence[float | None], int, float]] = [
        (FGSM, radii, num_fgsm, 1.0),
        (FGSM_ONE, radii, num_fgsm, 1.0),
        (PGD, (*config.pgd_epsilons, WHOLE_RANGE), num_pgd, PGD_STEPS),
        (PGD_MARGIN, config.pgd_epsilons, num_pgd, PGD_STEPS),
        (PGD_LONG, (config.radius,), num_pgd, 2 * PGD_STEPS),
        (TRANSFER, config.pgd_epsilons, num_pgd, 1.0),
        (SQUARE, config.pgd_epsilons, num_square, config.num_queries / 3),  # forth alone
        (CW_ONE, (None,), num_cw, cw),
        (CW, (None,), num_cw, cw),
        (CW_ONE_TARGETED, (None,), num_cw, each_target),
        (CW_TARGETED, (None,), num_cw, each_target),
    ]
    return [
        Step(attack, epsilon, count, count * passes)
        for attack, epsilons, count, passes in attacked
        for epsilon in epsilons
        if stochastic or attack not in WITHOUT_NOISE
    ]
