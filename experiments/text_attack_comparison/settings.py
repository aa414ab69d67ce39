"""What `experiments.text_attack_comparison` compares, and with what settings."""

from typing import Literal, NamedTuple

from experiments.core import groups
from experiments.core.groups import split
from experiments.core.settings import INPUT, configure, setting
from ib_jax import hub, models
from ib_jax.attacks import text
from ib_jax.data import TEXT_DATASETS

WAYS = ("lean", "own", "lean_avx512", "own_avx512")
"""To run TextAttack: which wrapper of the model, and whether MKL's AVX-512 path is forced on."""
ERRORS = (hub.HubUnavailableError, models.CheckpointError, ImportError)
"""What is missing on the machine: a folder, a package."""


@configure(
    dataset="toy_reviews",
    max_length=128,
    batch_size=4,
    peers="lean,own",
    choices={"dataset": TEXT_DATASETS},
    least={"max_length": 1},
    help={
        "dataset": "Data set.",
        "seed": "Seed of both sides; their random numbers differ all the same.",
        "max_length": "Tokens that a text is cut to; what TextAttack's own wrapper pads to.",
        "attacks": "What is compared, with commas between: deep_word_bug, pwws; or all.",
        "batch_size": "Texts of one batch of ours; TextAttack's are its default, 32.",
        "peers": "Ways to run TextAttack, with commas between: lean pads a batch to its longest text, own is its own "
        "HuggingFaceModelWrapper, which pads each text to --max_length; either with _avx512, which forces MKL's path "
        "on. Empty: none.",
        "output": "JSON record. Default: workdirs/text_attack_comparison/<dataset>.json.",
    },
)
class TextComparisonConfig(
    groups.Seed,
    groups.Output,
    groups.Dataset,
    groups.DataDir,
    groups.Encoder,
    groups.Batch,
    groups.AttackNames,
    groups.Peers,
):
    """One comparison."""

    group = "Texts"

    num_texts: int = setting(20, "First test texts attacked.", unit="texts", least=1)
    num_words: int = setting(100, "First words that a text is cut to, in training too; 0: all of it.", least=0)
    num_train: int = setting(400, "Training texts, drawn with the seed, that the head is fitted on.", least=1)
    length_step: int = setting(8, "Ours pads texts to multiples of it.", unit="tokens", least=1)
    naive_texts: int = setting(
        2, "Texts attacked by the naive search, one question at a time; 0: none.", unit="texts", least=0
    )
    peer_python: str = setting(
        "",
        "Interpreter of TextAttack's environment. Default: $TEXT_PEER_PYTHON, or else this one.",
        local=True,
        path=INPUT,
    )
    own_texts: int = setting(0, "How many of the texts are attacked through own; 0: all.", unit="texts", least=0)
    page_texts: int = setting(10, "Texts on the page of adversarial texts; 0: no page.", unit="texts", least=0)

    def check(self) -> None:
        super().check()
        groups.check_names("attacks", split(self.attacks), ("all", "deep_word_bug", "pwws"))
        groups.check_names("peers", self.peer_names, WAYS)

    @property
    def peer_names(self) -> tuple[str, ...]:
        """The ways asked for, of `WAYS`."""
        return split(self.peers)

    def texts_of(self, peer: str) -> int:
        """How many texts a way is asked about."""
        return min(self.own_texts or self.num_texts, self.num_texts) if peer.startswith("own") else self.num_texts


class ComparedAttack(NamedTuple):
    """An attack that is compared, by its name in the flag and in TextAttack's worker.

    Attributes:
      name: of the attack.
      title: for tables.
      scoring: how PWWS orders words.
    """

    name: str
    title: str
    scoring: Literal["", "textattack", "paper"] = ""

    @property
    def conditions(self) -> dict[str, str]:
        """For a record."""
        return {"attack": self.name} | ({"scoring": self.scoring} if self.scoring else {})

    def make(self) -> text.TextAttack:
        """Ours."""
        return text.pwws(scoring=self.scoring) if self.scoring else text.deep_word_bug()


ATTACKS = (
    ComparedAttack("deep_word_bug", "DeepWordBug"),
    ComparedAttack("pwws", "PWWS, TextAttack's scoring", "textattack"),
    ComparedAttack("pwws", "PWWS, the paper's scoring", "paper"),
)
