"""Texts and their frozen features for `experiments.imdb_vub`: computed once, kept on disk, read into memory."""

import pathlib
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console

from experiments.core import feature_cache, feature_fill
from experiments.imdb_vub.encoder import TextEncoder, features_of_texts, load_encoder, text_statement
from experiments.imdb_vub.settings import EncoderSettings, TextConfig, TextSource
from ib_jax import data
from ib_jax.data.dataset import hold_out

HOLD_OUT_SEED = 0
"""Which training texts are held out, here and by `experiments.imdb_finetune`, is the same in every run."""
_COLUMNS = {"text_column": "sentence", "label_column": "label"}


class Features(NamedTuple):
    """What heads are trained on.

    Attributes:
      dataset: features float32 [N, F] and labels.
      moments: mean and deviation of the training features, float32 [F].
      test_texts: the texts behind `dataset.test`, as far as the encoder sees them.
      origin: of texts and encoder, for the records.
    """

    dataset: data.Dataset
    moments: tuple[np.ndarray, np.ndarray]
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
    num_classes = int(max(train.labels.max(), test.labels.max())) + 1
    names = tuple(map(str, range(num_classes)))
    return data.TextDataset(pathlib.Path(config.train_file).stem, train, None, test, names)


def encoder_for(config: EncoderSettings, texts: data.TextDataset) -> TextEncoder:
    """The encoder of a configuration."""
    return load_encoder(
        config.encoder,
        texts.train.texts,
        max_length=config.max_length,
        pooling=config.pooling,
        precision=config.precision,
    )


def compute(config: TextConfig, texts: data.TextDataset, encoder: TextEncoder, console: Console) -> Features:
    """Computes the features that are missing, and reads all of them.

    Args:
      config: where caches lie, and how many training texts are held out.
      texts: the texts.
      encoder: the encoder.
      console: where to show progress.

    Returns:
      Features; the same training texts are held out whatever the encoder.
    """
    root = pathlib.Path(config.cache_dir or pathlib.Path(config.workdir) / "features")
    caches = {}
    for part, split in (("train", texts.train), ("test", texts.test)):

        def report(progress: feature_fill.FeatureProgress, part: str = part) -> None:
            console.print(
                f"features of {part}: {progress.num_done:,} of {progress.num_examples:,} texts  "
                f"{progress.examples_per_second:,.0f} texts/s  {progress.seconds_left:,.0f} s left",
                highlight=False,
            )

        caches[part] = feature_cache.FeatureCache(
            root,
            {"encoder": encoder.statement, "data": text_statement(split, name=texts.name, part=part)},
            num_images=len(split.texts),
            num_features=encoder.num_features,
            shard_size=config.shard_size,
        )
        computed = features_of_texts(encoder, split, batch_size=config.encoder_batch_size)
        feature_fill.fill(caches[part], computed, encoder.params, report=report)
    train, validation = hold_out(caches["train"].read(), config.num_validation, seed=HOLD_OUT_SEED)
    dataset = data.Dataset(texts.name, train, validation, caches["test"].read(), len(texts.class_names))
    seen = encoder.tokenise.visible(texts.test.texts[: config.num_attacked])
    origin = {
        "encoder": encoder.statement,
        "data": {part: dict(cache.statement["data"]) for part, cache in caches.items()},
    }
    return Features(dataset, (train.inputs.mean(0), train.inputs.std(0)), tuple(seen), origin)
