"""The settings of `experiments.imdb_finetune`, and its presets."""

import math

from experiments.core import groups
from experiments.core.settings import EVALUATION, FOLDER, Preset, Settings, configure, setting
from experiments.imdb_vub import BOTTLENECKS, ERRORS, IMDB, TOY, VANILLA, EncoderSettings, TextSource

__all__ = ("ERRORS", "PRESETS", "FinetuneConfig")

# Usual ways to fine-tune a BERT: Sun et al. 2019 take 2e-5 and four epochs.
_IMDB = {"dataset": IMDB, "num_validation": 1000, "learning_rate": 2e-5, "num_epochs": 3}
PRESETS = {
    "quick": Preset("made-up reviews and a small BERT from scratch, no download, a minute."),
    "small": Preset(
        "IMDB and MiniLM, cut to 128 tokens.",
        _IMDB | {"encoder": "sentence-transformers/all-MiniLM-L6-v2", "max_length": 128, "learning_rate": 5e-5},
    ),
    "paper": Preset(
        "IMDB and BERT-base.", _IMDB | {"encoder": "bert-base-uncased", "max_length": 512, "pooling": "pooler"}
    ),
}


class _Texts(TextSource):
    num_train_texts: int = setting(0, "Only the first training texts; 0 is all of them.", unit="texts", least=0)
    num_test_texts: int = setting(0, "The same of the test texts.", unit="texts", least=0, decides=EVALUATION)


class _Network(EncoderSettings, groups.LatentDim):
    head_layers: int = setting(0, "ReLU layers as wide as the BERT between it and the code.", least=0)
    dropout: float = setting(0.1, "Rate in the BERT.", least=0, below=1)


class _Training(Settings):
    group = "Training"

    layer_decay: float = setting(0.95, "Each layer further down has its rate times this.", above=0, most=1)
    num_frozen: int = setting(0, "Depths that stay as they are: 1 the embeddings, 1 + l layer l as well.", least=0)
    warmup_share: float = setting(
        0.1, "Share of the steps in which the rate rises, to fall to 0 then.", least=0, below=1
    )
    clip_norm: float = setting(1.0, "What the gradient's norm is cut to.", above=0)


@configure(
    dataset=TOY,
    num_validation=100,
    latent_dim=0,
    objective=VANILLA,
    num_epochs=5,
    batch_size=16,
    weight_decay=0.01,
    steps_per_call=50,
    eval_batch_size=64,
    choices={"dataset": (TOY, IMDB), "objective": (VANILLA, *BOTTLENECKS)},
    paper={"dataset": IMDB, "encoder": "bert-base-uncased", "batch_size": 16},
    note={"encoder": "fine-tuned"}
    | dict.fromkeys(("num_validation", "max_length", "num_epochs", "learning_rate"), "not said"),
    least={"latent_dim": 0, "beta": None},
    above={"beta": 0},
    below={"beta": 1},
    help={
        "seed": "Seed of new parameters, data order, dropout and noise.",
        "dataset": "Data set, unless --train_file is given.",
        "num_validation": "Training texts held out. Give imdb_vub the same number: it holds out the same ones, and its "
        "choice by them would mean nothing had the encoder seen them.",
        "latent_dim": "K, dimensions of a stochastic code; 0: half of the features. cross_entropy has a linear head.",
        "beta": "Weight of the rate; ceb weighs the residual by beta / (1 - beta).",
        "learning_rate": "Highest rate, that of head and last layer.",
        "weight_decay": "Decoupled weight decay, of matrices alone.",
    },
)
class FinetuneConfig(
    groups.Run,
    _Texts,
    _Network,
    groups.ScaledObjective,
    groups.Beta,
    groups.TrainSamples,
    groups.Training,
    _Training,
    groups.Evaluation,
):
    """One run."""

    group = "Run"

    export: str = setting(
        "",
        "Folder for the fine-tuned encoder as a Hugging Face checkpoint. Default: encoder/ in the workdir.",
        local=True,
        path=FOLDER,
    )

    @property
    def rho(self) -> float:
        """For ceb, whose residual weighs e^-rho."""
        return math.log1p(-self.beta) - math.log(self.beta)
