"""What `experiments.imagenet_features` compares: its settings, the models, and how a run differs from the papers'."""

import dataclasses
from typing import Any, NamedTuple

from experiments.core.flags import setting
from experiments.mnist_vib.settings import NEVER, RESIDUAL_OBJECTIVES, Config
from ib_jax import losses

IMAGENET2012, CIFAR10, DIGITS = "imagenet2012", "cifar10", "digits"
PRESETS = ("quick", "paper")
BACKBONE, DETERMINISTIC = "backbone", "cross_entropy"
STOCHASTIC = ("vib", "vub", "ceb")
SOCCER_BALL = 805  # n04254680 among the 1,000 classes in order of their WordNet number
BETA = "beta"

CLEAN, FGSM_ONE, FGSM, PGD, TRANSFER, SQUARE = "clean", "fgsm_one", "fgsm", "pgd", "transfer", "square"
CW_ONE, CW, WORST = "cw_one", "cw", "worst"
WITHOUT_NOISE = {FGSM_ONE: FGSM, CW_ONE: CW}  # one sample is the expectation there
MINIMAL = (CW_ONE, CW)


@dataclasses.dataclass(frozen=True)
class FeaturesConfig:
    """One comparison. Fields marked `decides=NEVER` may change while it goes on."""

    preset: str = setting(
        "quick",
        "Run",
        "quick: the first layers of a random network on digits, no download, two minutes. paper: what the VUB paper "
        "says of ImageNet; with --backbone=InceptionResNetV2 and --betas=0.01 what the VIB paper says.",
        choices=PRESETS,
        decides=NEVER,
    )
    workdir: str = setting(
        "workdirs/imagenet_features", "Run", "Folder of heads, attacks and records; resumed where they stand.",
        decides=NEVER,
    )  # fmt: skip
    results: str = setting(
        "", "Run", "Folder of records, table and figure. Default: results/ in the workdir.", decides=NEVER
    )
    figures: bool = setting(True, "Run", "Whether to draw the figure.", decides=NEVER)

    dataset: str = setting(DIGITS, "Images", "Data set.", paper=IMAGENET2012, choices=(DIGITS, CIFAR10, IMAGENET2012))
    data_dir: str = setting(
        "", "Images", "Where tensorflow-datasets keeps its data. Default: $TFDS_DATA_DIR or ~/tensorflow_datasets.",
        decides=NEVER,
    )  # fmt: skip
    num_train_images: int = setting(0, "Images", "First training images that are used; 0: all.", paper="all")
    num_eval_images: int = setting(0, "Images", "First evaluation images that are used; 0: all.", paper="all 50,000")
    image_size: int = setting(
        32, "Images", "Sides of the images that the network, and an attack, is given; smaller ones are enlarged.",
        unit="pixels", paper="299",
    )  # fmt: skip

    backbone: str = setting(
        "MobileNet", "Features", "Network of keras.applications.", paper="InceptionV3 (VUB), InceptionResNetV2 (VIB)"
    )
    weights: str = setting(
        "none", "Features", "imagenet; none: random, with normalisation statistics of the data; or a file of them.",
        paper="imagenet",
    )  # fmt: skip
    layer: str = setting(
        "conv_pw_2_relu", "Features", "Layer whose average over positions is the features; empty: what the last layer "
        "is applied to. Of random weights early layers tell more.", paper="the last but one",
    )  # fmt: skip
    alpha: float = setting(0.0, "Features", "Width of a MobileNet; 0: the network's default.", paper="no MobileNet")
    cache_dir: str = setting(
        "", "Features", "Folder of feature caches, any number beside each other. Default: features/ in the workdir.",
        decides=NEVER,
    )  # fmt: skip
    feature_batch_size: int = setting(128, "Features", "Images of one pass through the network.", decides=NEVER)
    shard_size: int = setting(1024, "Features", "Images of one file of the cache.", decides=NEVER)
    num_workers: int = setting(
        1, "Features", "Above 1: compute this program's share of the features alone, and stop. Start one on each "
        "machine that sees --cache_dir, and then a run without these two flags.", decides=NEVER,
    )  # fmt: skip
    worker: int = setting(0, "Features", "Number of this program among --num_workers, from 0.", decides=NEVER)

    objectives: str = setting(
        ",".join(STOCHASTIC), "Heads", "Bottlenecks with commas between: vib, vub, ceb. A deterministic head is always "
        "trained too.", paper="vib,vub", decides=NEVER,
    )  # fmt: skip
    betas: tuple[float, ...] = setting(
        (1e-3, 1e-1), "Heads", "Of each bottleneck a head for each. CEB weighs the residual by beta / (1 - beta), "
        "which makes its objective VIB's, but for the bounds.", unit="nats per nat", paper="1e-3,1e-2,1e-1",
        decides=NEVER,
    )  # fmt: skip
    num_seeds: int = setting(1, "Heads", "Runs of each head, seeds 0, 1, ...", paper="5", decides=NEVER)
    latent_dim: int = setting(0, "Heads", "K; 0: half of the features.", paper="half of the features")
    num_epochs: int = setting(20, "Heads", "Length of training.", unit="epochs", paper="100")
    batch_size: int = setting(32, "Heads", "Size of the global batch.", unit="images", paper="32")
    learning_rate: float = setting(1e-4, "Heads", "Adam's at the start, times 0.97 every two epochs.", paper="1e-4")
    average_decay: float = setting(
        0.999, "Heads", "Of the debiased Polyak average that is evaluated; 0: none.", paper="not said"
    )

    fgsm_epsilons: tuple[float, ...] = setting(
        (0.002, 0.0225, 0.1, 0.1125, 0.5), "Attacks", "Radii of FGSM. The paper gives no units; in its authors' code "
        "they are those of normalised images, whose 0.1 and 0.5 are some 0.0225 and 0.1125 here.",
        unit="share of the pixel range", paper="0.1,0.5",
    )  # fmt: skip
    num_fgsm_images: int = setting(64, "Attacks", "Evaluation images under FGSM; 0: all.", paper="all")
    cw_share: float = setting(0.04, "Attacks", "Share of the evaluation images under all other attacks.", paper="0.01")
    target_class: int = setting(
        -1, "Attacks", "Class that Carlini-Wagner aims at; -1: soccer ball (805) of imagenet2012, else 0.", paper="805"
    )
    radius: float = setting(
        0.002, "Attacks", "Radius of PGD, transfer and Square; one of --fgsm_epsilons.", paper="none of these"
    )
    pgd_steps: int = setting(10, "Attacks", "Steps of PGD.", unit="steps")
    num_queries: int = setting(100, "Attacks", "Square: candidates for each image.", unit="queries")
    num_eot_samples: int = setting(
        10, "Attacks", "Samples of z averaged in each gradient; one is tried as well.", paper="1"
    )
    cw_steps: int = setting(20, "Attacks", "Carlini-Wagner: steps of each round.", unit="steps", paper="not given")
    cw_binary_steps: int = setting(4, "Attacks", "Carlini-Wagner: rounds of the search for c.", paper="not given")
    cw_learning_rate: float = setting(0.01, "Attacks", "Carlini-Wagner: Adam's.", paper="not given")
    cw_initial_const: float = setting(0.1, "Attacks", "Carlini-Wagner: the first c.", unit="per nat", paper="not given")
    attack_batch_size: int = setting(16, "Attacks", "Images attacked at a time on a device.", decides=NEVER)

    num_eval_samples: int = setting(
        12, "Verdict", "Fresh samples of z behind an averaged answer; one is told as well.", paper="1"
    )

    def __post_init__(self) -> None:
        for name in (
            "image_size", "feature_batch_size", "shard_size", "num_workers", "num_seeds", "num_epochs", "batch_size",
            "pgd_steps", "num_queries", "num_eot_samples", "cw_steps", "cw_binary_steps", "attack_batch_size",
            "num_eval_samples",
        ):  # fmt: skip
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} must be at least 1, got {getattr(self, name)}")
        for name in ("num_train_images", "num_eval_images", "num_fgsm_images", "latent_dim", "alpha"):
            if getattr(self, name) < 0:
                raise ValueError(f"--{name} must be at least 0, got {getattr(self, name)}")
        for name in ("learning_rate", "cw_learning_rate", "cw_initial_const"):
            if not getattr(self, name) > 0:
                raise ValueError(f"--{name} must be positive, got {getattr(self, name)}")
        if not 0 <= self.worker < self.num_workers:
            raise ValueError(f"--worker must be in [0, --num_workers = {self.num_workers}), got {self.worker}")
        if not 0 < self.cw_share <= 1:
            raise ValueError(f"--cw_share must be in (0, 1], got {self.cw_share}")
        if not self.fgsm_epsilons or any(not 0 < radius <= 1 for radius in self.fgsm_epsilons):
            raise ValueError(f"--fgsm_epsilons must be in (0, 1], got {self.fgsm_epsilons}")
        if self.radius not in self.fgsm_epsilons:
            raise ValueError(f"--radius must be one of --fgsm_epsilons, {self.fgsm_epsilons}, got {self.radius}")
        if not self.betas or any(not 0 < beta < 1 for beta in self.betas):
            raise ValueError(f"--betas must be in (0, 1), got {self.betas}")
        unknown = set(self.bottlenecks) - set(STOCHASTIC)
        if unknown:
            raise ValueError(f"--objectives must be of {', '.join(STOCHASTIC)}, got {', '.join(sorted(unknown))}")

    @property
    def bottlenecks(self) -> tuple[str, ...]:
        """The bottleneck objectives."""
        return tuple(name.strip() for name in self.objectives.split(",") if name.strip())

    @property
    def target(self) -> int:
        """The class that Carlini-Wagner aims at."""
        if self.target_class >= 0:
            return self.target_class
        return SOCCER_BALL if self.dataset == IMAGENET2012 else 0


def preset(name: str) -> dict[str, object]:
    """The values of a preset that differ from the defaults."""
    if name != "paper":
        return {}
    return {
        "dataset": IMAGENET2012, "backbone": "InceptionV3", "weights": "imagenet", "layer": "", "image_size": 299,
        "shard_size": 4096, "betas": (1e-3, 1e-2, 1e-1), "num_seeds": 5, "num_epochs": 100, "num_fgsm_images": 0,
        "cw_share": 0.01, "num_queries": 1000, "cw_steps": 200, "cw_binary_steps": 6, "radius": 0.0225,
        "fgsm_epsilons": (0.0225, 0.1, 0.1125, 0.5), "attack_batch_size": 64,
    }  # fmt: skip


class Model(NamedTuple):
    """A row of the table: a head, or the network itself. `beta` is None where there is none."""

    objective: str
    beta: float | None = None
    seed: int = 0

    @property
    def name(self) -> str:
        """The name of its folder and record."""
        return f"{self.objective}{'' if self.beta is None else f'_beta{self.beta:g}'}_seed{self.seed}"

    @property
    def stochastic(self) -> bool:
        """Whether its answers are."""
        return self.objective in STOCHASTIC


def models(config: FeaturesConfig, *, with_backbone: bool) -> list[Model]:
    """Everything that is attacked."""
    kinds = [(name, beta) for name in config.bottlenecks for beta in config.betas]
    heads = [Model(*kind, seed) for kind in [(DETERMINISTIC, None), *kinds] for seed in range(config.num_seeds)]
    return ([Model(BACKBONE)] if with_backbone else []) + heads


def source_of(model: Model) -> Model:
    """The deterministic head, of another seed if it is one itself, on which the images for transfer are made."""
    return Model(DETERMINISTIC, None, 1 if model.seed == 0 else 0)


def head_config(config: FeaturesConfig, model: Model, num_features: int) -> Config:
    """The settings of a head for `recipe.Recipe`: two ReLU layers as wide as the features."""
    settings: dict[str, Any] = {}
    if model.beta is not None:
        rho = float(losses.beta_to_rho(model.beta))
        settings = {"rho": rho} if model.objective in RESIDUAL_OBJECTIVES else {"beta": model.beta}
    return Config(
        preset="paper", dataset=config.dataset, objective=model.objective, seed=model.seed, hidden_width=num_features,
        latent_dim=config.latent_dim or max(1, num_features // 2), num_epochs=config.num_epochs,
        batch_size=config.batch_size, learning_rate=config.learning_rate, average_decay=config.average_decay,
        epochs_per_eval=config.num_epochs, num_eval_samples=config.num_eval_samples, num_attack_images=0, figures=False,
        **settings,
    )  # fmt: skip


_ALL = dict.fromkeys(("num_train_images", "num_eval_images", "num_fgsm_images"), "all")
_IN_PAPER = _ALL | {"latent_dim": "half of the features", "target_class": SOCCER_BALL}


def departures(config: FeaturesConfig) -> list[str]:
    """In what a run differs from the VUB paper's setting; empty if in nothing. The VIB paper's network is none."""
    wanted: dict[str, Any] = {
        "dataset": IMAGENET2012, "weights": "imagenet", "image_size": 299, "num_train_images": 0, "num_eval_images": 0,
        "num_fgsm_images": 0, "cw_share": 0.01, "num_seeds": 5, "num_epochs": 100, "batch_size": 32,
        "learning_rate": 1e-4, "latent_dim": 0, "target_class": -1,
    }  # fmt: skip
    found = [] if config.backbone in ("InceptionV3", "InceptionResNetV2") else [f"backbone {config.backbone}"]
    if config.layer:
        found.append(f"features of layer {config.layer}, not of the last but one")
    return found + [
        f"{name} {getattr(config, name)}, in the paper {_IN_PAPER.get(name, value)}"
        for name, value in wanted.items()
        if getattr(config, name) != value
    ]
