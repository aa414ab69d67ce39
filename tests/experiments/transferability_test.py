"""Pairs on one encoder: masks, the second decoder, a member alone, Lipschitz constants, reuse, and the report."""

import dataclasses
import pathlib
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from experiments.core import frames, records, render
from experiments.core.recipe import Recipe
from experiments.core.session import Session
from experiments.core.settings import SettingError
from experiments.core.trained_model import TrainedModel
from experiments.core.workdir import WorkdirError
from experiments.transferability import report as transferability_report
from experiments.transferability import run as transferability
from experiments.transferability.model import encoder_layers, functions_of, pair_of, smoothness
from experiments.transferability.settings import PRESETS, PairConfig, members
from ib_jax import AttackResult, DiagGaussian, attacks, data, losses, models, training
from ib_jax.training import Batch

CONFIG = PairConfig(
    depths=(1, 2), widths=(8, 12), betas=(1e-2,), num_repeats=1, latent_dim=3, decoder_width=5, num_epochs=4,
    learning_rate=1e-2, batch_size=100, num_attack_images=24, num_pgd_images=16, pgd_steps=2, num_eot_samples=2,
    num_eval_samples=3, epsilons=(0.1,),
)  # fmt: skip
PAIR = pair_of(CONFIG, 10)
STORED = pathlib.Path(__file__).parent / "records" / "transferability.json"


def own(depth, width, beta=1e-2):
    return {"depth": jnp.int32(depth), "width": jnp.int32(width), "beta": jnp.float32(beta)}


@pytest.fixture(scope="module", autouse=True)
def quick_compiling():
    """Most of the time here is compiling."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture(scope="module")
def params():
    """Drawn by NumPy, biases too, which start at zero."""
    shapes = jax.eval_shape(PAIR.init, jax.random.key(0), jnp.zeros((1, 8, 8, 1)))
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: jnp.asarray(0.3 * rng.normal(size=leaf.shape), leaf.dtype), shapes)


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(1)
    keys = losses.per_example_keys(jax.random.key(3), 6)
    return keys, jnp.asarray(rng.uniform(size=(6, 8, 8, 1)), jnp.float32), jnp.asarray(rng.integers(0, 10, 6))


@pytest.fixture(scope="module")
def gradient(batch):
    """(parameters, depth, width) -> the gradient of the loss; one program for all."""

    def of(params, depth, width):
        return jax.grad(lambda params: PAIR.loss(own(depth, width), params, *batch).loss.sum())(params)

    return jax.jit(of)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run: its settings, and the record."""
    config = dataclasses.replace(CONFIG, workdir=str(tmp_path_factory.mktemp("pairs")))
    return config, transferability.run(config, Session("transferability", "as tested"))


@pytest.mark.parametrize(("depth", "width"), [(1, 8), (2, 8), (1, 12), (2, 12)])
def test_a_masked_encoder_is_the_mlp_of_its_depth_and_width(params, batch, depth, width):
    masked = PAIR.encode(own(depth, width), params, batch[1])
    plain = models.MLPEncoder(CONFIG.latent_dim, (width,) * depth, scale_shift=0.0)
    shapes = jax.eval_shape(plain.init, jax.random.key(0), batch[1])["params"]
    ours = [params["encoder"][f"hidden_{layer}"] for layer in range(depth)] + [params["encoder"]["Dense_0"]]
    copied = {
        f"Dense_{place}": {name: layer[name][tuple(map(slice, shape.shape))] for name, shape in own_shapes.items()}
        for place, (layer, own_shapes) in enumerate(zip(ours, shapes.values(), strict=True))
    }
    expected = plain.apply({"params": copied}, batch[1])
    np.testing.assert_allclose(masked.mean, expected.mean, atol=1e-5)
    np.testing.assert_allclose(masked.scale, expected.scale, atol=1e-5)


def test_layers_are_those_of_the_effective_network(params, batch):
    layers = encoder_layers(params, 2, 8)
    assert [layer.shape for layer in layers] == [(8, 64), (8, 8), (6, 8)]
    # Where every unit is at work the network is affine: its slope is the product of the matrices.
    working = jax.tree.map(jnp.asarray, params)
    for name, bias in (("hidden_0", 1e2), ("hidden_1", 1e4)):
        working["encoder"][name] = {**params["encoder"][name], "bias": jnp.full(12, bias)}
    slope = jax.jacobian(lambda x: PAIR.encode(own(2, 8), working, x[None]).mean[0])(batch[1][0]).reshape(3, 64)
    np.testing.assert_allclose(slope, (layers[2] @ layers[1] @ layers[0])[:3], atol=1e-4)


def test_the_lipschitz_bound_holds_and_leaves_unused_layers_out(params, batch):
    found = smoothness(encoder_layers(params, 1, 8), 0.5)
    norms = [np.linalg.norm(layer, 2) for layer in encoder_layers(params, 1, 8)]
    assert found["lipschitz_product"] == pytest.approx(np.prod(norms), rel=1e-6)
    assert found["lipschitz_averaged"] <= found["lipschitz_product"]

    def joint(x):
        code = PAIR.encode(own(1, 8), params, x[None])
        return jnp.concatenate([code.mean[0], code.scale[0]])

    slopes = jax.vmap(jax.jacobian(joint))(batch[1]).reshape(6, 6, 64)
    assert np.linalg.norm(slopes, 2, axis=(1, 2)).max() <= found["lipschitz_averaged"]
    changed = jax.tree.map(jnp.asarray, params)
    changed["encoder"]["hidden_1"] = jax.tree.map(lambda leaf: 100 * leaf, changed["encoder"]["hidden_1"])
    assert smoothness(encoder_layers(changed, 1, 8), 0.5) == found


def test_the_second_decoder_gives_the_encoder_no_gradient(params, gradient):
    before = gradient(params, 2, 12)
    after = gradient({**params, "second": jax.tree.map(lambda leaf: 3 * leaf, params["second"])}, 2, 12)
    for name in ("encoder", "first"):
        jax.tree.map(np.testing.assert_array_equal, before[name], after[name])
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(before["second"]))
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(before["encoder"]))


def test_unused_layers_and_units_get_no_gradient(params, gradient):
    grads = jax.tree.map(np.asarray, gradient(params, 1, 8)["encoder"])
    assert not any(np.abs(leaf).max() for leaf in jax.tree.leaves(grads["hidden_1"]))
    kernel, head = grads["hidden_0"]["kernel"], grads["Dense_0"]["kernel"]
    assert not kernel[:, 8:].any()
    assert not head[8:].any()
    assert kernel[:, :8].any()
    assert head[:8].any()


def test_the_second_decoder_sees_a_draw_of_its_own(params, batch):
    keys, inputs, labels = batch
    encoding = PAIR.encode(own(1, 8), params, inputs)
    terms = PAIR.loss(own(1, 8), params, *batch)
    second = terms.loss - terms.distortion - 1e-2 * terms.rate
    same = losses.cross_entropy(PAIR.decode(params, losses.sample(keys, encoding)[0], 1), labels)
    assert np.abs(second - same).max() > 1e-2
    mean = losses.cross_entropy(PAIR.decode(params, losses.sample(keys, encoding)[0], 0), labels)
    np.testing.assert_allclose(terms.distortion, mean, rtol=1e-5)


@pytest.mark.slow
def test_a_member_is_trained_as_it_would_be_alone():
    dataset = data.load("digits", num_validation=0)
    dataset = dataset._replace(train=data.Split(*(field[:300] for field in dataset.train)))
    recipe, hyperparams = Recipe(CONFIG, dataset, functions_of(PAIR)), members(CONFIG)
    chosen = {name: values[[0, 3]] for name, values in hyperparams.items()}
    assert (chosen["depth"].tolist(), chosen["width"].tolist()) == ([1, 2], [8, 12])
    sweep, resident = jax.jit(recipe.run_population(None)), Batch(*dataset.train)
    both, _ = sweep(training.init_population(recipe.init, chosen), resident)
    place = {name: jnp.asarray(values[1]) for name, values in chosen.items()}
    start = recipe.init(place)
    alone, _ = jax.jit(recipe.epoch(None, 1, place))(start, resident)
    moved = 0.0
    for ours, theirs, first in zip(
        jax.tree.leaves(training.member(both, 1).params),
        jax.tree.leaves(alone.params),
        jax.tree.leaves(start.params),
        strict=True,
    ):
        np.testing.assert_allclose(ours, theirs, atol=2e-6)
        moved = max(moved, float(jnp.abs(ours - first).max()))
    assert moved > 1e-3


@pytest.mark.slow
def test_a_record_holds_every_pair(finished):
    _, record = finished
    assert len({model.seed for model in record.models}) == len(record.models) == 4
    assert {tuple(model.settings.values()) for model in record.models} == {
        (depth, width, 1e-2) for depth in (1, 2) for width in (8, 12)
    }
    for model in record.models:
        test = model.values_at(split="test")
        assert test["tau"] == max(test["error_first"], test["error_second"])
        assert 0 < test["lipschitz_averaged"] <= test["lipschitz_product"]
        attacks = model.measurements[1:]
        assert [(each.at["attack"], each.at["num_images"]) for each in attacks] == [("fgsm", 24), ("pgd", 16)]
        assert [each.at["num_eot_samples"] for each in attacks] == [1, 2]
        for each in attacks:
            assert each.values["gap"] == pytest.approx(each.values["delta_prime"] - each.values["delta"])
    assert min(model.values_at(split="test")["error_first"] for model in record.models) < 0.8  # better than a guess
    assert "workdir" not in record.settings


@pytest.mark.slow
def test_a_record_is_kept_and_refused_for_other_settings_of_training_and_of_attacks(finished, monkeypatch):
    config, _ = finished
    results = pathlib.Path(config.workdir) / "digits" / "results"
    record = records.read(results / "digits.json")
    table = (results / "table.md").read_text()
    assert (results / "figure.png").stat().st_size > 3000
    monkeypatch.setattr(transferability, "measure", lambda *args: pytest.fail("measured again"))
    assert transferability.run(config, Session("transferability")) == record
    assert (results / "table.md").read_text() == table
    for changes, message in [
        ({"num_epochs": 3}, "--num_epochs: 4 there, 3 now"),
        ({"pgd_steps": 3}, "--pgd_steps: 2 there, 3 now"),
        ({"epsilons": (0.1, 0.2)}, r"--epsilons: \[0.1\] there, \[0.1, 0.2\] now"),
        ({"num_attack_images": 20}, "--num_attack_images: 24 there, 20 now"),
    ]:
        with pytest.raises(WorkdirError, match=message):
            transferability.run(dataclasses.replace(config, **changes), Session())
    monkeypatch.undo()
    # Attacks may change where there is no record yet; the errors of trained pairs were measured when they were trained.
    other = dataclasses.replace(config, results=f"{config.workdir}/other", num_eval_samples=4, pgd_steps=3)
    with pytest.raises(WorkdirError, match="--num_eval_samples: 3 there, 4 now") as refused:
        transferability.run(other, Session())
    assert "pgd_steps" not in str(refused.value)


def test_an_image_that_an_attack_puts_right_stands_for_no_classifier_and_counts_in_no_delta(monkeypatch):
    labels = np.array([2, 1, 0, 1], np.int32)
    moved = (0.25 + 0.25 * np.eye(3)[labels]).astype(np.float32)  # each image is its own logits
    images = moved.copy()
    images[2] = moved[2, ::-1]
    result = AttackResult(moved, np.zeros(4, bool))
    monkeypatch.setattr(attacks, "Runner", lambda *args, **settings: lambda *args, **settings: result)
    monkeypatch.setattr(transferability, "encoder_layers", lambda *args: [])
    monkeypatch.setattr(transferability, "smoothness", lambda *args: {})
    pair = types.SimpleNamespace(
        encode=lambda hyperparams, params, inputs: DiagGaussian(inputs, jnp.full_like(inputs, 1e-3)),
        decode=lambda params, codes, place=0: codes,
    )
    summary, history = {"test": {}, "diverged_at": -1}, [{"train": {"loss": 0.0}}]
    trained = TrainedModel({"depth": 1, "width": 1, "beta": 0.1, "seed": 0}, dict, summary, history, 0.0)
    found = transferability.PairAttacker(pair, CONFIG, data.Split(images, labels)).measure(trained).measurements[1:]
    assert len(found) == 2
    for each in found:
        names = ("accuracy", "accuracy_second", "delta", "delta_prime")  # the theorem counts an answer that changed
        assert [each.values[name] for name in names] == [0.75] * 4


def test_the_report_of_a_stored_record(tmp_path):
    record = records.read(STORED)
    made = transferability_report.report(frames.frame([record]), [record])
    assert {path.name for path in render.write(made, tmp_path)} == {"table.md", "figure.png"}
    text = (tmp_path / "table.md").read_text()
    assert "8 pairs on mnist: encoders of 1, 2 hidden layers" in text
    logs = [model.values_at(split="test")["lipschitz_product"] for model in record.models]
    gaps = [model.measurements[1].values["gap"] for model in record.models]
    expected = scipy.stats.pearsonr(logs, gaps)
    cell = f"{expected.statistic:.2f} (p {expected.pvalue:.2g})"
    assert f"| FGSM, 0.1: the gap grows with L (p 0.0015 in the paper) | 8 | {cell} | 0.57 |" in text
    assert f"| FGSM, 0.1 | L | {cell} |" in text


def test_diverged_pairs_are_left_out():
    record = records.read(STORED)
    first = dataclasses.replace(record.models[0], details={"diverged_at": 4})
    record = dataclasses.replace(record, models=[first, *record.models[1:]])
    made = transferability_report.report(frames.frame([record]), [record])
    text = render.markdown(made)
    assert "8 pairs on mnist (1 diverged and are left out)" in text
    assert "of the 14 gaps exceed 4 tau" in text


@pytest.mark.parametrize("name", ["quick", "small", "paper"])
def test_presets(name):
    config = PairConfig(**PRESETS[name].on("mnist"))
    own_members = members(config)
    assert len(own_members["seed"]) >= (12 if name == "quick" else 30)
    assert {values.dtype.name for values in own_members.values()} == {"int32", "float32"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"depths": ()}, "--depths must not be empty"),
        ({"widths": (0, 8)}, r"--widths must each be at least 1, got \(0, 8\)"),
        ({"betas": (0.1, 0.1)}, r"--betas must differ, got \(0.1, 0.1\)"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(SettingError, match=message):
        PairConfig(**settings)
