"""The settings of `experiments.imdb_finetune`: flags with group, unit and the paper's value, and the presets."""

import dataclasses
import math

from experiments.core.flags import setting
from experiments.imdb_vub.settings import BOTTLENECKS, IMDB, TOY, VANILLA
from experiments.mnist_vib.settings import EVALUATION, NEVER, PRECISIONS, RATE_OBJECTIVES

PRESETS = ("quick", "small", "paper")


@dataclasses.dataclass(frozen=True)
class FinetuneConfig:
    """One run. Fields marked `decides="training"` fix the trained model and may not change in a workdir."""

    preset: str = setting(
        "quick", "Run", "quick: made-up reviews and a small BERT from scratch, no download, a minute. small: IMDB and "
        "MiniLM, cut to 128 tokens. paper: IMDB and BERT-base.", choices=PRESETS, decides=NEVER,
    )  # fmt: skip
    workdir: str = setting(
        "", "Run", "Folder of the run; an unfinished one is resumed. Default: a new one under workdirs/.", decides=NEVER
    )
    export: str = setting(
        "", "Run", "Folder for the fine-tuned encoder as a Hugging Face checkpoint. Default: encoder/ in the workdir.",
        decides=NEVER,
    )  # fmt: skip
    seed: int = setting(0, "Run", "Seed of new parameters, data order, dropout and noise.")

    dataset: str = setting(TOY, "Texts", "Data set, unless --train_file is given.", paper=IMDB, choices=(TOY, IMDB))
    train_file: str = setting("", "Texts", "File of texts of one's own: .tsv, .csv or .jsonl with columns as SST-2's.")
    test_file: str = setting("", "Texts", "Its test texts.")
    data_dir: str = setting(
        "", "Texts", "Where tensorflow-datasets keeps its data. Default: $TFDS_DATA_DIR or ~/tensorflow_datasets.",
        decides=NEVER,
    )  # fmt: skip
    num_validation: int = setting(
        100, "Texts", "Training texts held out. Give imdb_vub the same number: it holds out the same ones, and its "
        "choice by them would mean nothing had the encoder seen them.", unit="texts", paper="not said",
    )  # fmt: skip
    num_train_texts: int = setting(0, "Texts", "Only the first training texts; 0 is all of them.", unit="texts")
    num_test_texts: int = setting(
        0, "Texts", "Only the first test texts; 0 is all of them.", unit="texts", decides=EVALUATION
    )

    encoder: str = setting(
        "random", "Network", "Folder with a Hugging Face BERT (config.json, model.safetensors, tokenizer.json), its "
        "name on the hub, or random: untrained and small.", paper="bert-base-uncased",
    )  # fmt: skip
    max_length: int = setting(48, "Network", "Tokens that a text is cut to.", unit="tokens", paper="not said")
    pooling: str = setting(
        "mean", "Network", "How a text's vector is made of its tokens'.", paper="not said",
        choices=("mean", "cls", "pooler"),
    )  # fmt: skip
    head_layers: int = setting(0, "Network", "ReLU layers as wide as the BERT between it and the code.")
    latent_dim: int = setting(
        0, "Network", "K, dimensions of a stochastic code; 0: half of the features. cross_entropy has a linear head."
    )
    dropout: float = setting(0.1, "Network", "Rate in the BERT.")

    objective: str = setting(VANILLA, "Objective", "What is trained.", choices=(VANILLA, *BOTTLENECKS))
    beta: float = setting(
        1e-3, "Objective", "Weight of the rate; ceb weighs the residual by beta / (1 - beta).", unit="nats per nat"
    )
    num_train_samples: int = setting(1, "Objective", "Samples of z for each text and step.")

    num_epochs: int = setting(5, "Training", "Length of training.", unit="epochs", paper="not said")
    batch_size: int = setting(16, "Training", "Size of the global batch, over all devices.", unit="texts", paper="16")
    learning_rate: float = setting(1e-3, "Training", "Highest rate, that of head and last layer.", paper="not said")
    layer_decay: float = setting(0.95, "Training", "Each layer further down has its rate times this.")
    num_frozen: int = setting(0, "Training", "Depths that stay as they are: 1 the embeddings, 1 + l layer l as well.")
    warmup_share: float = setting(0.1, "Training", "Share of the steps in which the rate rises; then it falls to 0.")
    weight_decay: float = setting(0.01, "Training", "Decoupled weight decay, of matrices alone.")
    clip_norm: float = setting(1.0, "Training", "What the gradient's norm is cut to.")
    average_decay: float = setting(0.0, "Training", "Decay of a Polyak average, which is evaluated; 0 for none.")
    precision: str = setting(
        "float32", "Training", "Of the network's products; parameters, statistics and losses are float32 in any case.",
        choices=PRECISIONS,
    )  # fmt: skip
    num_microbatches: int = setting(
        1, "Training", "Parts in which a device takes its batch, adding up gradients, to save memory; must divide it."
    )
    remat: bool = setting(False, "Training", "Compute activations again in the backward pass, to save memory.")
    steps_per_call: int = setting(
        50, "Training", "Steps between two reports, between which a stop happens; 0 is a whole epoch.", unit="steps",
        decides=NEVER,
    )  # fmt: skip

    epochs_per_eval: int = setting(
        1, "Evaluation", "Time between evaluations, and between checkpoints.", unit="epochs", decides=EVALUATION
    )
    num_eval_samples: int = setting(
        12, "Evaluation", "Samples of z behind the averaged prediction.", decides=EVALUATION
    )
    eval_batch_size: int = setting(64, "Evaluation", "Texts in one evaluation batch.", unit="texts", decides=NEVER)

    def __post_init__(self) -> None:
        at_least = {
            "num_epochs": 1, "batch_size": 1, "num_train_samples": 1, "num_microbatches": 1, "epochs_per_eval": 1,
            "num_eval_samples": 1, "eval_batch_size": 1, "max_length": 3, "num_validation": 0, "num_train_texts": 0,
            "num_test_texts": 0, "head_layers": 0, "latent_dim": 0, "num_frozen": 0, "weight_decay": 0,
            "steps_per_call": 0,
        }  # fmt: skip
        for name, least in at_least.items():
            value = getattr(self, name)
            if not value >= least or math.isinf(value):
                raise ValueError(f"--{name} must be at least {least} and finite, got {value}")
        for name in ("learning_rate", "clip_norm"):
            if not getattr(self, name) > 0:
                raise ValueError(f"--{name} must be positive, got {getattr(self, name)}")
        for name in ("dropout", "average_decay", "warmup_share"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"--{name} must be in [0, 1), got {getattr(self, name)}")
        if not 0 < self.layer_decay <= 1:
            raise ValueError(f"--layer_decay must be in (0, 1], got {self.layer_decay}")
        if not 0 < self.beta < 1:
            raise ValueError(f"--beta must be in (0, 1), got {self.beta}")
        if bool(self.train_file) != bool(self.test_file):
            raise ValueError("--train_file and --test_file must be given together")

    @property
    def stochastic(self) -> bool:
        """Whether the encoder is stochastic."""
        return self.objective in BOTTLENECKS

    @property
    def rho(self) -> float:
        """For ceb, whose residual weighs e^-rho."""
        return math.log1p(-self.beta) - math.log(self.beta)

    @property
    def scale(self) -> str:
        """Scale of p(z|x): learned for VIB and VUB, one for CEB, none for cross-entropy."""
        if not self.stochastic:
            return "zero"
        return "learned" if self.objective in RATE_OBJECTIVES else "unit"

    @property
    def name(self) -> str:
        """What the model is called in tables and files."""
        return f"{self.objective}_beta{self.beta:g}" if self.stochastic else self.objective


def preset(name: str) -> dict[str, object]:
    """The values of a preset that differ from the defaults."""
    # Usual ways to fine-tune a BERT: Sun et al. 2019 take 2e-5 and four epochs.
    imdb: dict[str, object] = {"dataset": IMDB, "num_validation": 1000, "learning_rate": 2e-5, "num_epochs": 3}
    if name == "paper":
        return imdb | {"encoder": "bert-base-uncased", "max_length": 512, "pooling": "pooler"}
    if name == "small":
        return imdb | {"encoder": "sentence-transformers/all-MiniLM-L6-v2", "max_length": 128, "learning_rate": 5e-5}
    return {}
