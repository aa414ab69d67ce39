"""Data sets as arrays or as a stream of batches: digits (no download), MNIST, Fashion-MNIST, CIFAR-10, ImageNet, texts.

Your own images load by their path: ``load("pets.npz")``, or ``load("pets/")`` for a folder of class folders.
``load("tfds:svhn_cropped")`` loads an image classification set that tensorflow-datasets has prepared.

`load` gives arrays, ``stream(open_train(...))`` the batches of a training run from any step on, and
``batches(open_split(...))`` each example of a split once. ImageNet-A and the published corrupted sets
(`open_corrupted`) are for testing only.

`load_text` gives texts (IMDB's reviews, or a made-up set without any download) and `read_text_file` those of your own
file. `load_tokenizer` or `word_tokenizer` turn them into tokens, and `token_batches` (or, for training,
`bucketed_epoch` and `pad_tokens`) put these into padded batches of few shapes.

Nothing here needs TensorFlow. Importing this module loads neither scikit-learn nor tensorflow-datasets nor grain nor
tokenizers; a function imports what it needs when it is called.
"""

from ib_jax.data.access import ArraySource, BatchSource, EpochSource, Source, Subset
from ib_jax.data.ahead import usable_cores
from ib_jax.data.batches import batches
from ib_jax.data.corrupted import CORRUPTIONS, EXTRA_CORRUPTIONS, NUM_SEVERITIES, open_corrupted
from ib_jax.data.dataset import (
    Dataset,
    DatasetCorruptError,
    DatasetUnavailableError,
    Split,
    to_unit_interval,
)
from ib_jax.data.imagenet_a import imagenet_a_classes
from ib_jax.data.loading import DATASETS, STREAMED, load, open_split, open_train
from ib_jax.data.stream import stream
from ib_jax.data.text import TextDataset, TextSplit, take_texts
from ib_jax.data.text_files import read_text_file
from ib_jax.data.text_loading import TEXT_DATASETS, load_text
from ib_jax.data.token_batches import RowsOfLength, TokenBatch, bucketed_epoch, pad_tokens, token_batches
from ib_jax.data.tokenise import Tokenise, Tokeniser, load_tokenizer, word_tokenizer

__all__ = [
    "CORRUPTIONS",
    "DATASETS",
    "EXTRA_CORRUPTIONS",
    "NUM_SEVERITIES",
    "STREAMED",
    "TEXT_DATASETS",
    "ArraySource",
    "BatchSource",
    "Dataset",
    "DatasetCorruptError",
    "DatasetUnavailableError",
    "EpochSource",
    "RowsOfLength",
    "Source",
    "Split",
    "Subset",
    "TextDataset",
    "TextSplit",
    "TokenBatch",
    "Tokenise",
    "Tokeniser",
    "batches",
    "bucketed_epoch",
    "imagenet_a_classes",
    "load",
    "load_text",
    "load_tokenizer",
    "open_corrupted",
    "open_split",
    "open_train",
    "pad_tokens",
    "read_text_file",
    "stream",
    "take_texts",
    "to_unit_interval",
    "token_batches",
    "usable_cores",
    "word_tokenizer",
]
