"""What `experiments.mnist_robustness` compares: its settings, the models, the attacks and their sizes."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

from experiments.core import groups
from experiments.core.settings import EVALUATION, NOTHING, TRAINING, SettingError, configure, setting
from experiments.mnist_vib.settings import PRESETS as MNIST_VIB
from experiments.mnist_vib.settings import RECIPES as PRESETS

__all__ = ("PRESETS", "RobustnessConfig")

DATASETS = ("digits", "mnist", "fashion_mnist")
DETERMINISTIC, DROPOUT = "cross_entropy", "dropout"

CLEAN, FGSM_ONE, FGSM, TRANSFER, SQUARE = "clean", "fgsm_one", "fgsm", "transfer", "square"
PGD, PGD_MARGIN, PGD_LONG, WORST = "pgd", "pgd_margin", "pgd_long", "worst"
CW_ONE, CW, CW_ONE_TARGETED, CW_TARGETED = "cw_one", "cw", "cw_one_targeted", "cw_targeted"
WITHOUT_NOISE = {FGSM_ONE: FGSM, CW_ONE: CW, CW_ONE_TARGETED: CW_TARGETED}  # one sample is the expectation there
PGD_STEPS = 20
WHOLE_RANGE = 1.0  # a radius within which every input lies


@configure(
    preset="compare",
    workdir="workdirs/mnist_robustness",
    betas=(1e-8, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1),
    num_seeds=2,
    num_epochs=0,
    fgsm_epsilons=(0.1, 0.175, 0.2, 0.225, 0.25, 0.35, 0.4, 0.45, 0.5),
    pgd_epsilons=(0.1, 0.2, 0.3),
    num_attack_images=500,
    choices={"dataset": DATASETS},
    paper={"dataset": "mnist", "num_epochs": 200, "num_eval_samples": 12, "num_seeds": 3, "num_cw_images": 1000}
    | {"num_fgsm_images": 1000, "num_eot_samples": 12},
    note={
        "betas": "1e-8 to 1e-1",
        "num_eot_samples": "of probabilities",
        "fgsm_epsilons": "0.35,0.4,0.45,0.5 in units it does not give",
        "pgd_epsilons": "none of these",
    },
    decides={"preset": TRAINING, "betas": NOTHING},
    least={"num_epochs": 0},
    below={"pgd_epsilons": 1},
    increasing={"pgd_epsilons": True},
    help={
        "preset": "Recipe of every run, see mnist_vib --help.",
        "workdir": "Folder of the runs, such as vib_beta0.001_seed0; finished ones are used, unfinished ones resumed.",
        "betas": "A VIB for each.",
        "num_epochs": "Length of each run; 0 is the preset's.",
        "num_seeds": "Runs of each model, seeds 0, 1, ...",
        "fgsm_epsilons": "Radii of FGSM, besides --pgd_epsilons.",
        "pgd_epsilons": "Radii of PGD, transfer and Square.",
        "radius": "The one of --pgd_epsilons at which PGD gets twice the steps, and which is drawn.",
        "num_attack_images": "First test images for PGD and for transfer.",
        "num_queries": "Square: candidates for each image.",
        "num_eot_samples": "Samples of z averaged in each gradient or query.",
        "num_eval_samples": "Fresh samples of z behind each answer.",
    },
)
@dataclasses.dataclass(frozen=True)
class RobustnessConfig(
    groups.Recipe,
    groups.Workdir,
    groups.Results,
    groups.Dataset,
    groups.Betas,
    groups.Seeds,
    groups.Epochs,
    groups.FgsmEpsilons,
    groups.FgsmImages,
    groups.PgdEpsilons,
    groups.Radius,
    groups.AttackImages,
    groups.Square,
    groups.Eot,
    groups.CwImages,
    groups.CwSearch,
    groups.EvalSamples,
):
    """What is trained and attacked."""

    group = "Attacks"

    cw_targets: str = setting(
        "random",
        "Targets of an image: all other classes, or one of them at random.",
        paper="random",
        choices=("random", "all"),
        decides=EVALUATION,
    )
    num_cw_eot_samples: int = setting(
        40,
        "Carlini-Wagner: samples of z averaged in each gradient; one is tried as well.",
        paper=12,
        note="of probabilities",
        least=1,
        decides=EVALUATION,
    )

    def check(self) -> None:
        super().check()
        if self.radius not in self.pgd_epsilons:
            raise SettingError(f"--radius must be one of --pgd_epsilons, {self.pgd_epsilons}, got {self.radius}")


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
    settings = MNIST_VIB[config.preset].on(config.dataset) | {"preset": config.preset}
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
