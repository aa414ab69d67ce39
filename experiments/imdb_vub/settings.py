"""What `experiments.imdb_vub` trains and attacks: its settings, the presets, and how a run differs from the paper's."""

import dataclasses
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from experiments.core.flags import setting
from experiments.mnist_vib.settings import NEVER, RESIDUAL_OBJECTIVES, Config
from ib_jax import losses

IMDB, TOY = "imdb_reviews", "toy_reviews"
PRESETS = ("quick", "small", "paper")
VANILLA = "cross_entropy"
BOTTLENECKS = ("vib", "vub", "ceb")
DEEP_WORD_BUG, PWWS = "deep_word_bug", "pwws"
ATTACKS = (DEEP_WORD_BUG, PWWS)
SCORINGS = ("paper", "textattack")


@dataclasses.dataclass(frozen=True)
class TextConfig:
    """One comparison. Fields marked `decides=NEVER` may change while it goes on."""

    preset: str = setting(
        "quick", "Run", "quick: made-up reviews and an untrained encoder, no download, two minutes. small: IMDB and a "
        "small encoder, as measured here. paper: what the VUB paper says.", choices=PRESETS, decides=NEVER,
    )  # fmt: skip
    workdir: str = setting(
        "workdirs/imdb_vub", "Run", "Folder of heads, attacks and records; resumed where they stand.", decides=NEVER
    )
    results: str = setting(
        "", "Run", "Folder of records, table and figures. Default: results/ in the workdir.", decides=NEVER
    )
    figures: bool = setting(True, "Run", "Whether to draw the figures.", decides=NEVER)

    dataset: str = setting(TOY, "Texts", "Data set, unless --train_file is given.", paper=IMDB, choices=(TOY, IMDB))
    train_file: str = setting("", "Texts", "File of texts of one's own: .tsv, .csv or .jsonl with columns as SST-2's.")
    test_file: str = setting("", "Texts", "Its test texts.")
    data_dir: str = setting(
        "", "Texts", "Where tensorflow-datasets keeps its data. Default: $TFDS_DATA_DIR or ~/tensorflow_datasets.",
        decides=NEVER,
    )  # fmt: skip
    num_validation: int = setting(
        100, "Texts", "Training texts held out, by which the best beta of each objective is chosen.", paper="not said"
    )

    encoder: str = setting(
        "random", "Features", "Folder with a Hugging Face BERT (config.json, model.safetensors, tokenizer.json), its "
        "name on the hub, or random: untrained and small.", paper="bert-base-uncased, fine-tuned",
    )  # fmt: skip
    max_length: int = setting(48, "Features", "Tokens that a text is cut to.", unit="tokens", paper="not said")
    pooling: str = setting(
        "mean", "Features", "How a text's vector is made of its tokens'.", paper="not said",
        choices=("mean", "cls", "pooler"),
    )  # fmt: skip
    precision: str = setting(
        "float32", "Features", "Of the encoder's products.", choices=("float32", "bfloat16"), paper="float32"
    )
    cache_dir: str = setting(
        "", "Features", "Folder of feature caches, any number beside each other. Default: features/ in the workdir.",
        decides=NEVER,
    )  # fmt: skip
    encoder_batch_size: int = setting(64, "Features", "Texts of one pass through the encoder.", decides=NEVER)
    shard_size: int = setting(1000, "Features", "Texts of one file of the cache.", decides=NEVER)

    objectives: str = setting(
        ",".join(BOTTLENECKS), "Heads", "Bottlenecks with commas between: vib, vub, ceb. A deterministic head is "
        "always trained too.", paper="vib,vub", decides=NEVER,
    )  # fmt: skip
    betas: tuple[float, ...] = setting(
        (1e-3, 1e-1), "Heads", "Of each bottleneck a head for each. CEB weighs the residual by beta / (1 - beta), "
        "which makes its objective VIB's, but for the bounds.", unit="nats per nat", paper="1e-3,1e-2,1e-1",
    )  # fmt: skip
    num_seeds: int = setting(2, "Heads", "Runs of each head, seeds 0, 1, ...", paper="5")
    latent_dim: int = setting(0, "Heads", "K; 0: half of the features.", paper="half of the features")
    num_epochs: int = setting(10, "Heads", "Length of training.", unit="epochs", paper="150")
    batch_size: int = setting(32, "Heads", "Size of the global batch.", unit="texts", paper="16")
    learning_rate: float = setting(1e-3, "Heads", "Adam's at the start, times 0.97 every two epochs.", paper="1e-4")
    average_decay: float = setting(
        0.999, "Heads", "Of the debiased Polyak average that is evaluated; 0: none.", paper="not said"
    )
    epochs_per_eval: int = setting(5, "Heads", "Time between evaluations.", unit="epochs", decides=NEVER)
    members_at_once: int = setting(
        -1, "Heads", "Heads trained side by side on a device; 0: all, -1: what is fastest.", decides=NEVER
    )
    memory_gib: float = setting(0.0, "Heads", "Memory of a device for heads; 0: what is free.", decides=NEVER)

    attacks: str = setting(
        DEEP_WORD_BUG, "Attacks", f"Of {', '.join(ATTACKS)}, with commas between. pwws needs WordNet.", paper="both",
        decides=NEVER,
    )  # fmt: skip
    attacked_objectives: str = setting(
        ",".join(BOTTLENECKS), "Attacks", "Bottlenecks that are attacked; the deterministic heads always are.",
        paper="both", decides=NEVER,
    )  # fmt: skip
    attacked_betas: tuple[float, ...] = setting(
        (), "Attacks", "Of --betas those whose heads are attacked; empty: all.", paper="all", decides=NEVER
    )
    num_attacked: int = setting(20, "Attacks", "First test texts that are attacked.", paper="200")
    scoring: str = setting(
        "paper", "Attacks", "pwws: the order of words by the paper's score or by TextAttack's.", paper="textattack",
        choices=SCORINGS,
    )  # fmt: skip
    query_budget: int = setting(0, "Attacks", "Queries that an attack on a text may ask; 0: any.", paper="0")
    num_score_samples: int = setting(
        128, "Attacks", "Samples of z whose mean probabilities a search is told.", paper="1"
    )
    margin: float = setting(
        0.2, "Attacks", "By how much a search must bring another class before the right one on stochastic heads, so "
        "that fresh samples confirm it.", unit="probability", paper="0",
    )  # fmt: skip
    num_judge_samples: int = setting(
        128, "Attacks", "Fresh samples of z by which success is judged; one is told as well.", paper="1"
    )
    attacked_at_once: int = setting(5, "Attacks", "Texts attacked side by side, under all heads.", decides=NEVER)

    num_eval_samples: int = setting(
        12, "Verdict", "Fresh samples of z behind an averaged answer; one is told as well.", paper="1"
    )

    def __post_init__(self) -> None:
        for name in (
            "encoder_batch_size", "shard_size", "num_seeds", "num_epochs", "batch_size", "epochs_per_eval",
            "num_attacked", "num_score_samples", "num_judge_samples", "attacked_at_once", "num_eval_samples",
            "num_validation",
        ):  # fmt: skip
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} must be at least 1, got {getattr(self, name)}")
        for name in ("latent_dim", "query_budget", "average_decay", "memory_gib"):
            if getattr(self, name) < 0:
                raise ValueError(f"--{name} must be at least 0, got {getattr(self, name)}")
        if not 0 <= self.margin < 1:
            raise ValueError(f"--margin must be in [0, 1), got {self.margin}")
        if not self.learning_rate > 0:
            raise ValueError(f"--learning_rate must be positive, got {self.learning_rate}")
        if not self.betas or any(not 0 < beta < 1 for beta in self.betas):
            raise ValueError(f"--betas must be in (0, 1), got {self.betas}")
        unknown_betas = set(self.attacked_betas) - set(self.betas)
        if unknown_betas:
            raise ValueError(f"--attacked_betas must be of --betas, {self.betas}, got {sorted(unknown_betas)}")
        lists = {"objectives": BOTTLENECKS, "attacked_objectives": BOTTLENECKS, "attacks": ATTACKS}
        for name, known in lists.items():
            unknown = set(split(getattr(self, name))) - set(known)
            if unknown:
                raise ValueError(f"--{name} must be of {', '.join(known)}, got {', '.join(sorted(unknown))}")
        if bool(self.train_file) != bool(self.test_file):
            raise ValueError("--train_file and --test_file must be given together")


def split(names: str) -> tuple[str, ...]:
    """Names with commas between."""
    return tuple(name.strip() for name in names.split(",") if name.strip())


def preset(name: str) -> dict[str, object]:
    """The values of a preset that differ from the defaults."""
    imdb: dict[str, object] = {"dataset": IMDB, "num_seeds": 5, "num_attacked": 200, "num_validation": 1000} | {
        "attacks": ",".join(ATTACKS)
    }
    if name == "paper":
        return imdb | {
            "encoder": "bert-base-uncased", "max_length": 512, "pooling": "pooler", "betas": (1e-3, 1e-2, 1e-1),
            "num_epochs": 150, "batch_size": 16, "learning_rate": 1e-4,
        }  # fmt: skip
    if name == "small":
        return imdb | {
            "encoder": "sentence-transformers/all-MiniLM-L6-v2", "max_length": 128, "num_epochs": 10,
            "batch_size": 128, "learning_rate": 5e-4, "betas": (1e-5, 1e-4, 1e-3, 1e-2, 1e-1),
            "attacked_objectives": "vib,vub", "attacked_betas": (1e-3, 1e-2, 1e-1), "attacked_at_once": 10,
        }  # fmt: skip
    return {}


class Model(NamedTuple):
    """A head. `beta` is None where there is none."""

    objective: str
    beta: float | None = None
    seed: int = 0

    @property
    def name(self) -> str:
        """The name of its row."""
        return f"{self.objective}{'' if self.beta is None else f'_beta{self.beta:g}'}_seed{self.seed}"

    @property
    def stochastic(self) -> bool:
        """Whether its answers are."""
        return self.objective in BOTTLENECKS


def models_of(config: TextConfig, objective: str) -> list[Model]:
    """The heads of an objective, in the order of its population."""
    betas = [None] if objective == VANILLA else list(config.betas)
    return [Model(objective, beta, seed) for beta in betas for seed in range(config.num_seeds)]


def attacked(config: TextConfig) -> list[Model]:
    """The heads that are attacked, the deterministic first."""
    every = [model for objective in objectives(config) for model in models_of(config, objective)]
    betas, names = config.attacked_betas or config.betas, split(config.attacked_objectives)
    return [model for model in every if model.beta is None or (model.objective in names and model.beta in betas)]


def objectives(config: TextConfig) -> tuple[str, ...]:
    """Those of all heads, the deterministic first."""
    return (VANILLA, *split(config.objectives))


def hyperparams(models: list[Model]) -> dict[str, np.ndarray]:
    """In what the heads of one objective differ, for `training.init_population`."""
    found: dict[str, np.ndarray] = {"seed": np.array([model.seed for model in models], np.int32)}
    if models[0].beta is not None:
        betas = np.array([model.beta for model in models], np.float32)
        residual = models[0].objective in RESIDUAL_OBJECTIVES
        found |= {"rho": np.asarray(losses.beta_to_rho(jnp.asarray(betas)))} if residual else {"beta": betas}
    return found


def head_config(config: TextConfig, objective: str, num_features: int) -> Config:
    """The settings of an objective's heads for `recipe.Recipe`: two ReLU layers as wide as the features."""
    return Config(
        preset="paper", dataset=config.dataset, objective=objective, hidden_width=num_features,
        latent_dim=config.latent_dim or max(1, num_features // 2), num_epochs=config.num_epochs,
        batch_size=config.batch_size, learning_rate=config.learning_rate, average_decay=config.average_decay,
        epochs_per_eval=config.epochs_per_eval, num_eval_samples=config.num_eval_samples, num_attack_images=0,
        figures=False,
    )  # fmt: skip


def departures(config: TextConfig) -> list[str]:
    """In what a run differs from the VUB paper's setting, as far as that is told; empty if in nothing."""
    wanted: dict[str, Any] = {
        "dataset": IMDB, "encoder": "bert-base-uncased", "num_seeds": 5, "num_epochs": 150, "batch_size": 16,
        "learning_rate": 1e-4, "latent_dim": 0, "num_attacked": 200, "query_budget": 0,
    }  # fmt: skip
    named = {"latent_dim": "half of the features", "encoder": "a fine-tuned bert-base-uncased"}
    found = [
        f"{name} {getattr(config, name)}, in the paper {named.get(name, value)}"
        for name, value in wanted.items()
        if getattr(config, name) != value
    ]
    return found + [f"texts cut to {config.max_length} tokens"] * (config.max_length < 512)
