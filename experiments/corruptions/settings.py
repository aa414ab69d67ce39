"""The settings of `experiments.corruptions`."""

import dataclasses

from experiments.core.flags import setting
from experiments.core.image_attacks_config import AttackSettings
from experiments.mnist_vib.settings import EVALUATION, NEVER
from ib_jax import corruptions

ALL = (*corruptions.CORRUPTIONS, *corruptions.EXTRA_CORRUPTIONS)


@dataclasses.dataclass(frozen=True)
class CorruptionSettings:
    """Which models are evaluated, and on what."""

    workdirs: str = setting(
        "",
        "Models",
        "Workdirs of trained models with commas between, or the folder above those of a population. All of one data "
        "set; with cross-entropy among them, which the others are compared with.",
        decides=NEVER,
    )
    data_dir: str = setting(
        "", "Models", "Where tensorflow-datasets keeps its data. Default: as in training.", decides=NEVER
    )
    results: str = setting(
        "",
        "Models",
        "Folder of records, table and figure. Default: corruptions/ in the first of --workdirs.",
        decides=NEVER,
    )
    num_images: int = setting(
        1000, "Images", "First test images; 0 is all of them.", unit="images", paper="all", decides=EVALUATION
    )
    published: bool = setting(
        False,
        "Images",
        "Take the published sets (CIFAR-10-C; ImageNet-C as tensorflow-datasets has it) instead of corrupting on the "
        "device, where frost is made up and other random numbers are drawn.",
        paper="as published",
        decides=EVALUATION,
    )
    corruptions: str = setting(
        "",
        "Images",
        "Only these, with commas between; the average and mCE are of the 15 together or not at all. Default: the 15 "
        f"and 4 more, which are {', '.join(corruptions.EXTRA_CORRUPTIONS)}.",
        paper="the 15",
        decides=EVALUATION,
    )
    seed: int = setting(0, "Images", "Seed of the corruptions' noise.", decides=EVALUATION)
    imagenet_a: bool = setting(
        True, "Images", "ImageNet models: ImageNet-A as well, all of it, among its 200 classes.", decides=EVALUATION
    )
    attack: bool = setting(
        False,
        "Attacks",
        "PGD at a random target as in the paper, and beside it what tells robustness from masked gradients: "
        "untargeted, a margin loss, twice the steps, EOT, transfer from another model, and Square.",
        decides=EVALUATION,
    )
    linf_epsilon: float = setting(
        16.0, "Attacks", "L-inf radius.", unit="levels of 255", paper="16", decides=EVALUATION
    )
    l2_epsilons: tuple[float, ...] = setting(
        (16.0, 4080.0),
        "Attacks",
        "L2 radii; the paper does not give the unit of its 16, so both as levels and as whole ranges (16 x 255).",
        unit="levels of 255",
        paper="16",
        decides=EVALUATION,
    )
    pgd_steps: int = setting(20, "Attacks", "Steps n of PGD.", paper="20", decides=EVALUATION)
    pgd_path: float = setting(
        2.5,
        "Attacks",
        "A step of PGD is this times epsilon / n; 2.5 makes 2 levels of 16 in 20 steps.",
        paper="2.5",
        decides=EVALUATION,
    )
    num_eot_samples: int = setting(
        10, "Attacks", "Samples of z averaged in each gradient of the EOT attack.", decides=EVALUATION
    )
    num_attack_images: int = setting(
        500, "Attacks", "First test images that are attacked.", unit="images", paper="all", decides=EVALUATION
    )
    num_square_images: int = setting(
        100, "Attacks", "First of these attacked by Square.", unit="images", decides=EVALUATION
    )
    num_queries: int = setting(1000, "Attacks", "Queries of Square for an image.", unit="queries", decides=EVALUATION)
    attack_batch_size: int = setting(100, "Attacks", "Images attacked at a time.", decides=EVALUATION)

    def __post_init__(self) -> None:
        if self.num_images < 0:
            raise ValueError(f"--num_images must be at least 0, got {self.num_images}")
        if self.num_attack_images < 1:
            raise ValueError(f"--num_attack_images must be at least 1, got {self.num_attack_images}")
        if not self.linf_epsilon > 0 or not self.l2_epsilons or min(self.l2_epsilons) <= 0:
            raise ValueError(
                f"--linf_epsilon and --l2_epsilons must be positive, got {self.linf_epsilon} and {self.l2_epsilons}"
            )
        unknown = [name for name in self.names if name not in ALL]
        if unknown:
            raise ValueError(f"--corruptions must be of {', '.join(ALL)}, got {', '.join(unknown)}")
        self.attacks()  # refuses what an attack cannot do, before anything is computed

    @property
    def paths(self) -> list[str]:
        """The folders of --workdirs."""
        return [path.strip() for path in self.workdirs.split(",") if path.strip()]

    @property
    def names(self) -> tuple[str, ...]:
        """The corruptions, each once."""
        chosen = [name.strip() for name in self.corruptions.split(",") if name.strip()]
        return tuple(dict.fromkeys(chosen)) or ALL

    def attacks(self) -> AttackSettings:
        """The same for `image_attacks.Measurer`."""
        return AttackSettings(
            linf_epsilons=(self.linf_epsilon,),
            l2_epsilons=self.l2_epsilons,
            radius=self.linf_epsilon,
            pgd_steps=self.pgd_steps,
            pgd_path=self.pgd_path,
            num_eot_samples=self.num_eot_samples,
            num_attack_images=self.num_attack_images,
            num_square_images=self.num_square_images,
            num_queries=self.num_queries,
            attack_batch_size=self.attack_batch_size,
            num_corrupted_images=0,
        )
