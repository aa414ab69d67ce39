"""The settings of `experiments.mnist_objectives`."""

from typing import Any

from experiments.core import groups
from experiments.core.settings import configure, setting
from experiments.mnist_vib import DATASETS
from experiments.mnist_vib import RECIPES as PRESETS
from ib_jax import losses
from ib_jax.objectives import BOTTLENECKS, RATE_OBJECTIVES, RESIDUAL_OBJECTIVES

__all__ = ("PRESETS", "STRENGTH", "CompareConfig")

STRENGTH = dict.fromkeys(RATE_OBJECTIVES, "beta") | dict.fromkeys(RESIDUAL_OBJECTIVES, "rho")
STRENGTH |= {"dropout": "dropout_rate", "confidence_penalty": "confidence_penalty"}
STRENGTH |= {"label_smoothing": "label_smoothing", "cross_entropy": ""}
"""By objective the setting that is chosen on held-out images; none for plain cross-entropy."""


@configure(
    preset="compare",
    workdir="workdirs/mnist_objectives",
    objectives=",".join(BOTTLENECKS),
    num_seeds=3,
    num_epochs=0,
    choices={"dataset": DATASETS},
    least={"num_epochs": 0, "num_attack_images": 0},
    help={
        "preset": "Recipe of every run, see mnist_vib --help.",
        "workdir": "Folder of the runs; unfinished ones are resumed.",
        "num_seeds": "Runs of each objective at its best strength, seeds 0, 1, ...",
        "num_epochs": "Length of each run; 0 is the preset's.",
        "num_validation": "Training images held out to choose by; 0 is a sixth of them.",
        "num_attack_images": "First test images that are attacked; 0 for none.",
        "results": "Folder of the records. Default: results/ in the workdir.",
    },
)
class CompareConfig(
    groups.Recipe,
    groups.Workdir,
    groups.Results,
    groups.Dataset,
    groups.Validation,
    groups.Objectives,
    groups.Seeds,
    groups.Epochs,
    groups.AttackImages,
):
    """What is compared, and how long it may take."""

    group = "Sweep"

    strengths: tuple[float, ...] = setting(
        (1e-1, 1e-2, 1e-3, 1e-4),
        "Tried for each bottleneck: beta for vib and vub, and rho = log((1 - beta) / beta) for ceb and consistent_ceb.",
        unit="nats per nat",
        above=0,
        below=1,
    )
    dropout_rates: tuple[float, ...] = setting((0.2, 0.3, 0.4, 0.5), "Tried for dropout.", above=0, below=1)
    confidence_penalties: tuple[float, ...] = setting((0.03, 0.1, 0.3, 1.0), "Tried for confidence_penalty.", above=0)
    label_smoothings: tuple[float, ...] = setting((0.03, 0.1, 0.2, 0.3), "Tried for label_smoothing.", above=0, below=1)
    tuning_epochs: int = setting(0, "Length of the runs that choose; 0 is that of the others.", unit="epochs", least=0)

    def check(self) -> None:
        super().check()
        groups.check_names("objectives", self.compared or ("",), tuple(STRENGTH))

    def candidates(self, objective: str) -> dict[str, dict[str, Any]]:
        """By name the strengths to choose among: the settings that they are."""
        name = STRENGTH[objective]
        if objective in RESIDUAL_OBJECTIVES:
            return {f"beta{beta:g}": {name: round(float(losses.beta_to_rho(beta)), 4)} for beta in self.strengths}
        tried = {"beta": self.strengths, "dropout_rate": self.dropout_rates, "": ()}
        tried |= {"confidence_penalty": self.confidence_penalties, "label_smoothing": self.label_smoothings}
        return {f"{name.removesuffix('_rate')}{value:g}": {name: value} for value in tried[name]} or {"": {}}
