"""The settings of `experiments.attack_comparison`."""

import dataclasses

from experiments.core import groups
from experiments.core.settings import configure

GROUPS = ("fgsm", "bim", "pgd", "mi_fgsm", "apgd", "cw", "deepfool", "fab", "square", "autoattack")
DATASETS = ("digits", "mnist", "fashion_mnist")


@configure(
    num_epochs=20,
    batch_size=500,
    cw_binary_steps=5,
    choices={"dataset": DATASETS},
    note={
        "num_queries": "5000 in the peers",
        "cw_steps": "10000 in foolbox",
        "cw_binary_steps": "9 in foolbox",
        "cw_learning_rate": "0.01 in foolbox",
        "cw_initial_const": "0.001 in foolbox",
    },
    help={
        "checkpoint": "Workdir of a finished cross_entropy run of experiments.mnist_vib. Default: train one.",
        "dataset": "Without --checkpoint: data set to train on.",
        "num_epochs": "Without --checkpoint: length of training.",
        "hidden_width": "Without --checkpoint: units of each of the two ReLU layers.",
        "attacks": f"What is compared, with commas between: {', '.join(GROUPS)}; or all.",
        "num_images": "First test images attacked.",
        "batch_size": "Images attacked at a time, on both sides.",
        "num_queries": "Queries of Square, and of Square in AutoAttack.",
        "seed": "Seed of both sides; their random numbers differ all the same.",
        "output": "JSON record. Default: experiments/results/attack_comparison/<dataset>.json.",
    },
)
@dataclasses.dataclass(frozen=True)
class ComparisonConfig(
    groups.Seed,
    groups.Output,
    groups.Checkpoint,
    groups.Dataset,
    groups.DataDir,
    groups.Epochs,
    groups.HiddenWidth,
    groups.AttackNames,
    groups.NumImages,
    groups.Batch,
    groups.Queries,
    groups.CwSearch,
):
    """One comparison."""

    def check(self) -> None:
        super().check()
        groups.check_names("attacks", self.groups or ("",), GROUPS)

    @property
    def groups(self) -> tuple[str, ...]:
        """The attacks asked for."""
        return GROUPS if self.attacks == "all" else groups.split(self.attacks)
