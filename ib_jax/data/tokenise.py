"""Texts as the numbers of their tokens, by a pretrained tokeniser or one trained on the spot (library `tokenizers`)."""

import dataclasses
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ib_jax.data.dataset import DatasetCorruptError
from ib_jax.files import reading, write_whole
from ib_jax.paths import local_path, make_folder
from ib_jax.strings import is_unicode, shown, text_list

Tokenise = Callable[[Sequence[str]], list[np.ndarray]]
"""Texts -> for each its tokens int32 [n], n >= 2: a first token such as [CLS] and a last one such as [SEP] included."""

_FILE = "tokenizer.json"


@dataclasses.dataclass(frozen=True, eq=False)
class Tokeniser:
    """A `Tokenise`: texts in, their tokens out, cut to `max_length`; of no text an empty list.

    It raises a TypeError where the texts are one string or not all of them are strings, and a ValueError where one
    holds half of a character's surrogate pair.

    Attributes:
      tokenizer: a `tokenizers.Tokenizer`, which is not to be changed.
      max_length: the most tokens of a text, with the special ones.
    """

    tokenizer: Any
    max_length: int

    def __call__(self, texts: Sequence[str], /) -> list[np.ndarray]:
        encodings = self.tokenizer.encode_batch_fast(_encodable(texts))
        return [np.array(encoding.ids, np.int32) for encoding in encodings]

    def visible(self, texts: Sequence[str]) -> list[str]:
        """The beginning of each text that its tokens stand for: all of it, unless it was cut to `max_length`."""
        texts = _encodable(texts)
        encodings = self.tokenizer.encode_batch(texts)
        return [
            text[: max((end for _, end in encoding.offsets), default=0)] if encoding.overflowing else text
            for text, encoding in zip(texts, encodings, strict=True)
        ]

    @property
    def vocab_size(self) -> int:
        """One more than the greatest number of a token: a model must have so many embeddings."""
        return 1 + max(self.tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes `tokenizer.json` into a folder, as Hugging Face's libraries and `load_tokenizer` read it.

        It does not cut texts: that is up to who loads it. An OSError leaves no file in part.
        """
        whole = _library().Tokenizer.from_str(self.tokenizer.to_str())
        whole.no_truncation()
        written = whole.to_str(pretty=True).encode()
        write_whole(make_folder(folder, "folder") / _FILE, lambda file: file.write(written))


def load_tokenizer(folder: str | os.PathLike[str], *, max_length: int) -> Tokeniser:
    """Loads the `tokenizer.json` of a Hugging Face folder. Nothing is padded: `pad_tokens` and `token_batches` do that.

    Args:
      folder: the folder of a model.
      max_length: the most tokens of a text, with the special ones; the rest of a text is cut off.

    Returns:
      A `Tokenise`.

    Raises:
      ImportError: if `tokenizers` is not installed.
      FileNotFoundError: if there is no such file.
      DatasetCorruptError: if it is damaged or no tokenizer's.
      ValueError: if `max_length` is less than 3, or the tokenizer adds no special tokens.

    Example:
      >>> from ib_jax import data
      >>> data.load_tokenizer("nowhere", max_length=128)
      Traceback (most recent call last):
      FileNotFoundError: there is no tokenizer.json in nowhere; expected the folder of a Hugging Face model with it
    """
    tokenizers = _library()
    path = local_path(folder, "folder") / _FILE
    if not path.is_file():
        raise FileNotFoundError(f"there is no {_FILE} in {folder}; expected the folder of a Hugging Face model with it")
    with reading(path, "copy or download it again", DatasetCorruptError):
        tokenizer = tokenizers.Tokenizer.from_file(str(path))
    return _ready(tokenizer, max_length)


def word_tokenizer(texts: Sequence[str], *, max_length: int, vocab_size: int) -> Tokeniser:
    """Trains a tokeniser of whole words on texts, for runs without any pretrained file.

    Lower case, words and punctuation marks apart, [CLS] before and [SEP] after, as BERT's; but a word that is not among
    the most frequent of the texts is [UNK]. The same texts give the same tokeniser: [PAD], [UNK], [CLS] and [SEP] are
    tokens 0 to 3, then come the words by their frequency.

    Args:
      texts: the training texts, at least one.
      max_length: the most tokens of a text, with the special ones; the rest of a text is cut off.
      vocab_size: the most tokens that there are, with the special ones.

    Returns:
      A `Tokenise`.

    Raises:
      ImportError: if `tokenizers` is not installed.
      TypeError: if the texts are one string, or not all of them are strings.
      ValueError: if there are no texts, `max_length` is less than 3 or `vocab_size` less than 5.

    Example:
      >>> tokenise = word_tokenizer(["A fine film!", "A film"], max_length=6, vocab_size=7)
      >>> [tokens.tolist() for tokens in tokenise(["a film", "A bad film with music"])]
      [[2, 4, 5, 3], [2, 4, 1, 5, 1, 3]]
    """
    tokenizers = _library()
    if vocab_size < 5:
        raise ValueError(f"vocab_size is {vocab_size}; expected at least 5, four special tokens and a word")
    texts = _encodable(texts)
    if not texts:
        raise ValueError("texts is empty; expected at least one to learn the words from")
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(unk_token="[UNK]"))
    tokenizer.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    trainer = tokenizers.trainers.WordLevelTrainer(vocab_size=vocab_size, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return _ready(tokenizer, max_length)


def _ready(tokenizer: Any, max_length: int) -> Tokeniser:
    if max_length < 3:
        raise ValueError(f"max_length is {max_length}; expected at least 3, two special tokens and one of the text")
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length)
    special = len(tokenizer.encode("").ids)
    if special < 2:
        raise ValueError(f"the tokenizer adds {special} special tokens to a text; expected two, as [CLS] and [SEP]")
    return Tokeniser(tokenizer, max_length)


def _encodable(texts: Sequence[str]) -> list[str]:
    found = text_list(texts)
    for row, text in enumerate(found):
        if not is_unicode(text):
            raise ValueError(
                f"texts must be valid Unicode, got half of a surrogate pair at position {row}, in {shown(text)}; take "
                f"it out, as by text.encode('utf-8', 'replace').decode()"
            )
    return found


def _library() -> Any:
    try:
        import tokenizers
    except ImportError as error:
        raise ImportError("texts are tokenised by the library tokenizers; pip install ib-jax[text]") from error
    return tokenizers
