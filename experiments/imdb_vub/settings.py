"""What `experiments.imdb_vub` trains and attacks: its settings, the presets and the heads."""

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from experiments.core import groups
from experiments.core.groups import split
from experiments.core.settings import (
    EVALUATION,
    NOTHING,
    RESIDUAL_OBJECTIVES,
    TRAINING,
    Preset,
    SettingError,
    configure,
    setting,
)
from experiments.mnist_vib.settings import Config, HeadConfig
from ib_jax import hub, losses, models

ERRORS = (hub.HubUnavailableError, models.CheckpointError, ImportError, LookupError)
"""What is missing on the machine: a folder, WordNet, a package."""
IMDB, TOY = "imdb_reviews", "toy_reviews"
VANILLA = "cross_entropy"
BOTTLENECKS = ("vib", "vub", "ceb")
DEEP_WORD_BUG, PWWS = "deep_word_bug", "pwws"
ATTACKS = (DEEP_WORD_BUG, PWWS)
SCORINGS = ("paper", "textattack")

_IMDB = {"dataset": IMDB, "num_seeds": 5, "num_attacked": 200, "num_validation": 1000, "attacks": ",".join(ATTACKS)}
PRESETS = {
    "quick": Preset("made-up reviews and an untrained encoder, no download, two minutes."),
    "small": Preset(
        "IMDB and a small encoder, as measured here.",
        _IMDB
        | {"encoder": "sentence-transformers/all-MiniLM-L6-v2", "max_length": 128, "num_epochs": 10}
        | {"batch_size": 128, "learning_rate": 5e-4, "betas": (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)}
        | {"attacked_objectives": "vib,vub", "attacked_betas": (1e-3, 1e-2, 1e-1), "attacked_at_once": 10},
    ),
    "paper": Preset(
        "what the VUB paper says.",
        _IMDB
        | {"encoder": "bert-base-uncased", "max_length": 512, "pooling": "pooler", "betas": (1e-3, 1e-2, 1e-1)}
        | {"num_epochs": 150, "batch_size": 16, "learning_rate": 1e-4},
    ),
}


@dataclasses.dataclass(frozen=True)
class TextSource(groups.Data, groups.TextFiles):
    """Where texts come from; see `load_texts`."""


@dataclasses.dataclass(frozen=True)
class EncoderSettings(groups.Encoder, groups.Pooling, groups.Precision):
    """A BERT; see `encoder_for`."""


@dataclasses.dataclass(frozen=True)
class _Attacks(groups.AttackNames):
    attacked_objectives: str = setting(
        ",".join(BOTTLENECKS),
        "Bottlenecks that are attacked; the deterministic heads always are.",
        note="both",
        decides=NOTHING,
    )
    attacked_betas: tuple[float, ...] = setting(
        (), "Of --betas those whose heads are attacked; empty: all.", paper=(), decides=NOTHING
    )
    num_attacked: int = setting(
        20, "First test texts that are attacked.", unit="texts", paper=200, least=1, decides=EVALUATION
    )
    scoring: str = setting(
        "paper",
        "pwws: the order of words by the paper's score or by TextAttack's.",
        paper="textattack",
        choices=SCORINGS,
        decides=EVALUATION,
    )
    query_budget: int = setting(
        0, "Queries that an attack on a text may ask; 0: any.", unit="queries", paper=0, least=0, decides=EVALUATION
    )
    num_score_samples: int = setting(
        128, "Samples of z whose mean probabilities a search is told.", paper=1, least=1, decides=EVALUATION
    )
    margin: float = setting(
        0.2,
        "By how much a search must bring another class before the right one on stochastic heads, so that fresh samples "
        "confirm it.",
        unit="probability",
        paper=0.0,
        least=0,
        below=1,
        decides=EVALUATION,
    )
    num_judge_samples: int = setting(
        128,
        "Fresh samples of z by which success is judged; one is told as well.",
        note="1",
        least=1,
        decides=EVALUATION,
    )
    attacked_at_once: int = setting(
        5, "Texts attacked side by side, under all heads.", unit="texts", least=1, decides=NOTHING
    )


@configure(
    workdir="workdirs/imdb_vub",
    dataset=TOY,
    num_validation=100,
    shard_size=1000,
    num_seeds=2,
    latent_dim=0,
    batch_size=32,
    average_decay=0.999,
    epochs_per_eval=5,
    attacks=DEEP_WORD_BUG,
    choices={"dataset": (TOY, IMDB)},
    paper={"dataset": IMDB, "encoder": "bert-base-uncased", "max_length": 512, "precision": "float32"}
    | {"betas": (1e-3, 1e-2, 1e-1), "num_seeds": 5, "latent_dim": 0, "num_epochs": 150, "batch_size": 16}
    | {"learning_rate": 1e-4, "attacks": "deep_word_bug,pwws"},
    note={"encoder": "fine-tuned", "latent_dim": "half of the features"}
    | {"num_eval_samples": "1"}
    | dict.fromkeys(("num_validation", "max_length", "average_decay"), "not said"),
    least={"num_validation": 1, "latent_dim": 0, "max_length": 1},
    below={"betas": 1},
    decides={"num_seeds": TRAINING, "epochs_per_eval": NOTHING},
    help={
        "workdir": "Folder of heads, attacks and records; resumed where they stand.",
        "dataset": "Data set, unless --train_file is given.",
        "num_validation": "Training texts held out, by which the best beta of each objective is chosen.",
        "precision": "Of the encoder's products.",
        "betas": "Of each bottleneck a head for each. CEB weighs the residual by beta / (1 - beta), which makes its "
        "objective VIB's, but for the bounds.",
        "num_seeds": "Runs of each head, seeds 0, 1, ...",
        "latent_dim": "K; 0: half of the features.",
        "learning_rate": "Adam's at the start, times 0.97 every two epochs.",
        "attacks": f"Of {', '.join(ATTACKS)}, with commas between. pwws needs WordNet.",
        "num_eval_samples": "Fresh samples of z behind an averaged answer; one is told as well.",
    },
)
@dataclasses.dataclass(frozen=True)
class TextConfig(
    groups.Recipe,
    groups.Workdir,
    groups.Results,
    groups.Figures,
    TextSource,
    EncoderSettings,
    groups.FeatureCache,
    groups.Bottlenecks,
    groups.Betas,
    groups.Seeds,
    groups.Members,
    groups.LatentDim,
    groups.Fit,
    groups.AverageDecay,
    groups.EvalEpochs,
    _Attacks,
    groups.EvalSamples,
):
    """One comparison."""

    group = "Features"

    encoder_batch_size: int = setting(
        64, "Texts of one pass through the encoder.", unit="texts", least=1, decides=NOTHING
    )

    def check(self) -> None:
        super().check()
        unknown_betas = set(self.attacked_betas) - set(self.betas)
        if unknown_betas:
            raise SettingError(f"--attacked_betas must be of --betas, {self.betas}, got {sorted(unknown_betas)}")
        groups.check_names("attacked_objectives", split(self.attacked_objectives), BOTTLENECKS)
        groups.check_names("attacks", split(self.attacks), ATTACKS)


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
    return HeadConfig(
        preset="paper", dataset=config.dataset, objective=objective, hidden_width=num_features,
        latent_dim=config.latent_dim or max(1, num_features // 2), num_epochs=config.num_epochs,
        batch_size=config.batch_size, learning_rate=config.learning_rate, average_decay=config.average_decay,
        epochs_per_eval=config.epochs_per_eval, num_eval_samples=config.num_eval_samples, num_attack_images=0,
        figures=False,
    )  # fmt: skip
