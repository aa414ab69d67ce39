"""Fine-tuning a tiny BERT: stopped and resumed, exported, evaluated; its rates, its batches and what is refused."""

import dataclasses
import functools
import io
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

pytest.importorskip("tokenizers")
pytest.importorskip("safetensors")

from experiments.core.session import Session
from experiments.imdb_finetune import run as finetune
from experiments.imdb_finetune.settings import PRESETS, FinetuneConfig
from experiments.imdb_vub import encoder as text_encoder
from experiments.imdb_vub import encoder_for
from ib_jax import data, evaluation, models, promotion, training
from ib_jax.training import metrics_log
from tests.forced_devices import forced_devices

TINY = models.BertConfig(
    vocab_size=400, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=12
)
SMALL = FinetuneConfig(
    num_train_texts=90, num_test_texts=21, num_validation=10, num_epochs=2, max_length=40, objective="vub",
    steps_per_call=3, num_eval_samples=2, eval_batch_size=8, dropout=0.0,
)  # fmt: skip
VOLATILE = ("seconds", "texts_per_second")


@pytest.fixture(scope="module", autouse=True)
def tiny():
    """Programs of one length, of a BERT that compiles quickly."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_encoder, "_RANDOM_CONFIG", TINY)
        patch.setattr(text_encoder, "LENGTHS", ())
        yield


@functools.cache
def make_recipe(config=SMALL):
    texts = finetune.load_texts(config)
    return finetune.TextRecipe(config, texts, encoder_for(config, texts))


def run(workdir, **settings):
    return finetune.run(
        dataclasses.replace(SMALL, workdir=str(workdir), **settings),
        Session("imdb_finetune", console=Console(file=io.StringIO())),
    )


def state_of(workdir, step=None):
    with training.Checkpoints(workdir / "checkpoints") as checkpoints:
        return checkpoints.restore(make_recipe().init(), step)


def rows(workdir):
    found = metrics_log.read(workdir / "metrics.jsonl")
    return [{name: value for name, value in row.items() if name not in VOLATILE} for row in found]


@pytest.fixture(scope="module")
def whole(tiny, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("finetune") / "whole"
    return workdir, run(workdir)


@pytest.mark.slow
def test_a_stopped_run_ends_bit_for_bit_as_an_uninterrupted_one(whole, tmp_path, monkeypatch):
    workdir, results = whole
    assert results.models[0].details["steps"] == 10  # 2 epochs of 90 // 16 batches
    stops = iter([False, False, True])  # after steps 3, 5 and 8, in the middle of the second epoch
    with monkeypatch.context() as patch:
        patch.setattr(
            training.StopRequest, "requested", property(lambda self: next(stops), lambda self, _: None), raising=False
        )
        assert run(tmp_path) is None
    assert not (tmp_path / "results.json").exists()
    with training.Checkpoints(tmp_path / "checkpoints") as checkpoints:
        assert checkpoints.last_step() == 8
    again = run(tmp_path)
    assert rows(tmp_path) == rows(workdir)
    assert [row["step"] for row in rows(workdir)] == [3, 5, 8, 10]
    for split in ("validation", "test"):
        assert again.models[0].values_at(split=split) == results.models[0].values_at(split=split)
    jax.tree.map(np.testing.assert_array_equal, state_of(tmp_path).params, state_of(workdir).params)
    assert run(tmp_path).models[0].details["steps"] == 10  # done; nothing is trained again


def test_a_linear_classifier_is_exported_beside_the_encoder_and_answers_as_the_network(tmp_path):
    config = dataclasses.replace(SMALL, objective="cross_entropy")
    recipe = make_recipe(config)
    params = recipe.init_params(jax.random.key(0))
    classifier = finetune.classifier_of(config, params)
    recipe.encoder.save(tmp_path / "encoder", params["encoder"]["bert"], classifier)
    loaded = text_encoder.load_encoder(str(tmp_path / "encoder"), (), max_length=40)
    kernel, bias = models.load_classifier(tmp_path / "encoder")
    tokens = data.pad_tokens(loaded.tokenise(recipe.dataset.test.texts), 40)
    logits = loaded.features(loaded.params, tokens) @ kernel + bias
    expected = recipe.model.decode(params, recipe.model.encode(params, tokens).mean)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)
    for other in ({"objective": "vib"}, {"head_layers": 1}):
        assert finetune.classifier_of(dataclasses.replace(config, **other), params) is None


@pytest.mark.slow
def test_the_export_makes_the_features_of_the_trained_encoder(whole):
    workdir, _ = whole
    recipe, params = make_recipe(), state_of(workdir).params
    loaded = text_encoder.load_encoder(str(workdir / "encoder"), (), max_length=40)
    texts = recipe.dataset.test.texts
    tokens = data.pad_tokens(loaded.tokenise(texts), 40)
    np.testing.assert_array_equal(tokens, data.pad_tokens(recipe.encoder.tokenise(texts), 40))
    # What the bottleneck's layer is given, caught inside the trained model.
    module = models.BertEncoder(TINY, latent_dim=4, scale="learned")
    _, caught = module.apply({"params": params["encoder"]}, tokens, capture_intermediates=True)
    hidden = caught["intermediates"]["bert"]["__call__"][0].hidden
    expected = np.stack([vectors[: (row >= 0).sum()].mean(0) for vectors, row in zip(hidden, tokens, strict=True)])
    np.testing.assert_allclose(loaded.features(loaded.params, tokens), expected, rtol=1e-5, atol=1e-6)
    before = jax.tree.leaves(recipe.init().params["encoder"]["bert"]["layer_0"])
    after = jax.tree.leaves(loaded.params["layer_0"])
    assert all((one != other).any() for one, other in zip(before, after, strict=True))
    # Nothing is cut by what was exported.
    assert len(data.load_tokenizer(workdir / "encoder", max_length=500)(["film " * 300])[0]) == 302


@pytest.mark.slow
def test_the_record_tells_the_errors_of_texts_encoded_one_at_a_time_whatever_the_lengths(whole, monkeypatch):
    workdir, results = whole
    recipe, params = make_recipe(), state_of(workdir).params
    labels = recipe.dataset.test.labels
    encode = jax.jit(functools.partial(recipe.model.encode, params))
    each = [encode(data.pad_tokens([tokens], 40)) for tokens in recipe.encoder.tokenise(recipe.dataset.test.texts)]
    encoding = jax.tree.map(lambda *fields: jnp.concatenate(fields), *each)
    keys = jnp.stack([jax.random.fold_in(finetune.TextEvaluator(recipe)._key, row) for row in range(len(labels))])
    terms = evaluation.evaluate_examples(
        keys, None, labels, encode_fn=lambda _: encoding, decode_fn=functools.partial(recipe.model.decode, params),
        prior=recipe.model.prior(params), num_samples=2,
    )  # fmt: skip
    expected = evaluation.summarise(terms, labels, 2)
    monkeypatch.setattr(text_encoder, "LENGTHS", (14,))
    of_two_lengths = finetune.TextEvaluator(recipe).during_training(params)
    recorded = {split: results.models[0].values_at(split=split) for split in ("validation", "test")}
    for found in (recorded, of_two_lengths):
        assert found["test"].keys() == expected.keys()
        for name, value in expected.items():
            np.testing.assert_allclose(found["test"][name], value, rtol=1e-4, atol=1e-5, err_msg=name)
    for name, value in recorded["validation"].items():
        np.testing.assert_allclose(of_two_lengths["validation"][name], value, rtol=1e-4, atol=1e-5, err_msg=name)


def test_the_texts_held_out_are_those_of_the_frozen_features():
    texts = finetune.load_texts(SMALL)
    everything = data.load_text("toy_reviews").train.texts
    held_out = np.random.default_rng(0).permutation(1600)[-10:]  # imdb_vub's draw
    assert texts.validation.texts == tuple(everything[row] for row in held_out)
    rest = [text for text in everything if text not in texts.validation.texts]
    assert texts.train.texts == tuple(rest[:90])
    other_seed = finetune.load_texts(dataclasses.replace(SMALL, seed=5))
    assert other_seed.validation.texts == texts.validation.texts


def test_batches_hold_the_texts_of_their_labels_and_go_on_anywhere(monkeypatch):
    monkeypatch.setattr(text_encoder, "LENGTHS", (14,))
    recipe = make_recipe()
    by_tokens = {tuple(t.tolist()): label for t, label in zip(recipe.tokens, recipe.labels, strict=True)}
    batches = list(recipe.batches(0))
    assert len(batches) == 10
    assert {batch.inputs.shape for batch in batches} == {(1, 16, 14), (1, 16, 40)}
    seen = []
    for tokens, labels, _ in batches:
        texts = [tuple(row[row >= 0].tolist()) for row in tokens[0]]
        assert [by_tokens[text] for text in texts] == labels[0].tolist()
        seen.append(texts)
    assert len({text for texts in seen[:5] for text in texts}) == 80
    assert seen[:5] != seen[5:]
    for mine, later in zip(recipe.batches(7), batches[7:], strict=True):
        np.testing.assert_array_equal(mine.inputs, later.inputs)
        np.testing.assert_array_equal(mine.labels, later.labels)


def test_each_parameter_has_the_rate_of_its_depth():
    config = dataclasses.replace(SMALL, layer_decay=0.5, warmup_share=0.2, weight_decay=0.0, head_layers=1)
    encoder = dataclasses.replace(make_recipe().encoder, config=dataclasses.replace(TINY, num_hidden_layers=2))
    model = finetune.make_classifier(config, encoder, np.array([0.5, 0.5]))
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 2), int))
    params = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
    optimizer = finetune.make_optimizer(config, 10, 2)
    state, update, found = optimizer.init(params), jax.jit(optimizer.update), []
    for _ in range(10):
        # A constant gradient moves Adam by its rate, whatever its size.
        with promotion.of_others():
            updates, state = update(jax.tree.map(np.ones_like, params), state, params)
        found.append(updates)
    # Up from 0 over two steps, then down to 0 over eight.
    rates = config.learning_rate * np.array([0, 0.5, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8])
    bert, shares = params["encoder"]["bert"], {}
    for name in bert:
        shares[f"['encoder']['bert']['{name}']"] = {"layer_0": 0.5, "layer_1": 1.0, "pooler": 1.0}.get(name, 0.25)
    assert {0.25, 0.5, 1.0} == set(shares.values())
    assert len(shares) == 7
    stacked = jax.tree.map(lambda *updates: np.stack(updates), *found)
    for path, leaves in jax.tree_util.tree_leaves_with_path(stacked):
        name = jax.tree_util.keystr(path)
        share = next((share for prefix, share in shares.items() if name.startswith(prefix)), 1.0)
        expected = -share * rates.reshape(-1, *[1] * (leaves.ndim - 1)) * np.ones_like(leaves)
        np.testing.assert_allclose(leaves, expected, rtol=1e-3, atol=1e-9, err_msg=name)


@pytest.mark.parametrize(
    "objective, entries",
    [
        ("cross_entropy", {"decoder", "encoder"}),
        ("vib", {"decoder", "encoder"}),
        ("ceb", {"backward", "decoder", "encoder"}),
    ],
)
def test_every_objective_makes_a_step(objective, entries):
    config = dataclasses.replace(SMALL, objective=objective, num_frozen=1, dropout=0.1)
    recipe = finetune.TextRecipe(config, make_recipe().dataset, make_recipe().encoder)
    state = jax.eval_shape(recipe.init)
    assert set(state.params) == entries
    assert ("Dense_0" in state.params["encoder"]) == (objective != "cross_entropy")
    batch = training.Batch(jnp.zeros((4, 5), int), jnp.zeros(4, int))
    after, metrics = jax.eval_shape(recipe.step(None), state, batch, jax.random.key(0))
    assert jax.tree.map(jnp.shape, after.params) == jax.tree.map(jnp.shape, state.params)
    assert {"cross_entropy": "accuracy", "vib": "rate", "ceb": "residual"}[objective] in metrics


def test_presets_and_what_is_refused(tmp_path, monkeypatch):
    assert FinetuneConfig(**PRESETS["paper"].values).encoder == "bert-base-uncased"
    assert FinetuneConfig(**PRESETS["small"].values).max_length == 128
    for settings, message in [
        ({"layer_decay": 0.0}, r"--layer_decay must be in \(0, 1\], got 0.0"),
        ({"dropout": 1.0}, r"--dropout must be in \[0, 1\), got 1.0"),
        ({"beta": 1.0}, r"--beta must be in \(0, 1\), got 1.0"),
        ({"num_epochs": 0}, "--num_epochs must be at least 1"),
        ({"train_file": "x.tsv"}, "--train_file and --test_file must be given together"),
    ]:
        with pytest.raises(ValueError, match=message):
            dataclasses.replace(SMALL, **settings)
    for settings, message in [
        ({"max_length": 513}, "max_length must be at most 512"),
        ({"num_validation": 1600}, "num_validation is 1600"),
        ({"batch_size": 91}, "batch_size must be between 1 and the 90 training examples, got 91"),
        ({"num_frozen": 2}, "num_frozen must be between 0 and num_layers = 1, got 2"),
    ]:
        with pytest.raises(ValueError, match=message):
            run(tmp_path / "refused", **settings)
        monkeypatch.setattr(finetune, "encoder_for", lambda *args: make_recipe().encoder)
    assert not (tmp_path / "refused").exists()


PROGRAM = """
import dataclasses, sys
import jax, numpy as np
from experiments.imdb_finetune import run as finetune
from experiments.imdb_finetune.settings import FinetuneConfig
from experiments.imdb_vub import encoder as text_encoder
from experiments.imdb_vub import encoder_for
from ib_jax import models, training

text_encoder._RANDOM_CONFIG = models.BertConfig(
    vocab_size=400, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=12)
text_encoder.LENGTHS = (14,)
config = FinetuneConfig(num_train_texts=80, num_test_texts=9, num_validation=0, num_epochs=1, max_length=40,
                        objective="vub", num_eval_samples=2, eval_batch_size=8)
texts = finetune.load_texts(config)
recipe = finetune.TextRecipe(config, texts, encoder_for(config, texts))
state = recipe.init()
placed, traces = recipe.run_from(state)(training.replicate(state))
params = training.unreplicate(placed).params
numbers = finetune.TextEvaluator(recipe).during_training(params)["test"]
leaves = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(params)}
losses = np.concatenate([training.unreplicate(trace)["loss"] for trace in traces])
np.savez(sys.argv[1], **leaves, losses=losses, numbers=np.array(list(numbers.values())))
assert jax.device_count() == int(sys.argv[2])
"""


@pytest.mark.slow
def test_one_device_and_eight_train_and_evaluate_alike(tmp_path):
    found = {}
    for devices in (1, 8):
        path = tmp_path / f"{devices}.npz"
        subprocess.run(
            [sys.executable, "-c", PROGRAM, str(path), str(devices)],
            env=forced_devices(devices),
            check=True,
            timeout=600,
        )
        with np.load(path) as file:
            found[devices] = {name: file[name] for name in file.files}
    assert found[1]["losses"].shape == (5,)
    for name, value in found[1].items():
        np.testing.assert_allclose(found[8][name], value, rtol=2e-3, atol=2e-5, err_msg=name)
