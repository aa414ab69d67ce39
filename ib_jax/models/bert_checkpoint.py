"""Hugging Face checkpoints of BERT, read and written: `config.json` and `model.safetensors`."""

import dataclasses
import json
import os
import pathlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from flax import traverse_util

from ib_jax import hub
from ib_jax.files import DamagedFileError, one_line, read_json, reading, write_whole
from ib_jax.models.bert import BertConfig
from ib_jax.paths import make_folder
from ib_jax.types import Params

_LAYER_PARTS = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "attention_output": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "intermediate": "intermediate.dense",
    "output": "output.dense",
    "output_norm": "output.LayerNorm",
}
_OTHER_PARTS = {
    "norm": "embeddings.LayerNorm",
    "pooler": "pooler.dense",
    "word_embeddings": "embeddings.word_embeddings",
    "token_type_embeddings": "embeddings.token_type_embeddings",
    "position_embeddings": "embeddings.position_embeddings",
}
_LEAVES = {"kernel": "weight", "scale": "weight", "embedding": "weight", "bias": "bias"}
_OLD_LEAVES = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
_CONFIG, _WEIGHTS = "config.json", "model.safetensors"
_CLASSIFIER = ("classifier.weight", "classifier.bias")
_LAYER = re.compile(r"encoder\.layer\.(\d+)\.")
_REMEDY = "copy or download it again"


class CheckpointError(DamagedFileError):
    """A checkpoint's files are damaged or not a BERT's; the message names what is missing or does not fit."""


def load_bert(name: str | os.PathLike[str]) -> tuple[BertConfig, Params]:
    """Reads a pretrained BERT.

    Args:
      name: a folder with `config.json` and `model.safetensors`, or a name on the Hugging Face hub, such as
        "bert-base-uncased".

    Returns:
      The sizes, and the parameters of `BertModel`, float32, a dict of NumPy arrays. A checkpoint without a pooler
      has one of zeros.

    Raises:
      HubUnavailableError: the model is not on this machine and cannot be downloaded.
      CheckpointError: a file is missing, damaged or not a BERT's, or the two are of different models.
      ImportError: safetensors is not installed.

    Example:
      >>> import tempfile, jax, jax.numpy as jnp
      >>> from ib_jax import models
      >>> tiny = models.BertConfig(
      ...     vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
      ... )
      >>> ids, mask = jnp.ones((2, 5), int), jnp.ones((2, 5), bool)
      >>> params = models.BertModel(tiny).init(jax.random.key(0), ids, mask)["params"]
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     models.save_bert(folder, tiny, params)
      ...     config, loaded = models.load_bert(folder)
      >>> config == tiny, bool((loaded["layer_0"]["query"]["kernel"] == params["layer_0"]["query"]["kernel"]).all())
      (True, True)
    """
    folder = hub.local_folder(name)
    config = read_config(folder)
    path, tensors = _read_weights(folder)
    _check_layers(path, tensors, config.num_hidden_layers)
    params: dict[tuple[str, ...], np.ndarray] = {}
    for leaf, (source, shape, turned) in _leaves(config).items():
        if source not in tensors:
            if leaf[0] == "pooler":
                params[leaf] = np.zeros(shape, np.float32)
                continue
            raise CheckpointError(f"{path} has no tensor {source!r}; is it a BERT, and {_CONFIG} its own?")
        array = np.asarray(tensors[source], np.float32)
        array = np.ascontiguousarray(array.T) if turned else array
        if array.shape != shape:
            raise CheckpointError(
                f"{source!r} in {path} must make an array {shape}, as {_CONFIG} says, got {array.shape}; are both of "
                "one model?"
            )
        if not np.isfinite(array).all():
            raise CheckpointError(f"{source!r} in {path} is not finite everywhere; {_REMEDY}")
        params[leaf] = array
    return config, traverse_util.unflatten_dict(params)


def load_classifier(name: str | os.PathLike[str]) -> tuple[np.ndarray, np.ndarray] | None:
    """Reads the linear classifier in the checkpoint of a fine-tuned BERT, which `load_bert` ignores.

    Args:
      name: as of `load_bert`.

    Returns:
      Kernel float32 [F, C] and bias [C] on the pooled features, or None if the checkpoint has none.

    Raises:
      HubUnavailableError, CheckpointError, ImportError: as `load_bert`.

    Example:
      >>> import tempfile, jax, jax.numpy as jnp, numpy as np
      >>> from ib_jax import models
      >>> tiny = models.BertConfig(
      ...     vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
      ... )
      >>> ids, mask = jnp.ones((2, 5), int), jnp.ones((2, 5), bool)
      >>> params = models.BertModel(tiny).init(jax.random.key(0), ids, mask)["params"]
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     models.save_bert(folder, tiny, params, classifier=(np.ones((8, 2)), np.zeros(2)))
      ...     kernel, bias = models.load_classifier(folder)
      >>> kernel.shape, bias.tolist()
      ((8, 2), [0.0, 0.0])
    """
    folder = hub.local_folder(name)
    config = read_config(folder)
    path, tensors = _read_weights(folder)
    found = [np.asarray(tensors[key], np.float32) for key in _CLASSIFIER if key in tensors]
    if not found:
        return None
    shapes = [array.shape for array in found]
    if len(found) < 2 or len(shapes[0]) != 2 or shapes[0][1] != config.hidden_size or shapes[1] != shapes[0][:1]:
        raise CheckpointError(
            f"{' and '.join(_CLASSIFIER)} in {path} must be [C, {config.hidden_size}] and [C], got {shapes}; {_REMEDY}"
        )
    return np.ascontiguousarray(found[0].T), found[1]


def save_bert(
    folder: str | os.PathLike[str],
    config: BertConfig,
    params: Params,
    *,
    classifier: tuple[np.ndarray, np.ndarray] | None = None,
) -> None:
    """Writes a BERT as a Hugging Face checkpoint: `config.json` and `model.safetensors`, float32.

    Args:
      folder: made if need be.
      config: the sizes.
      params: of `BertModel`.
      classifier: kernel [F, C] and bias [C] of a linear layer on the pooled features, for
        `BertForSequenceClassification` and `load_classifier`.

    Raises:
      CheckpointError: the parameters are not those of this configuration; nothing is written.
      OSError: the folder cannot be made or written to; no file is there in part.
      ImportError: safetensors is not installed.
    """
    flat, tensors = traverse_util.flatten_dict(params), {}
    for leaf, (source, shape, turned) in _leaves(config).items():
        if leaf not in flat or flat[leaf].shape != shape:
            found = flat[leaf].shape if leaf in flat else "none"
            raise CheckpointError(f"params[{']['.join(leaf)}] must be an array {shape}, got {found}")
        array = np.asarray(flat[leaf], np.float32)
        tensors[source] = np.ascontiguousarray(array.T if turned else array)
    kind, labels = "BertModel", {}
    if classifier is not None:
        kernel, bias = (np.asarray(array, np.float32) for array in classifier)
        if kernel.shape != (config.hidden_size, *bias.shape):
            raise CheckpointError(
                f"classifier must be [{config.hidden_size}, C] and [C], got {kernel.shape}, {bias.shape}"
            )
        tensors = {f"bert.{name}": array for name, array in tensors.items()}
        tensors |= dict(zip(_CLASSIFIER, (np.ascontiguousarray(kernel.T), bias), strict=True))
        kind, labels = "BertForSequenceClassification", {"num_labels": len(bias)}
    library = _safetensors()
    folder = make_folder(folder, "folder")
    statement = {"architectures": [kind], "model_type": "bert", "pad_token_id": 0} | labels | dataclasses.asdict(config)
    written = library.save(tensors, metadata={"format": "pt"})  # save_file would let only its owner read
    write_whole(folder / _WEIGHTS, lambda file: file.write(written))
    write_whole(folder / _CONFIG, lambda file: file.write((json.dumps(statement, indent=1) + "\n").encode()))


def read_config(folder: pathlib.Path) -> BertConfig:
    """The sizes of the checkpoint in a folder.

    Raises:
      CheckpointError: there is no config.json, or it is damaged or not one of a BERT.
    """
    path = folder / _CONFIG
    if not path.exists():
        raise CheckpointError(f"{folder} must hold {_CONFIG}")
    try:
        statement: Mapping[str, Any] = read_json(path, _REMEDY)
    except DamagedFileError as error:
        raise CheckpointError(str(error)) from None
    kind, positions = statement.get("model_type", "bert"), statement.get("position_embedding_type", "absolute")
    if kind != "bert" or positions != "absolute":
        raise CheckpointError(f"{path} must be of a BERT with absolute positions, got {kind} with {positions}")
    names = [field.name for field in dataclasses.fields(BertConfig)]
    try:
        return BertConfig(**{name: statement[name] for name in names if name in statement})
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path} is not of a BERT: {error}") from None


def _read_weights(folder: pathlib.Path) -> tuple[pathlib.Path, dict[str, np.ndarray]]:
    """The file of a checkpoint's weights, and its tensors by the names of a bare encoder."""
    path = folder / _WEIGHTS
    if not path.exists():
        there = ", ".join(sorted(file.name for file in folder.iterdir())) or "nothing"
        raise CheckpointError(f"{folder} must hold {_WEIGHTS}, and holds {one_line(there)}")
    library = _safetensors()
    with reading(path, _REMEDY, CheckpointError):
        return path, {_plain_name(key): np.asarray(value) for key, value in library.load_file(path).items()}


def _check_layers(path: pathlib.Path, tensors: Iterable[str], num_layers: int) -> None:
    """Refuses another number of layers, also a larger one."""
    there = 1 + max((int(found[1]) for found in map(_LAYER.match, tensors) if found), default=-1)
    if there != num_layers:
        raise CheckpointError(
            f"{path} holds {there} layers of a BERT, and {_CONFIG} says num_hidden_layers = {num_layers}; are both of "
            "one model?"
        )


def _leaves(config: BertConfig) -> dict[tuple[str, ...], tuple[str, tuple[int, ...], bool]]:
    """For each leaf of `BertModel`: its name in the checkpoint, its shape, and whether it is transposed there."""
    width, inner = config.hidden_size, config.intermediate_size
    dense = dict.fromkeys(("query", "key", "value", "attention_output", "pooler"), (width, width))
    dense |= {"intermediate": (width, inner), "output": (inner, width)}
    rows = {
        "word_embeddings": config.vocab_size,
        "token_type_embeddings": config.type_vocab_size,
        "position_embeddings": config.max_position_embeddings,
    }
    parts: dict[tuple[str, ...], str] = {(name,): source for name, source in _OTHER_PARTS.items()}
    for index in range(config.num_hidden_layers):
        parts |= {(f"layer_{index}", name): f"encoder.layer.{index}.{source}" for name, source in _LAYER_PARTS.items()}
    found: dict[tuple[str, ...], tuple[str, tuple[int, ...], bool]] = {}
    for part, source in parts.items():
        shapes: dict[str, tuple[int, ...]] = {"scale": (width,), "bias": (width,)}
        if part[-1] in dense:
            shapes = {"kernel": dense[part[-1]], "bias": dense[part[-1]][1:]}
        elif part[-1] in rows:
            shapes = {"embedding": (rows[part[-1]], width)}
        for leaf, shape in shapes.items():
            found[(*part, leaf)] = (f"{source}.{_LEAVES[leaf]}", shape, leaf == "kernel")
    return found


def _plain_name(key: str) -> str:
    """The name in a bare encoder: without the "bert." of a model with a head, and with LayerNorm's new names."""
    key = key.removeprefix("bert.")
    return re.sub(r"LayerNorm\.(gamma|beta)$", lambda found: _OLD_LEAVES[found[0]], key)


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError:
        raise ImportError("reading and writing checkpoints needs safetensors: pip install 'ib-jax[text]'") from None
    return safetensors.numpy
