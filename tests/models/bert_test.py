"""BERT against a float64 NumPy one written from the paper, and against transformers' on the same checkpoint."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from ib_jax import hub, models

TINY = models.BertConfig(
    vocab_size=30, hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=20,
    max_position_embeddings=16,
)  # fmt: skip
MINILM = pathlib.Path("~/.cache/ib_jax/all-MiniLM-L6-v2").expanduser()


def random_params(config, seed=0):
    ids = jnp.ones((1, 3), int)
    shapes = jax.eval_shape(models.BertModel(config).init, jax.random.key(0), ids, ids > 0)["params"]
    generator = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: generator.normal(0, 0.5, leaf.shape).astype(np.float32), shapes)


def numpy_bert(config, params, tokens):
    """One text without padding: tokens [L] -> hidden [L, H], pooled [H]."""
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)

    def norm(x, p):
        centred = x - x.mean(-1, keepdims=True)
        return centred / np.sqrt(x.var(-1, keepdims=True) + config.layer_norm_eps) * p["scale"] + p["bias"]

    def dense(x, p):
        return x @ p["kernel"] + p["bias"]

    embeddings = [params[f"{name}_embeddings"]["embedding"] for name in ("word", "token_type", "position")]
    hidden = norm(embeddings[0][tokens] + embeddings[1][0] + embeddings[2][: len(tokens)], params["norm"])
    size = config.hidden_size // config.num_attention_heads
    for index in range(config.num_hidden_layers):
        layer, heads = params[f"layer_{index}"], []
        for head in range(config.num_attention_heads):
            part = slice(head * size, (head + 1) * size)
            q, k, v = (dense(hidden, layer[name])[:, part] for name in ("query", "key", "value"))
            heads.append(scipy.special.softmax(q @ k.T / np.sqrt(size), axis=-1) @ v)
        attended = dense(np.concatenate(heads, -1), layer["attention_output"])
        hidden = norm(hidden + attended, layer["attention_norm"])
        inner = dense(hidden, layer["intermediate"])
        inner = 0.5 * inner * (1 + scipy.special.erf(inner / np.sqrt(2)))
        hidden = norm(hidden + dense(inner, layer["output"]), layer["output_norm"])
    return hidden, np.tanh(dense(hidden[0], params["pooler"]))


@pytest.mark.parametrize("padding", [0, 5])
def test_padded_texts_are_read_as_they_would_be_alone(padding):
    params = random_params(TINY)
    texts = [[2, 9, 4, 7, 3], [2, 28, 3], [2, 11, 29, 0, 1, 5, 3]]
    length = 7 + padding
    tokens = np.stack([np.pad(text, (0, length - len(text)), constant_values=-1) for text in texts])
    found = {
        pooling: jax.jit(lambda p, t, pooling=pooling: models.text_features(TINY, p, t, pooling=pooling))(
            params, tokens
        )
        for pooling in ("mean", "cls", "pooler")
    }
    for row, text in enumerate(texts):
        hidden, pooled = numpy_bert(TINY, params, np.array(text))
        np.testing.assert_allclose(found["mean"][row], hidden.mean(0), atol=2e-5)
        np.testing.assert_allclose(found["cls"][row], hidden[0], atol=2e-5)
        np.testing.assert_allclose(found["pooler"][row], pooled, atol=2e-5)


def test_encoder_ends_in_relu_layers_and_a_code_of_the_features():
    encoder = models.BertEncoder(TINY, latent_dim=3, scale="learned", hidden=(8, 6))
    classifier = models.make_classifier(encoder, num_classes=2)
    tokens = jnp.array([[2, 9, 3, -1], [2, 9, 3, 4]])
    params = classifier.init(jax.random.key(0), tokens)
    own, encoding = params["encoder"], classifier.encode(params, tokens)
    hidden = models.text_features(TINY, own["bert"], tokens)
    for name in ("Dense_0", "Dense_1"):
        hidden = jnp.maximum(hidden @ own[name]["kernel"] + own[name]["bias"][None], 0)
    np.testing.assert_allclose(encoding.mean, (hidden @ own["Dense_2"]["kernel"])[:, :3], atol=1e-6)
    assert encoder.code_dim == 3
    assert models.BertEncoder(TINY, hidden=(8, 6)).code_dim == 6
    assert models.BertEncoder(TINY).code_dim == 12


def test_training_drops_by_each_texts_own_key():
    classifier = models.make_classifier(models.BertEncoder(TINY), num_classes=2)
    tokens = jnp.array([[2, 9, 3, -1], [2, 9, 3, -1], [2, 9, 3, -1]])
    params = classifier.init(jax.random.key(0), tokens)
    keys = jax.random.split(jax.random.key(1), 2)[jnp.array([0, 1, 0])]
    means = classifier.encode_train(params, tokens, keys)[0].mean
    np.testing.assert_allclose(means[0], means[2], rtol=1e-6)
    assert not np.allclose(means[0], means[1])
    without = models.make_classifier(models.BertEncoder(TINY, dropout=False), num_classes=2)
    np.testing.assert_allclose(
        without.encode_train(params, tokens, keys)[0].mean, classifier.encode(params, tokens).mean
    )


def test_bfloat16_is_near_and_its_output_is_float32():
    params, tokens = random_params(TINY), jnp.array([[2, 9, 4, 7, 3]])
    exact = models.text_features(TINY, params, tokens)
    rough = models.text_features(TINY, params, tokens, compute_dtype=jnp.bfloat16)
    assert rough.dtype == jnp.float32
    assert 0 < np.abs(rough - exact).max() < 0.2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_size": 10}, "hidden_size must be a multiple of num_attention_heads = 3, got 10"),
        ({"hidden_act": "mish"}, "hidden_act must be one of gelu, .*, got 'mish'"),
        ({"num_hidden_layers": 0}, "num_hidden_layers must be at least 1, got 0"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(change, message):
    sizes = {"hidden_size": 12, "num_attention_heads": 3} | change
    with pytest.raises(ValueError, match=message):
        models.BertConfig(**sizes)


def test_what_cannot_be_read_is_refused():
    with pytest.raises(ValueError, match="at most 16 tokens, got 17"):
        models.text_features(TINY, random_params(TINY), jnp.ones((1, 17), int))
    with pytest.raises(ValueError, match="pooling must be one of mean, cls, pooler, got 'max'"):
        models.text_features(TINY, random_params(TINY), jnp.ones((1, 3), int), pooling="max")


def test_checkpoints_of_every_dialect_are_read(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    params = random_params(TINY)
    models.save_bert(tmp_path / "own", TINY, params)
    config, own = models.load_bert(tmp_path / "own")
    assert config == TINY
    jax.tree.map(np.testing.assert_array_equal, own, params)
    tensors = safetensors.load_file(tmp_path / "own" / "model.safetensors")
    assert tensors["encoder.layer.1.intermediate.dense.weight"].shape == (20, 12)  # as PyTorch keeps it
    # As bert-base-uncased has it: under a head, LayerNorm by its old names, and more than we need.
    old = {
        "bert." + name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
        for name, value in tensors.items()
    } | {"cls.predictions.bias": np.zeros(30, np.float32)}
    (tmp_path / "old").mkdir()
    safetensors.save_file(old, tmp_path / "old" / "model.safetensors")
    statement = json.loads((tmp_path / "own" / "config.json").read_text())
    (tmp_path / "old" / "config.json").write_text(json.dumps(statement | {"torch_dtype": "float32"}))
    jax.tree.map(np.testing.assert_array_equal, models.load_bert(tmp_path / "old")[1], params)
    without = {name: value for name, value in tensors.items() if "pooler" not in name}
    safetensors.save_file(without, tmp_path / "old" / "model.safetensors")
    assert not models.load_bert(tmp_path / "old")[1]["pooler"]["kernel"].any()


def test_what_is_no_checkpoint_is_refused(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    with pytest.raises(models.CheckpointError, match=r"must hold config\.json"):
        models.load_bert(tmp_path)
    models.save_bert(tmp_path / "a", TINY, random_params(TINY))
    weights, statement = tmp_path / "a" / "model.safetensors", tmp_path / "a" / "config.json"
    tensors = safetensors.load_file(weights)
    config = json.loads(statement.read_text())
    for change, message in [
        ({"num_hidden_layers": 3}, "holds 2 layers of a BERT, and config.json says num_hidden_layers = 3"),
        ({"num_hidden_layers": 1}, "holds 2 layers of a BERT, and config.json says num_hidden_layers = 1"),
        ({"vocab_size": 31}, r"word_embeddings.weight' .* must make an array \(31, 12\), .* got \(30, 12\)"),
        ({"model_type": "roberta"}, "must be of a BERT with absolute positions, got roberta"),
        ({"position_embedding_type": "relative_key"}, "got bert with relative_key"),
    ]:
        statement.write_text(json.dumps(config | change))
        with pytest.raises(models.CheckpointError, match=message):
            models.load_bert(tmp_path / "a")
    statement.write_text(json.dumps(config))
    weights.unlink()
    with pytest.raises(models.CheckpointError, match=r"must hold model.safetensors, and holds config\.json"):
        models.load_bert(tmp_path / "a")
    broken = random_params(TINY)
    del broken["layer_1"]["query"]
    with pytest.raises(models.CheckpointError, match=r"params\[layer_1\]\[query\]\[kernel\] must be an array"):
        models.save_bert(tmp_path / "b", TINY, broken)
    assert not (tmp_path / "b").exists()
    assert tensors


def test_a_name_that_nobody_knows_says_what_to_do(monkeypatch):
    huggingface_hub = pytest.importorskip("huggingface_hub")

    def fail(name, **options):
        raise OSError("no network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(hub.HubUnavailableError, match=r"'no-such-bert' is no folder here.*no network.*give a folder"):
        models.load_bert("no-such-bert")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda name, allow_patterns: f"/kept/{name}")
    assert hub.local_folder("bert-base-uncased") == pathlib.Path("/kept/bert-base-uncased")


def test_equals_transformers_on_real_weights():
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    if not MINILM.is_dir():
        pytest.skip(f"no checkpoint in {MINILM}")
    config, params = models.load_bert(MINILM)
    peer = transformers.BertModel.from_pretrained(str(MINILM)).eval()
    generator = np.random.default_rng(0)
    tokens = generator.integers(1000, 30000, (3, 40))
    for row, length in enumerate((40, 11, 2)):
        tokens[row, length:] = -1
    with torch.no_grad():
        ids, mask = torch.tensor(np.maximum(tokens, 0)), torch.tensor((tokens >= 0).astype(int))
        theirs = peer(input_ids=ids, attention_mask=mask)
    ours = models.BertModel(config).apply({"params": params}, np.maximum(tokens, 0), tokens >= 0)
    for row, length in enumerate((40, 11, 2)):
        np.testing.assert_allclose(ours.hidden[row, :length], theirs.last_hidden_state[row, :length], atol=1e-4)
    np.testing.assert_allclose(ours.pooled, theirs.pooler_output, atol=1e-4)
    assert np.abs(np.asarray(theirs.last_hidden_state)).max() > 1


def test_a_classifier_lies_beside_the_encoder_and_both_come_back(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    params = random_params(TINY)
    kernel, bias = np.random.default_rng(0).normal(size=(TINY.hidden_size, 3)), np.arange(3.0)
    models.save_bert(tmp_path / "with", TINY, params, classifier=(kernel, bias))
    models.save_bert(tmp_path / "without", TINY, params)
    for name in ("with", "without"):
        config, loaded = models.load_bert(tmp_path / name)
        assert config == TINY
        jax.tree.map(np.testing.assert_array_equal, loaded, params)
    found = models.load_classifier(tmp_path / "with")
    np.testing.assert_allclose(found[0], kernel, rtol=1e-6)
    np.testing.assert_array_equal(found[1], bias)
    assert models.load_classifier(tmp_path / "without") is None
    with pytest.raises(models.CheckpointError, match=rf"classifier must be \[{TINY.hidden_size}, C\] and \[C\]"):
        models.save_bert(tmp_path / "no", TINY, params, classifier=(kernel.T, bias))
    assert not (tmp_path / "no").exists()
    tensors = safetensors.load_file(tmp_path / "with" / "model.safetensors")
    tensors["classifier.weight"] = tensors["classifier.weight"][:, 1:].copy()
    safetensors.save_file(tensors, tmp_path / "with" / "model.safetensors")
    with pytest.raises(models.CheckpointError, match=r"classifier.weight and classifier.bias in .* must be"):
        models.load_classifier(tmp_path / "with")
