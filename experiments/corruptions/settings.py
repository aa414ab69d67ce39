"""The settings of `experiments.corruptions`."""

import dataclasses

from experiments.core import groups
from experiments.core.corrupted_images import ALL
from experiments.core.image_settings import AttackSettings, ImageAttacks
from experiments.core.settings import EVALUATION, INPUT, configure, setting
from ib_jax import corruptions


@configure(
    paper={"num_images": 0},
    least={"num_images": 0},
    decides={"seed": EVALUATION},
    help={
        "results": "Folder of records, table and figure. Default: corruptions/ in the first of --workdirs.",
        "data_dir": "Where tensorflow-datasets keeps its data. Default: as in training.",
        "num_images": "First test images; 0 is all of them.",
        "seed": "Seed of the corruptions' noise.",
    },
)
class CorruptionSettings(groups.DataDir, groups.Results, groups.Seed, groups.NumImages):
    """Which models are evaluated, and on what."""

    group = "Evaluation"

    workdirs: str = setting(
        "",
        "Workdirs of trained models with commas between, or the folder above those of a population. All of one data "
        "set; with cross-entropy among them, which the others are compared with.",
        local=True,
        path=INPUT,
    )
    published: bool = setting(
        False,
        "Take the published sets (CIFAR-10-C; ImageNet-C as tensorflow-datasets has it) instead of corrupting on the "
        "device, where frost is made up and other random numbers are drawn.",
        paper=True,
        decides=EVALUATION,
    )
    corruptions: str = setting(
        "",
        "Only these, with commas between; the average and mCE are of the 15 together or not at all. Default: the 15 "
        f"and 4 more, which are {', '.join(corruptions.EXTRA_CORRUPTIONS)}.",
        note="the 15",
        decides=EVALUATION,
    )
    imagenet_a: bool = setting(
        True, "ImageNet models: ImageNet-A as well, all of it, among its 200 classes.", decides=EVALUATION
    )
    attack: bool = setting(
        False,
        "PGD at a random target as in the paper, and beside it what tells robustness from masked gradients: "
        "untargeted, a margin loss, twice the steps, EOT, transfer from another model, and Square.",
        decides=EVALUATION,
    )

    def check(self) -> None:
        super().check()
        groups.check_names("corruptions", self.names, ALL)

    @property
    def names(self) -> tuple[str, ...]:
        """The corruptions, each once."""
        return tuple(dict.fromkeys(groups.split(self.corruptions))) or ALL


@configure(
    l2_epsilons=(16.0, 4080.0),
    pgd_path=2.5,
    num_attack_images=500,
    num_square_images=100,
    attack_batch_size=100,
    paper={"pgd_path": 2.5},
    note={"l2_epsilons": "16", "num_attack_images": "all"},
    help={
        "l2_epsilons": "L2 radii; the paper does not give the unit of its 16, so both as levels and as whole ranges "
        "(16 x 255).",
        "pgd_path": "A step of PGD is this times epsilon / steps; 2.5 makes 2 levels of 16 in 20 steps.",
        "num_square_images": "First of these attacked by Square.",
    },
)
class CorruptionAttacks(ImageAttacks):
    """What decides the attacks, and nothing without them."""

    linf_epsilon: float = setting(16.0, "L-inf radius.", unit="levels of 255", paper=16.0, above=0, decides=EVALUATION)

    def for_suite(self) -> AttackSettings:
        """The same for `core.image_models`."""
        shared = {field.name: getattr(self, field.name) for field in dataclasses.fields(ImageAttacks)}
        return AttackSettings(linf_epsilons=(self.linf_epsilon,), radius=self.linf_epsilon, **shared)
