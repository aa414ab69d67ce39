"""The settings of `experiments.mnist_vib_table`: those of `mnist_objectives`, with the objectives of the table."""

import dataclasses

from experiments.core.settings import configure
from experiments.mnist_objectives import PRESETS as RECIPES
from experiments.mnist_objectives import CompareConfig

__all__ = ("PRESETS", "TableConfig")

_SMALL = {"num_seeds": 1, "num_epochs": 20, "dropout_rates": (0.2, 0.4), "strengths": (1e-3,)}
_SMALL |= {"confidence_penalties": (0.1,), "label_smoothings": (0.1,)}
PRESETS = RECIPES | {"quick": dataclasses.replace(RECIPES["quick"], by_dataset={"digits": _SMALL})}


@configure(
    preset="quick",
    workdir="workdirs/mnist_vib_table",
    objectives="cross_entropy,dropout,confidence_penalty,label_smoothing,vib",
    strengths=(1e-2, 1e-3, 1e-4, 1e-5),
    num_seeds=5,
    num_attack_images=0,
    paper={"dataset": "mnist", "num_epochs": 200, "strengths": (1e-3,)},
    note={"num_seeds": "not given for Table 1; 5 in Figure 1"},
)
class TableConfig(CompareConfig):
    """What is trained."""
