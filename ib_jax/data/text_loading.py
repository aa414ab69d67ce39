"""Loads the data sets of texts."""

import os

from ib_jax.data import imdb, toy_reviews
from ib_jax.data.source import resolve_data_dir
from ib_jax.data.text import TextDataset, hold_out_texts

TEXT_DATASETS: tuple[str, ...] = ("toy_reviews", "imdb_reviews")
"""The names that `load_text` knows."""


def load_text(
    name: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    num_validation: int = 0,
    seed: int = 0,
    line_breaks: bool = False,
) -> TextDataset:
    """Loads a data set of texts into memory. For your own data use `read_text_file`.

    `toy_reviews` is made up here (`data/toy_reviews.py`), for tests and first runs. `imdb_reviews` is read from the
    copy that tensorflow-datasets keeps in `data_dir`, without TensorFlow; it takes seconds.

    Args:
      name: one of `TEXT_DATASETS`.
      data_dir: the folder in which tensorflow-datasets keeps its data; by default $TFDS_DATA_DIR, or else
        ~/tensorflow_datasets. `toy_reviews` does not use it.
      num_validation: how many training texts to hold out for validation, drawn with `seed`; 0 for none. Test texts are
        never touched.
      seed: seed of that draw, for `np.random.default_rng`.
      line_breaks: whether to turn the `<br />` of IMDB's reviews into line breaks. By default they stay, as in what
        others report; without them "br" is no word that an attack might change.

    Returns:
      The data set; labels int32 [N], 0 for negative and 1 for positive.

    Raises:
      ValueError: if there is no such data set, or `num_validation` is negative or leaves no training text.
      DatasetUnavailableError: if the data set is not there; the message says what to do.
      DatasetCorruptError: if a file is damaged or does not hold what it should.

    Source: Maas et al. 2011, "Learning Word Vectors for Sentiment Analysis" (imdb_reviews).

    Example:
      >>> reviews = load_text("toy_reviews", num_validation=100)
      >>> [len(split.texts) for split in (reviews.train, reviews.validation, reviews.test)]
      [1500, 100, 200]
    """
    if name not in TEXT_DATASETS:
        raise ValueError(
            f"name is {name!r}; expected one of {', '.join(TEXT_DATASETS)} (for a file take data.read_text_file)"
        )
    if num_validation < 0:
        raise ValueError(f"num_validation is {num_validation}; expected 0 or more, below the number of training texts")
    if name == "toy_reviews":
        train, test = toy_reviews.load_splits()
        class_names = toy_reviews.CLASS_NAMES
    else:
        splits = imdb.load_splits(imdb.imdb_spec(), resolve_data_dir(data_dir), line_breaks=line_breaks)
        train, test = splits["train"], splits["test"]
        class_names = imdb.CLASS_NAMES
    train, validation = hold_out_texts(train, num_validation, seed)
    return TextDataset(name, train, validation, test, class_names)
