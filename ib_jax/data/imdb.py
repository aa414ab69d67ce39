"""IMDB's film reviews (Maas et al., 2011): 25,000 for training and 25,000 for testing, half of each set negative.

The reviews hold `<br />` where their authors broke lines. The copy of tensorflow-datasets is shuffled, so that the
first n reviews of a split mix both classes. Some reviews occur more than once: 24,904 training reviews and
24,801 test reviews are distinct, and 123 are in both.
"""

import re
from pathlib import Path

import numpy as np

from ib_jax.data.advice import how_to_replace
from ib_jax.data.dataset import DatasetCorruptError
from ib_jax.data.records import damage_named, open_split_files
from ib_jax.data.source import prepared_folder
from ib_jax.data.spec import ImageSpec
from ib_jax.data.text import TextSplit

CLASS_NAMES = ("negative", "positive")
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)


def imdb_spec() -> ImageSpec:
    """The reviews as tensorflow-datasets prepares them, without those that have no label."""
    import tensorflow_datasets as tfds

    return ImageSpec(
        builder=tfds.builder_cls("imdb_reviews"),
        split_sizes={"train": 25_000, "test": 25_000},
        image_shape=None,
        num_classes=len(CLASS_NAMES),
        config="plain_text",
        loaded_by="load_text('imdb_reviews')",
    )


def load_splits(spec: ImageSpec, data_dir: Path, *, line_breaks: bool) -> dict[str, TextSplit]:
    """Reads every split of a data set of texts in tensorflow-datasets, with features "text" and "label".

    Args:
      spec: the data set.
      data_dir: the folder in which tensorflow-datasets keeps its data.
      line_breaks: whether to turn `<br />` into line breaks.

    Returns:
      The splits by name, their rows in the order of the prepared copy.

    Raises:
      DatasetUnavailableError: if it is not there, or is in a format that needs TensorFlow; the message says what to do.
      DatasetCorruptError: if a file is damaged, or does not hold what it should.
    """
    folder = prepared_folder(spec, data_dir)
    remedy = how_to_replace(spec, folder)
    splits = {}
    for name, size in spec.split_sizes.items():
        with damage_named(spec, folder):
            source = open_split_files(spec, folder, name)
            records = source.__getitems__(list(range(len(source))))
            texts = tuple(record["text"].decode("utf-8") for record in records)
            labels = np.array([record["label"] for record in records], np.int32)
        if len(texts) != size:
            raise DatasetCorruptError(
                f"{spec.name}: the {name} split in {folder} has {len(texts)} texts, expected {size}. {remedy}"
            )
        spec.check_labels(name, labels, where=str(folder), remedy=remedy)
        splits[name] = TextSplit(tuple(map(break_lines, texts)) if line_breaks else texts, labels)
    return splits


def break_lines(text: str) -> str:
    """Turns the HTML breaks of a review into line breaks.

    Example:
      >>> break_lines("Good.<br /><br />Watch it!")
      'Good.\\n\\nWatch it!'
    """
    return _BREAK.sub("\n", text)
