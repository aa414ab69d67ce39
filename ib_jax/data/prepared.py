"""Any image classification set of tensorflow-datasets, described by its prepared copy."""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ib_jax.data.own import TEST_SPLITS, TFDS
from ib_jax.data.records import damage_named
from ib_jax.data.source import prepared_folder
from ib_jax.data.spec import ImageSpec

_NAME = re.compile(r"(\w+)(?:/([\w.-]+))?(?::(\d+\.\d+\.\d+))?")


def prepared_spec(name: str, data_dir: Path) -> ImageSpec:
    """Reads a data set's splits, shape, classes and features from its prepared copy.

    Image and label are the supervised pair of tensorflow-datasets, or else the only features of their type.

    Args:
      name: tfds:NAME, tfds:NAME/CONFIG, or either with :VERSION. By default the first configuration, as in
        tensorflow-datasets, and the latest version that is prepared.
      data_dir: the folder in which tensorflow-datasets keeps its data.

    Returns:
      The data set. Its splits are "train" and that of `TEST_SPLITS` that it has first, if any.

    Raises:
      ValueError: there is no such data set, it has no training images, or it is not an image classification set.
      DatasetUnavailableError: it is not prepared; the message says what to do.
      DatasetCorruptError: its prepared copy is damaged.
    """
    spec = _named(name, data_dir)
    folder = prepared_folder(spec, data_dir)
    import tensorflow_datasets as tfds

    with damage_named(spec, folder):
        info = tfds.builder_from_directory(folder).info
        sizes = {split: int(info.splits[split].num_examples) for split in info.splits}
    image_key = _feature(name, info, tfds.features.Image, 0)
    label_key = _feature(name, info, tfds.features.ClassLabel, 1)
    image, label = info.features[image_key], info.features[label_key]
    if image.np_dtype != np.uint8:
        raise ValueError(f"name is {name!r}, whose images are {np.dtype(image.np_dtype)}; expected uint8")
    if "train" not in sizes:
        raise ValueError(f"name is {name!r}, which has no split train, but {', '.join(sizes)}")
    test = next((split for split in TEST_SPLITS if split in sizes), None)
    return dataclasses.replace(
        spec,
        split_sizes={split: sizes[split] for split in ("train", test) if split is not None},
        image_shape=None if None in image.shape else image.shape,
        num_classes=label.num_classes,
        loaded_by=f"load({name!r})",
        image_key=image_key,
        label_key=label_key,
        class_names=tuple(label.names),
        test_split=test or TEST_SPLITS[0],
    )


class _Copy(NamedTuple):
    """What `ImageSpec` asks of a builder, without the code that made the copy."""

    name: str
    VERSION: str
    builder_configs: Mapping[str, Any]


def _named(name: str, data_dir: Path) -> ImageSpec:
    """The data set as far as its name describes it: its place, and how it is prepared."""
    found = _NAME.fullmatch(name.removeprefix(TFDS))
    if found is None:
        raise ValueError(f"name is {name!r}; expected tfds:NAME, tfds:NAME/CONFIG, or either with :VERSION")
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.utils.version import list_all_versions

    own, config, version = found.groups()
    usual = "1.0.0"
    try:
        builder: Any = tfds.builder_cls(own)
    except tfds.core.DatasetNotFoundError:
        # A user's own set has no code here, and needs none once it is prepared.
        if not (data_dir / own).is_dir():
            raise ValueError(f"name is {name!r}; neither tensorflow-datasets nor {data_dir} has {own}") from None
    else:
        configs = {each.name: each for each in builder.BUILDER_CONFIGS}
        config = config or (builder.default_builder_config.name if configs else None)
        if config is not None and config not in configs:
            raise ValueError(f"name is {name!r}; {own} has the configurations {', '.join(configs) or 'none'}")
        usual = str((configs[config].version if config else None) or builder.VERSION)
    there = list_all_versions(data_dir / own / (config or ""))
    copy = _Copy(own, version or str(there[-1] if there else usual), {})
    return ImageSpec(builder=copy, split_sizes={}, image_shape=None, num_classes=0, config=config)


def _feature(name: str, info: Any, kind: type, place: int) -> str:
    """The feature of a type; if there are several, the one at this place of the supervised pair."""
    # Excludes subclasses: a segmentation is an Image, too.
    own = sorted(key for key, feature in info.features.items() if type(feature) is kind)
    pair = info.supervised_keys
    if isinstance(pair, tuple) and len(pair) == 2 and pair[place] in own:
        return str(pair[place])
    if len(own) != 1:
        found = f"{len(own)} features {kind.__name__} ({', '.join(own)})" if own else f"no feature {kind.__name__}"
        raise ValueError(f"name is {name!r}, which has {found}; expected a set of images with one label each")
    return own[0]
