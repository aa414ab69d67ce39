"""The settings of `experiments.mnist_objectives`."""

from experiments.core import groups
from experiments.core.settings import configure, setting
from experiments.mnist_vib import DATASETS
from experiments.mnist_vib import RECIPES as PRESETS

__all__ = ("PRESETS", "CompareConfig")


@configure(
    preset="compare",
    workdir="workdirs/mnist_objectives",
    num_seeds=3,
    num_epochs=0,
    choices={"dataset": DATASETS},
    least={"num_epochs": 0},
    help={
        "preset": "Recipe of every run, see mnist_vib --help.",
        "workdir": "Folder of the runs; unfinished ones are resumed.",
        "num_seeds": "Runs of each objective at its best strength, seeds 0, 1, ...",
        "num_epochs": "Length of each run; 0 is the preset's.",
        "num_validation": "Training images held out to choose by; 0 is a sixth of them.",
        "results": "Folder of the records. Default: results/ in the workdir.",
    },
)
class CompareConfig(
    groups.Recipe, groups.Workdir, groups.Results, groups.Dataset, groups.Validation, groups.Seeds, groups.Epochs
):
    """What is compared, and how long it may take."""

    group = "Sweep"

    strengths: tuple[float, ...] = setting(
        (1e-1, 1e-2, 1e-3, 1e-4),
        "Tried for each objective: beta for vib and vub, and rho = log((1 - beta) / beta) for ceb and consistent_ceb.",
        unit="nats per nat",
        above=0,
        below=1,
    )
