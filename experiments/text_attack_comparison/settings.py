"""What `experiments.text_attack_comparison` compares, and with what settings."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

from experiments.core.flags import setting
from ib_jax.attacks import text
from ib_jax.data import TEXT_DATASETS

SPEED_UP = 10
"""How many times fewer seconds are aimed at."""

PEERS = {
    "lean": ("lean", False),
    "own": ("own", False),
    "lean_avx512": ("lean", True),
    "own_avx512": ("own", True),
}
"""Ways to run TextAttack: which wrapper of the model, and whether MKL's AVX-512 path is forced on."""


@dataclasses.dataclass(frozen=True)
class TextComparisonConfig:
    """One comparison."""

    dataset: str = setting("toy_reviews", "Texts", "Data set.", choices=TEXT_DATASETS)
    data_dir: str = setting(
        "", "Texts", "Where tensorflow-datasets keeps its data. Default: $TFDS_DATA_DIR or ~/tensorflow_datasets."
    )
    num_texts: int = setting(20, "Texts", "First test texts attacked.", unit="texts")
    num_words: int = setting(100, "Texts", "First words that a text is cut to, in training too; 0: all of it.")

    encoder: str = setting(
        "random", "Model", "Folder with a Hugging Face BERT, its name on the hub, or random: untrained and small."
    )
    max_length: int = setting(
        128, "Model", "Tokens that a text is cut to; what TextAttack's own wrapper pads to.", unit="tokens"
    )
    num_train: int = setting(400, "Model", "Training texts, drawn with the seed, that the head is fitted on.")

    attacks: str = setting("all", "Attacks", "What is compared, with commas between: deep_word_bug, pwws; or all.")
    batch_size: int = setting(8, "Attacks", "Texts of one batch of ours; TextAttack's are its default, 32.")
    length_step: int = setting(16, "Attacks", "Ours pads texts to multiples of it.", unit="tokens")
    naive_texts: int = setting(
        2, "Attacks", "Texts attacked by the naive search, one question at a time; 0: none.", unit="texts"
    )
    seed: int = setting(0, "Attacks", "Seed of both sides; their random numbers differ all the same.")

    peers: str = setting(
        "lean,own",
        "TextAttack",
        "Ways to run it, with commas between: lean pads a batch to its longest text, own is its own "
        "HuggingFaceModelWrapper, which pads each text to --max_length; either with _avx512, which forces MKL's path "
        "on. Empty: none.",
    )
    peer_python: str = setting(
        "", "TextAttack", "Interpreter of its environment. Default: $TEXT_PEER_PYTHON, or else this one."
    )
    own_texts: int = setting(0, "TextAttack", "How many of the texts are attacked through own; 0: all.", unit="texts")
    page_texts: int = setting(10, "Record", "Texts on the page of adversarial texts; 0: no page.", unit="texts")
    output: str = setting(
        "", "Record", "JSON record. Default: experiments/results/text_attack_comparison/<dataset>.json."
    )

    def __post_init__(self) -> None:
        for name in ("num_texts", "num_train", "batch_size", "length_step"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} must be at least 1, got {getattr(self, name)}")
        for name in ("num_words", "naive_texts", "own_texts", "page_texts"):
            if getattr(self, name) < 0:
                raise ValueError(f"--{name} must be at least 0, got {getattr(self, name)}")
        for name, known in (("attacks", text_groups()), ("peers", tuple(PEERS))):
            unknown = sorted(set(_split(getattr(self, name))) - {*known, *(("all",) if name == "attacks" else ())})
            if unknown:
                raise ValueError(f"--{name} must be among {', '.join(known)}, got {', '.join(unknown)}")

    @property
    def peer_names(self) -> tuple[str, ...]:
        """The ways asked for, of `PEERS`."""
        return _split(self.peers)

    def texts_of(self, peer: str) -> int:
        """How many texts a way is asked about."""
        return min(self.own_texts or self.num_texts, self.num_texts) if peer.startswith("own") else self.num_texts


class Row(NamedTuple):
    """One attack.

    Attributes:
      group: of the flag, and its name in TextAttack's worker.
      name: for the table.
      order: of the words, for the naive search.
      make: makes ours.
      has_peer: whether TextAttack has the same.
    """

    group: str
    name: str
    order: str
    make: Callable[[], text.TextAttack]
    has_peer: bool


ROWS = (
    Row("deep_word_bug", "DeepWordBug", "importance", text.deep_word_bug, True),
    Row("pwws", "PWWS, TextAttack's scoring", "textattack", lambda: text.pwws(scoring="textattack"), True),
    Row("pwws", "PWWS, the paper's scoring", "paper", text.pwws, False),
)


def text_groups() -> tuple[str, ...]:
    """The attacks that may be asked for."""
    return tuple(dict.fromkeys(row.group for row in ROWS))


def rows(config: TextComparisonConfig) -> list[Row]:
    """What is compared, without what was not asked for."""
    wanted = text_groups() if config.attacks == "all" else _split(config.attacks)
    return [row for row in ROWS if row.group in wanted]


def _split(names: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in names.split(",") if name.strip())
