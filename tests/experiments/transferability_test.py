"""Pairs on one encoder: masks, the second decoder, a member alone, Lipschitz constants, and the table's rules."""

import io
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from rich.console import Console

from experiments.core.app import Session
from experiments.core.recipe import Recipe
from experiments.core.workdir import WorkdirError
from experiments.transferability import run as transferability
from experiments.transferability import statistics
from experiments.transferability import table as transferability_table
from experiments.transferability.measure import smoothness
from experiments.transferability.models import encoder_layers, functions_of, pair_of
from experiments.transferability.settings import PRESETS, PairConfig, members
from ib_jax import data, losses, models, training
from ib_jax.training import Batch

TINY = {
    "depths": (1, 2), "widths": (8, 12), "betas": (1e-3, 1e-1), "num_repeats": 1, "latent_dim": 3, "decoder_width": 5,
    "num_epochs": 4, "learning_rate": 1e-2, "batch_size": 100, "num_attack_images": 24, "num_pgd_images": 16,
    "pgd_steps": 2,
    "num_eot_samples": 2, "num_eval_samples": 3, "epsilons": (0.1,),
}  # fmt: skip
CONFIG = PairConfig(**TINY)
PAIR = pair_of(CONFIG, 10)


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
def finished(tmp_path_factory):
    """A finished run: its workdir and record."""
    workdir = tmp_path_factory.mktemp("pairs")
    config = PairConfig(workdir=str(workdir), **TINY)
    results = transferability.run(config, Session(console=Console(file=io.StringIO(), width=100), command="as tested"))
    return workdir, json.loads((results / "digits.json").read_text())


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
    assert found["product"] == pytest.approx(np.prod(norms), rel=1e-6)
    assert found["averaged"] <= found["product"]

    def joint(x):
        code = PAIR.encode(own(1, 8), params, x[None])
        return jnp.concatenate([code.mean[0], code.scale[0]])

    slopes = jax.vmap(jax.jacobian(joint))(batch[1]).reshape(6, 6, 64)
    assert np.linalg.norm(slopes, 2, axis=(1, 2)).max() <= found["averaged"]
    changed = jax.tree.map(jnp.asarray, params)
    changed["encoder"]["hidden_1"] = jax.tree.map(lambda leaf: 100 * leaf, changed["encoder"]["hidden_1"])
    assert smoothness(encoder_layers(changed, 1, 8), 0.5) == found


@pytest.mark.standard
def test_the_second_decoder_gives_the_encoder_no_gradient(params, batch):
    def gradient(params):
        return jax.grad(lambda params: PAIR.loss(own(2, 12), params, *batch).loss.sum())(params)

    before = gradient(params)
    after = gradient({**params, "second": jax.tree.map(lambda leaf: 3 * leaf, params["second"])})
    for name in ("encoder", "first"):
        jax.tree.map(np.testing.assert_array_equal, before[name], after[name])
    assert all(jnp.abs(leaf).max() > 0 for leaf in jax.tree.leaves(before["second"]))
    assert all(jnp.abs(leaf).max() > 0 for leaf in jax.tree.leaves(before["encoder"]))


def test_unused_layers_and_units_get_no_gradient(params, batch):
    grads = jax.grad(lambda params: PAIR.loss(own(1, 8), params, *batch).loss.sum())(params)["encoder"]
    assert not any(jnp.abs(leaf).max() for leaf in jax.tree.leaves(grads["hidden_1"]))
    kernel, head = np.asarray(grads["hidden_0"]["kernel"]), np.asarray(grads["Dense_0"]["kernel"])
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
    chosen = {name: values[[0, 7]] for name, values in hyperparams.items()}
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
    pairs = record["pairs"]
    assert len(pairs) == 8
    assert len({pair["seed"] for pair in pairs}) == 8
    assert {(pair["depth"], pair["width"], pair["beta"]) for pair in pairs} == {
        (depth, width, beta) for depth in (1, 2) for width in (8, 12) for beta in (1e-3, 1e-1)
    }
    for pair in pairs:
        assert pair["tau"] == max(pair["error_first"], pair["error_second"])
        assert 0 < pair["lipschitz"]["averaged"] <= pair["lipschitz"]["product"]
        assert [(row["attack"], row["num_images"]) for row in pair["attacks"]] == [("FGSM", 24), ("PGD EOT", 16)]
        for row in pair["attacks"]:
            assert row["gap"] == pytest.approx(row["delta_prime"] - row["delta"])
    assert min(pair["error_first"] for pair in pairs) < 0.8  # better than a guess
    assert "workdir" not in record["config"]


@pytest.mark.slow
def test_a_record_that_is_there_is_kept(finished, monkeypatch):
    workdir, _ = finished
    results = workdir / "digits" / "results"
    table = (results / "table.md").read_text()
    assert (results / "figure.png").stat().st_size > 3000
    monkeypatch.setattr(transferability, "measure", lambda *args: pytest.fail("measured again"))
    quiet = Console(file=io.StringIO())
    assert transferability.run(PairConfig(workdir=str(workdir), **TINY), quiet) == results
    assert (results / "table.md").read_text() == table
    with pytest.raises(WorkdirError, match="--num_epochs: 4 there, 3 now"):
        transferability.run(PairConfig(workdir=str(workdir), **TINY | {"num_epochs": 3}), quiet)


def made_up(slope, betas=(1e-3, 1e-1), each=10, spread=0.002):
    """A record whose gap is slope * log L, with some noise."""
    rng = np.random.default_rng(2)
    pairs = []
    for beta in betas:
        for _ in range(each):
            log_l = rng.uniform(2, 6)
            gap = slope * log_l + spread * rng.normal()
            row = {"attack": "FGSM", "epsilon": 0.1, "num_images": 9, "delta": 0.5, "delta_prime": 0.5 + gap}
            smooth = {"product": np.exp(log_l), "averaged": np.exp(0.9 * log_l), "min_scale": 0.5}
            smooth |= {"log_density_corrected": log_l + 3, "log_density_printed": log_l - 9}
            pair = {"depth": 1, "width": 8, "beta": beta, "diverged_at": -1, "rate_bits": 9.0, "lipschitz": smooth}
            pair |= {"error_first": 0.02, "error_second": 0.03, "tau": 0.03 + 0.1 * beta + 0.001 * rng.normal()}
            pairs.append(pair | {"attacks": [row | {"gap": gap, "gap_error": 0.004}]})
    config = {"dataset": "mnist", "depths": [1], "widths": [8], "betas": list(betas), "num_repeats": each}
    config |= {"latent_dim": 3, "num_epochs": 2, "decoder_width": 5}
    environment = {"devices": ["cpu"], "machine": {"cores": 2}}
    sizes = {"num_train_images": 9, "num_pixels": 784, "training_seconds": 1.0, "attack_seconds": 1.0}
    return {"config": config, "environment": environment, "pairs": pairs, **sizes}


@pytest.mark.parametrize(("slope", "verdict"), [(0.01, "confirmed"), (-0.01, "not found")])
def test_the_table_marks_statements_by_its_rule(slope, verdict):
    record = made_up(slope)
    table = transferability_table.render(record)
    line = next(line for line in table.splitlines() if line.startswith("| the gap grows with L |"))
    assert "0.57 (p 0.0015)" in line
    assert line.endswith(f"**{verdict}** |")
    line = next(line for line in table.splitlines() if line.startswith("| at each beta the gap grows with L"))
    assert line.endswith(f"**{verdict}** |")
    line = next(line for line in table.splitlines() if line.startswith("| given beta, the gap goes with L"))
    assert line.endswith(f"**{verdict}** |")
    assert "| tau grows with beta" in table
    record["pairs"][0]["diverged_at"] = 4
    assert "20 pairs on mnist (1 diverged and are left out)" in transferability_table.render(record)


def test_verdicts_of_a_coefficient():
    verdicts = [
        statistics.Found(*each).verdict for each in [(0.5, 0.049), (0.5, 0.051), (-0.5, 0.01), (np.nan, np.nan)]
    ]
    assert verdicts == ["confirmed", "weaker", "not found", "not found"]


def test_correlation_given_groups_is_that_of_a_regression_on_them():
    rng = np.random.default_rng(4)
    groups = np.repeat([0, 1, 2], 8)
    x = rng.normal(size=24) + 5 * groups
    y = 0.5 * x - 7 * groups + rng.normal(size=24)
    found = statistics.correlate(x, y, groups)
    # The p-value of x's coefficient in a least-squares fit with an intercept for each group.
    design = np.column_stack([x, *(groups == group for group in range(3))]).astype(float)
    fit, residual, *_ = np.linalg.lstsq(design, y, rcond=None)
    error = np.sqrt(residual[0] / 20 * np.linalg.inv(design.T @ design)[0, 0])
    assert found.p_value == pytest.approx(2 * scipy.stats.t.sf(abs(fit[0] / error), 20), rel=1e-6)
    assert found.coefficient > 0 > statistics.correlate(x, y).coefficient
    assert np.isnan(statistics.correlate(x, np.repeat([1.0, 2.0, 3.0], 8), groups).coefficient)


@pytest.mark.parametrize("name", ["quick", "small", "paper"])
def test_presets(name):
    config = PairConfig(**PRESETS[name].on("mnist"))
    own_members = members(config)
    assert len(own_members["seed"]) >= (12 if name == "quick" else 30)
    assert {values.dtype.name for values in own_members.values()} == {"int32", "float32"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"depths": ()}, r"--depths must not be empty"),
        ({"widths": (0, 8)}, r"--widths must each be at least 1, got \(0, 8\)"),
        ({"betas": (0.1, 0.1)}, r"--betas must differ, got \(0.1, 0.1\)"),
        ({"num_repeats": 0}, "--num_repeats must be at least 1, got 0"),
        ({"average_decay": 1.0}, r"--average_decay must be in \[0, 1\), got 1.0"),
        ({"members_at_once": -2}, "--members_at_once must be at least -1, got -2"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        PairConfig(**settings)
