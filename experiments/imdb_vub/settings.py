"""What `experiments.imdb_vub` trains and attacks: its settings and presets."""

from typing import NamedTuple

from experiments.core import groups, heads
from experiments.core.groups import split
from experiments.core.settings import (
    EVALUATION,
    INPUT,
    NOTHING,
    TRAINING,
    OneOf,
    Preset,
    SettingError,
    Settings,
    configure,
    setting,
)
from ib_jax import hub, models

ERRORS = (hub.HubUnavailableError, models.CheckpointError, ImportError, LookupError)
"""What is missing on the machine: a folder, WordNet, a package."""
IMDB, TOY = "imdb_reviews", "toy_reviews"
VANILLA = heads.DETERMINISTIC
BOTTLENECKS = ("vib", "vub", "ceb")
DEEP_WORD_BUG, PWWS = "deep_word_bug", "pwws"
ATTACKS = (DEEP_WORD_BUG, PWWS)
OURS, PAPER, BOTH = "ours", "paper", "both"


_IMDB = {"dataset": IMDB, "num_seeds": 5, "num_attacked": 200, "num_validation": 1000, "attacks": ",".join(ATTACKS)}
PRESETS = {
    "quick": Preset("made-up reviews and an untrained encoder, no download, two minutes."),
    "small": Preset(
        "IMDB and a small encoder, as measured here.",
        _IMDB
        | {"encoder": "sentence-transformers/all-MiniLM-L6-v2", "max_length": 128, "num_epochs": 10}
        | {"batch_size": 128, "learning_rate": 5e-4, "betas": (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)}
        | {"attacked_objectives": "vib,vub", "attacked_betas": (1e-3, 1e-2, 1e-1), "attacked_at_once": 10}
        | {"protocol": BOTH},
    ),
    "paper": Preset(
        "what the VUB paper says.",
        _IMDB
        | {"encoder": "bert-base-uncased", "max_length": 512, "pooling": "pooler", "betas": (1e-3, 1e-2, 1e-1)}
        | {"num_epochs": 150, "batch_size": 16, "learning_rate": 1e-4, "protocol": BOTH},
    ),
}


class Trial(NamedTuple):
    """An attack and how it is led: by our protocol, or by the paper's."""

    attack: str
    protocol: str

    @property
    def key(self) -> str:
        """What its files are called."""
        return self.attack if self.protocol == OURS else f"{self.attack}_by_the_paper"


class TextFiles(Settings, group="Data"):
    train_file: str = setting(
        "", "File of texts of one's own: .tsv, .csv or .jsonl with columns as SST-2's.", path=INPUT
    )
    test_file: str = setting("", "Its test texts.", path=INPUT)

    def check(self) -> None:
        super().check()
        if bool(self.train_file) != bool(self.test_file):
            raise SettingError("--train_file and --test_file must be given together")


class Pooling(Settings, group="Network"):
    pooling: str = setting(
        "mean", "How a text's vector is made of its tokens'.", note="not said", choices=("mean", "cls", "pooler")
    )


class TextSource(groups.Data, TextFiles):
    """Where texts come from; see `load_texts`."""


class EncoderSettings(groups.Encoder, Pooling, groups.Precision):
    """A BERT; see `encoder_for`."""


class _Attacks(groups.AttackNames):
    attacked_objectives: str = setting(
        ",".join(BOTTLENECKS), "Bottlenecks attacked beside the deterministic heads.", note="both", decides=NOTHING
    )
    attacked_betas: tuple[float, ...] = setting(
        (), "Of --betas those whose heads are attacked; empty: all.", note="all", decides=NOTHING
    )
    num_attacked: int = setting(
        20, "First test texts that are attacked.", unit="texts", paper=200, least=1, decides=EVALUATION
    )
    protocol: str = setting(
        OURS,
        "ours: as the settings below say, success judged on fresh samples. paper: a search is told one sample of z for "
        "each text and ends with the first that is wrong, which counts; TextAttack's scoring and nltk's stop words.",
        paper=OneOf(PAPER, BOTH),
        note=PAPER,
        choices=(OURS, PAPER, BOTH),
        decides=NOTHING,
    )
    scoring: str = setting(
        "paper",
        "Our protocol, pwws: the order of words by its authors' score or by TextAttack's.",
        choices=("paper", "textattack"),
        decides=EVALUATION,
    )
    query_budget: int = setting(
        0, "Queries that an attack on a text may ask; 0: any.", unit="queries", paper=0, least=0, decides=EVALUATION
    )
    num_score_samples: int = setting(
        128,
        "Our protocol: samples of z whose mean probabilities a search is told.",
        note="1",
        least=1,
        decides=EVALUATION,
    )
    margin: float = setting(
        0.2,
        "Our protocol: lead of another class with which a search on a stochastic head ends, so that fresh samples "
        "confirm it.",
        unit="probability",
        note="0",
        least=0,
        below=1,
        decides=EVALUATION,
    )
    num_judge_samples: int = setting(
        128, "Fresh samples of z by which success is judged; so is one.", note="1", least=1, decides=EVALUATION
    )
    attacked_at_once: int = setting(
        5, "Texts attacked side by side, under all heads.", unit="texts", least=1, decides=NOTHING
    )


@configure(
    workdir="workdirs/imdb_vub",
    dataset=TOY,
    num_validation=100,
    num_seeds=2,
    epochs_per_eval=5,
    attacks=DEEP_WORD_BUG,
    choices={"dataset": (TOY, IMDB)},
    paper={"dataset": IMDB, "encoder": "bert-base-uncased", "max_length": 512, "precision": "float32"}
    | {"num_epochs": 150, "batch_size": 16, "attacks": "deep_word_bug,pwws"},
    note={"encoder": "fine-tuned"} | dict.fromkeys(("num_validation", "max_length"), "not said"),
    least={"num_validation": 1, "max_length": 1},
    decides={"num_seeds": TRAINING, "epochs_per_eval": NOTHING},
    help={
        "workdir": "Folder of heads, attacks and records; resumed where they stand.",
        "dataset": "Data set, unless --train_file is given.",
        "num_validation": "Training texts held out, by which the best beta of each objective is chosen.",
        "precision": "Of the encoder's products.",
        "attacks": f"Of {', '.join(ATTACKS)}, with commas between. pwws needs WordNet.",
    },
)
class TextConfig(
    groups.Recipe,
    groups.Workdir,
    groups.Results,
    groups.Figures,
    TextSource,
    EncoderSettings,
    heads.HeadsConfig,
    groups.Members,
    groups.EvalEpochs,
    _Attacks,
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
        groups.check_names("attacks", self.attack_names, ATTACKS)

    @property
    def attack_names(self) -> tuple[str, ...]:
        """The attacks by name."""
        return split(self.attacks)

    @property
    def trials(self) -> list[Trial]:
        """What every head goes through."""
        protocols = (OURS, PAPER) if self.protocol == BOTH else (self.protocol,)
        return [Trial(attack, protocol) for protocol in protocols for attack in self.attack_names]

    def attacked(self, head: heads.HeadConfig) -> bool:
        """Whether a head is attacked."""
        named = head.objective in split(self.attacked_objectives) and head.beta in (self.attacked_betas or self.betas)
        return named or head.objective == VANILLA
