"""Texts, a frozen encoder (tokeniser, BERT and pooling), and the features that it makes of them, kept on disk."""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from experiments.core import feature_cache
from experiments.core.feature_cache import Compute, Source
from experiments.core.settings import SettingError
from experiments.imdb_vub.settings import EncoderSettings, TextConfig, TextSource
from ib_jax import data, hub, models
from ib_jax.data.dataset import hold_out
from ib_jax.types import Array, Params

RANDOM = "random"
LENGTHS = (16, 32, 64, 128, 192, 256, 384, 512)
"""What texts are padded to: a program is compiled for each that is met."""
HOLD_OUT_SEED = 0
"""Which training texts are held out, here and by `experiments.imdb_finetune`, is the same in every run."""

_COLUMNS = {"text_column": "sentence", "label_column": "label"}
_PROBES = ["A film that I didn't like.", "Naïve élan: 10/10!", "supercalifragilistic"]  # they tell tokenisers apart
_RANDOM_CONFIG = models.BertConfig(
    vocab_size=400, hidden_size=256, num_hidden_layers=1, num_attention_heads=4, intermediate_size=512
)


@dataclasses.dataclass(frozen=True)
class TextEncoder:
    """A BERT and its tokeniser.

    Attributes:
      name: where it comes from.
      config: sizes of the BERT.
      params: its weights.
      tokenise: texts -> tokens.
      pooling: how a text's vector is made of its tokens'.
      precision: of the matrix products.
      classifier: kernel [F, C] and bias [C] of a fine-tuned one on its features; None without.
    """

    name: str
    config: models.BertConfig
    params: Params
    tokenise: data.Tokeniser
    pooling: models.Pooling
    precision: str
    classifier: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def num_features(self) -> int:
        """F."""
        return self.config.hidden_size

    @property
    def lengths(self) -> tuple[int, ...]:
        """What texts are padded to."""
        longest = self.tokenise.max_length
        return (*(length for length in LENGTHS if length < longest), longest)

    @property
    def statement(self) -> dict[str, Any]:
        """What its features depend on; JSON."""
        return {
            "name": self.name,
            "num_layers": self.config.num_hidden_layers,
            "weights_digest": feature_cache.digest(self.params),
            "tokens": [tokens.tolist() for tokens in self.tokenise(_PROBES)],
            "pooling": self.pooling,
            "max_length": self.tokenise.max_length,
            "precision": self.precision,
        }

    def features(self, params: Params, tokens: Array) -> Array:
        """(params, tokens int [B, L]) -> float32 [B, F]; pure."""
        return models.text_features(self.config, params, tokens, pooling=self.pooling, compute_dtype=self.precision)

    def save(self, folder: pathlib.Path, params: Params | None = None, classifier: Any = None) -> None:
        """Writes it, with other weights if given, as Hugging Face's libraries and `load_encoder` read it."""
        self.tokenise.save(folder)
        models.save_bert(folder, self.config, self.params if params is None else params, classifier=classifier)


class Features(NamedTuple):
    """What heads are trained on.

    Attributes:
      dataset: features float32 [N, F] and labels.
      test_texts: those of the texts behind `dataset.test` that are attacked, as far as the encoder sees them.
      origin: of texts and encoder, for the records.
    """

    dataset: data.Dataset
    test_texts: tuple[str, ...]
    origin: dict[str, Any]


def load_texts(config: TextSource) -> data.TextDataset:
    """The texts of a configuration, all training texts together.

    Raises:
      DatasetUnavailableError: the data set is not there.
      ValueError: a file does not hold what it should.
    """
    if not config.train_file:
        return data.load_text(config.dataset, data_dir=config.data_dir or None, line_breaks=True)
    train, test = (data.read_text_file(path, **_COLUMNS) for path in (config.train_file, config.test_file))
    names = tuple(map(str, range(int(max(train.labels.max(), test.labels.max())) + 1)))
    return data.TextDataset(pathlib.Path(config.train_file).stem, train, None, test, names)


def encoder_for(config: EncoderSettings, texts: data.TextDataset) -> TextEncoder:
    """The encoder of a configuration; errors as of `load_encoder`."""
    settings = {name: getattr(config, name) for name in ("max_length", "pooling", "precision")}
    return load_encoder(config.encoder, texts.train.texts, **settings)


def load_encoder(
    name: str, texts: Sequence[str], *, max_length: int, pooling: str = "mean", precision: str = "float32"
) -> TextEncoder:
    """The encoder by its name.

    Args:
      name: a folder with a Hugging Face checkpoint, a name on the hub, or "random": a small BERT whose weights were
        never trained, with a vocabulary of the words of `texts`, for runs without any file.
      texts: the training texts.
      max_length: the most tokens of a text.
      pooling: "mean", "cls" or "pooler".
      precision: "float32" or "bfloat16".

    Raises:
      HubUnavailableError, CheckpointError: the model is not there, or is no BERT, or its tokeniser has more tokens.
      DatasetCorruptError: its tokeniser is damaged.
      FileNotFoundError: it has none.
      ImportError: a library of the extra `text` is missing.
      ValueError: the BERT has no place for so many tokens.
    """
    classifier = None
    if name == RANDOM:
        tokenise = data.word_tokenizer(texts, max_length=max_length, vocab_size=_RANDOM_CONFIG.vocab_size)
        config, tokens = _RANDOM_CONFIG, jnp.ones((1, 2), int)
        params = jax.jit(models.BertModel(config).init)(jax.random.key(0), tokens, tokens > 0)["params"]
    else:
        folder = hub.local_folder(name)
        config, params = models.load_bert(folder)
        classifier = models.load_classifier(folder)
        tokenise = data.load_tokenizer(folder, max_length=max_length)
        if tokenise.vocab_size > config.vocab_size:
            raise models.CheckpointError(
                f"{folder / 'tokenizer.json'} has {tokenise.vocab_size} tokens, and {folder / 'config.json'} says "
                f"vocab_size = {config.vocab_size}; give the tokeniser of this model"
            )
        name = folder.name if name.startswith("~") or name == str(folder) else name
    if max_length > config.max_position_embeddings:
        raise SettingError(f"max_length must be at most {config.max_position_embeddings}, the BERT's, got {max_length}")
    return TextEncoder(name, config, params, tokenise, cast(models.Pooling, pooling), precision, classifier)


def features_of_texts(encoder: TextEncoder, split: data.TextSplit, *, batch_size: int) -> Compute:
    """What computes the features of texts, in padded batches of few lengths."""
    jitted = jax.jit(encoder.features)

    def compute(params: Params, rows: range, device: jax.Device) -> tuple[np.ndarray, np.ndarray]:
        tokens = encoder.tokenise(split.texts[rows.start : rows.stop])
        features = np.empty((len(rows), encoder.num_features), np.float32)
        size = encoder.config.vocab_size
        for batch in data.token_batches(tokens, batch_size=batch_size, lengths=encoder.lengths, vocab_size=size):
            answer = jitted(params, jax.device_put(batch.tokens, device))
            features[batch.rows] = np.asarray(answer)[: len(batch.rows)]
        return features, split.labels[rows.start : rows.stop]

    return compute


def compute_features(config: TextConfig, texts: data.TextDataset, encoder: TextEncoder, console: Console) -> Features:
    """Computes the features that are missing, and reads all; the same texts are held out whatever the encoder."""
    sources, origin = {}, {"encoder": encoder.statement}
    for name, split in (("train", texts.train), ("test", texts.test)):
        digest = hashlib.sha256(json.dumps([*split.texts, split.labels.tolist()]).encode()).hexdigest()
        statement = {"dataset": texts.name, "split": name, "num_texts": len(split.texts), "digest": digest}
        compute = features_of_texts(encoder, split, batch_size=config.encoder_batch_size)
        sources[name] = Source(statement, len(split.texts), compute)
    caches = feature_cache.fill_caches(
        config, origin, encoder.params, encoder.num_features, sources, console, unit="texts"
    )
    train, validation = hold_out(caches["train"].read(), config.num_validation, seed=HOLD_OUT_SEED)
    dataset = data.Dataset(texts.name, train, validation, caches["test"].read(), len(texts.class_names))
    seen = encoder.tokenise.visible(texts.test.texts[: config.num_attacked])
    parts = {name: dict(source.statement) for name, source in sources.items()}
    return Features(dataset, tuple(seen), origin | {"data": parts})
