"""The settings of `experiments.mnist_robustness`, and the models that it compares."""

import dataclasses
from typing import Any, NamedTuple

from experiments.core import groups
from experiments.core.settings import EVALUATION, NOTHING, TRAINING, SettingError, configure, setting
from experiments.mnist_vib import RECIPES

__all__ = ("PRESETS", "RobustnessConfig")

DATASETS = ("digits", "mnist", "fashion_mnist")
DETERMINISTIC, DROPOUT, VIB = "cross_entropy", "dropout", "vib"
PAPER_SAMPLES = 12
"""Of z, whose mean softmax the paper's Carlini-Wagner climbs and judges."""
_SMALL = {"betas": (1e-3, 1e-1), "num_seeds": 1, "fgsm_epsilons": (0.175, 0.35)} | {
    "num_fgsm_images": 100,
    "num_attack_images": 100,
    "num_square_images": 50,
    "num_queries": 200,
    "num_cw_images": 20,
    "cw_steps": 50,
}

PRESETS = RECIPES | {
    name: dataclasses.replace(RECIPES[name], by_dataset={"digits": _SMALL}) for name in ("quick", "compare")
}


@configure(
    preset="compare",
    workdir="workdirs/mnist_robustness",
    betas=(0.0, 1e-10, 1e-8, 1e-6, 1e-4, 1e-3, 1e-2, 1e-1),
    num_seeds=2,
    num_epochs=0,
    fgsm_epsilons=(0.1, 0.175, 0.2, 0.225, 0.25, 0.35, 0.4, 0.45, 0.5),
    pgd_epsilons=(0.1, 0.2, 0.3),
    num_attack_images=500,
    choices={"dataset": DATASETS},
    paper={"dataset": "mnist", "num_epochs": 200, "num_eval_samples": 12, "num_seeds": 3, "num_cw_images": 1000}
    | {"num_fgsm_images": 1000, "num_eot_samples": 12},
    note={
        "betas": "0 and 1e-10 to 1e-1",
        "num_eot_samples": "of probabilities",
        "fgsm_epsilons": "0.35,0.4,0.45,0.5 in units it does not give",
        "pgd_epsilons": "none of these",
    },
    decides={"preset": TRAINING, "betas": NOTHING},
    least={"num_epochs": 0, "betas": 0},
    above={"betas": None},
    below={"pgd_epsilons": 1},
    increasing={"pgd_epsilons": True},
    help={
        "preset": "Recipe of every run, see mnist_vib --help.",
        "workdir": "Folder of the runs, such as vib_beta0.001_seed0; finished ones are used, unfinished ones resumed.",
        "betas": "A VIB for each.",
        "dropout_rate": "Of the dropout network; mnist_vib_table chooses 0.3 on held-out images.",
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
class RobustnessConfig(
    groups.Recipe,
    groups.Workdir,
    groups.Results,
    groups.Dataset,
    groups.Betas,
    groups.DropoutRate,
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
    groups.Export,
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
        12,
        "Carlini-Wagner: samples of z averaged in each gradient; the paper's way is tried as well.",
        paper=PAPER_SAMPLES,
        note="of probabilities",
        least=1,
        decides=EVALUATION,
    )

    def check(self) -> None:
        super().check()
        if self.radius not in self.pgd_epsilons:
            raise SettingError(f"--radius must be one of --pgd_epsilons, {self.pgd_epsilons}, got {self.radius}")


class Trial(NamedTuple):
    """A model that is trained and attacked. `beta` is None for the baselines."""

    objective: str
    beta: float | None
    seed: int

    @property
    def kind(self) -> str:
        """What it is called, the same for all seeds: a row of the table."""
        return self.objective if self.beta is None else f"{self.objective}_beta{self.beta:g}"

    @property
    def name(self) -> str:
        """The name of its folder and record."""
        return f"{self.kind}_seed{self.seed}"

    def settings(self, config: RobustnessConfig) -> dict[str, Any]:
        """What differs from the recipe."""
        own = {"objective": self.objective, "seed": self.seed, "num_attack_images": 0}
        own |= {} if self.beta is None else {"beta": self.beta}
        return own | ({"dropout_rate": config.dropout_rate} if self.objective == DROPOUT else {})

    @property
    def source(self) -> "Trial":
        """The deterministic model of another seed, on which the images for transfer are made."""
        return Trial(DETERMINISTIC, None, 1 if self.seed == 0 else 0)


def trials(config: RobustnessConfig) -> list[Trial]:
    """Everything that is attacked."""
    kinds = [(DETERMINISTIC, None), (DROPOUT, None), *((VIB, beta) for beta in config.betas)]
    return [Trial(objective, beta, seed) for objective, beta in kinds for seed in range(config.num_seeds)]
