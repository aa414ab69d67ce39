"""The table of bad inputs, continued: checkpoints of BERT, their names, and ids beyond the vocabulary."""

import json
import os
import pwd
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ib_jax import hub, models
from ib_jax.files import DamagedFileError
from tests.bad_input import Case, refused, table

safetensors = pytest.importorskip("safetensors.numpy")
TINY = models.BertConfig(
    vocab_size=20, hidden_size=4, num_hidden_layers=1, num_attention_heads=2, intermediate_size=6,
    max_position_embeddings=5,
)  # fmt: skip
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 1\n"
AGAIN = "copy or download it again"


def weights():
    ids = jnp.ones((1, 3), int)
    shapes = jax.eval_shape(models.BertModel(TINY).init, jax.random.key(0), ids, ids > 0)["params"]
    return jax.tree.map(lambda leaf: np.ones(leaf.shape, np.float32), shapes)


def damaged(file, damage):
    """Saves a BERT, damages a file of it, and loads it."""

    def load(folder):
        models.save_bert(folder, TINY, weights())
        (folder / file).write_bytes(damage((folder / file).read_bytes()))
        models.load_bert(folder)

    return load


def config(**changes):
    return damaged("config.json", lambda written: json.dumps(json.loads(written) | changes).encode())


def config_file(damage):
    return damaged("config.json", damage)


def weights_file(damage):
    return damaged("model.safetensors", damage)


def changed(change):
    """Changes a tensor of the file of weights."""

    def damage(written):
        tensors = safetensors.load(written)
        change(tensors)
        return safetensors.save(tensors)

    return damaged("model.safetensors", damage)


def save_onto_a_file(folder):
    (folder / "file").write_text("x", encoding="utf-8")
    models.save_bert(folder / "file", TINY, weights())


def file_as_folder(folder):
    models.save_bert(folder, TINY, weights())
    models.load_bert(folder / "config.json")


def hub_without_home(_):
    with mock.patch.object(pwd, "getpwuid", side_effect=KeyError("uid")), mock.patch.dict(os.environ, clear=True):
        models.load_bert("bert-base-uncased")


def ask(*ids, mask=None, types=None):
    ids = jnp.array([ids])
    given = {} if types is None else {"types": jnp.array([types])}
    return models.BertModel(TINY).apply(
        {"params": weights()}, ids, ids > -9 if mask is None else jnp.array([mask]), **given
    )


def classify(folder):
    model = models.make_classifier(models.BertEncoder(TINY), num_classes=2)
    model.encode(model.init(jax.random.key(0), jnp.array([[2, 3, -1]])), jnp.array([[2, 20, -1]]))


NAMES = [
    Case(
        "a bucket", lambda _: models.load_bert("gs://b/bert"), hub.HubUnavailableError, ("'gs://b/bert'", "a folder of")
    ),
    Case(
        "a page of the hub",
        lambda _: models.load_bert("https://huggingface.co/bert-base-uncased"),
        hub.HubUnavailableError,
        ("model is 'https://", "its name on the hub alone"),
    ),
    Case(
        "no such folder", lambda at: models.load_bert(at / "x"), hub.HubUnavailableError, ("'DIR/x'", "no folder here")
    ),
    Case("a file", file_as_folder, hub.HubUnavailableError, ("'DIR/config.json'", "is a file", "give a folder")),
    Case("no home for the hub", hub_without_home, hub.HubUnavailableError, ("without a home folder", "HF_HOME")),
    Case("no such user", lambda _: models.load_bert("~nobody1/x"), hub.HubUnavailableError, ("model is '~nobody1/x'",)),
    Case(
        "saved to a bucket", lambda _: models.save_bert("gs://b", TINY, weights()), ValueError, ("folder", "'gs://b'")
    ),
    Case("saved onto a file", save_onto_a_file, FileExistsError, ("folder is 'DIR/file'", "can be written to")),
]
FILES = [
    Case(
        "config cut", config_file(lambda all_: all_[:20]), models.CheckpointError, ("DIR/config.json is damaged", AGAIN)
    ),
    Case("config empty", config_file(lambda _: b""), DamagedFileError, ("config.json is damaged (empty)", AGAIN)),
    Case(
        "config zeros", config_file(lambda _: bytes(50)), DamagedFileError, ("config.json", "nothing but zeros", AGAIN)
    ),
    Case(
        "config a list",
        config_file(lambda _: b"[]"),
        DamagedFileError,
        ("config.json", "a list where an object", AGAIN),
    ),
    Case(
        "config in Latin-1",
        config_file(lambda _: b'{"a": "\xe9"}'),
        DamagedFileError,
        ("config.json is damaged", AGAIN),
    ),
    Case(
        "a string for a number",
        config(num_hidden_layers="1"),
        models.CheckpointError,
        ("DIR/config.json", "num_hidden_layers must be a whole number, got '1'"),
    ),
    Case(
        "a fraction", config(hidden_size=4.5), models.CheckpointError, ("hidden_size must be a whole number, got 4.5",)
    ),
    Case("null", config(vocab_size=None), models.CheckpointError, ("vocab_size must be a whole number, got None",)),
    Case("true", config(num_hidden_layers=True), models.CheckpointError, ("num_hidden_layers", "got True")),
    Case(
        "a rate of 1", config(hidden_dropout_prob=1), models.CheckpointError, ("hidden_dropout_prob", "below 1, got 1")
    ),
    Case("NaN", config(layer_norm_eps=float("nan")), models.CheckpointError, ("layer_norm_eps", "at least 0, got nan")),
    Case(
        "no positions", config(max_position_embeddings=0), models.CheckpointError, ("max_position_embeddings", "got 0")
    ),
    Case(
        "an activation", config(hidden_act="mish"), models.CheckpointError, ("config.json", "hidden_act", "got 'mish'")
    ),
    Case(
        "weights a pointer",
        weights_file(lambda _: POINTER),
        models.CheckpointError,
        ("model.safetensors", "git lfs pull"),
    ),
    Case("weights empty", weights_file(lambda _: b""), models.CheckpointError, ("model.safetensors", "(empty)", AGAIN)),
    Case(
        "weights cut",
        weights_file(lambda all_: all_[:-9]),
        models.CheckpointError,
        ("model.safetensors is damaged", AGAIN),
    ),
    Case(
        "header cut",
        weights_file(lambda all_: all_[:99]),
        models.CheckpointError,
        ("model.safetensors is damaged", AGAIN),
    ),
    Case(
        "weights zeros",
        weights_file(lambda all_: bytes(len(all_))),
        models.CheckpointError,
        ("nothing but zeros", AGAIN),
    ),
    Case(
        "another vocabulary",
        config(vocab_size=21),
        models.CheckpointError,
        ("embeddings.word_embeddings.weight' in DIR/model.safetensors", "(21, 4), as config.json says, got (20, 4)"),
    ),
    Case(
        "more layers than said",
        changed(lambda tensors: tensors.update({"encoder.layer.1.output.dense.bias": np.ones(4, np.float32)})),
        models.CheckpointError,
        ("DIR/model.safetensors holds 2 layers", "num_hidden_layers = 1"),
    ),
    Case(
        "a weight not finite",
        changed(lambda tensors: tensors["embeddings.LayerNorm.bias"].__setitem__(2, np.nan)),
        models.CheckpointError,
        ("'embeddings.LayerNorm.bias' in DIR/model.safetensors is not finite", AGAIN),
    ),
]
IDS = [
    Case("beyond the vocabulary", lambda _: ask(1, 19, 20), ValueError, ("ids", "below vocab_size = 20, got 20")),
    Case("negative", lambda _: ask(1, -2), ValueError, ("ids must be at least 0", "got -2")),
    Case("types", lambda _: ask(1, 2, types=[0, 2]), ValueError, ("types", "below type_vocab_size = 2, got 2")),
    Case("to a classifier", classify, ValueError, ("ids", "vocab_size = 20, got 20")),
    Case(
        "to the features",
        lambda _: models.text_features(TINY, weights(), jnp.array([[2, 31]])),
        ValueError,
        ("ids", "vocab_size = 20, got 31"),
    ),
    Case("a text too long", lambda _: ask(1, 2, 3, 4, 5, 6), ValueError, ("at most 5 tokens, got 6",)),
]


@table(*NAMES, *FILES, *IDS)
def test_it_is_refused_in_one_line_that_says_what_to_do(case, tmp_path):
    refused(case, tmp_path)


def test_what_is_no_token_may_have_any_id():
    answer = np.asarray(ask(1, 99, mask=[True, False]).pooled)
    np.testing.assert_array_equal(answer, np.asarray(ask(1, 0, mask=[True, False]).pooled))
    assert np.isfinite(answer).all()


def test_every_folder_is_meant_as_it_is_written(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("a b", "[x] y", "back\\slash", "日本 é"):
        models.save_bert(f"~/{name}", TINY, weights())
        assert sorted(path.name for path in (tmp_path / name).iterdir()) == ["config.json", "model.safetensors"]
        assert models.load_bert(f"~/{name}")[0] == TINY
