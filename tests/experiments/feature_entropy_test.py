"""Entropy of features and robustness, tiny: images of 4 x 4 pixels, All-CNN with three channels, FGSM alone."""

import dataclasses
import io
import json

import jax
import numpy as np
import pytest
import scipy.stats
from rich.console import Console

from experiments.core.app import Session
from experiments.core.workdir import WorkdirError
from experiments.feature_entropy import measure as feature_entropy_measure
from experiments.feature_entropy import run as feature_entropy
from experiments.feature_entropy import table as feature_entropy_table
from experiments.feature_entropy.settings import ATTACKS, FGSM, FeatureConfig
from experiments.feature_entropy.train import Trainer, attacked_rows, averaged, load_averaged
from ib_jax import data, evaluation

TINY = FeatureConfig(
    shrink=2, ratios=(0.0, 0.25, 0.5), scale_width=0.03, num_epochs=2, batch_size=20, warm_up=1, refresh=1, only=FGSM,
    attack_batch_size=40, num_attack_images=40, num_beside=40, pgd_steps=1, num_queries=2, num_resamples=5,
    num_components=2,
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    rng = np.random.default_rng(0)

    def split(count):
        labels = np.arange(count, dtype=np.int32) % 2
        images = rng.integers(0, 128, (count, 8, 8, 1), dtype=np.uint8) + np.uint8(127) * labels[:, None, None, None]
        return data.Split(images.astype(np.uint8), labels)

    dataset = data.Dataset("digits", split(40), None, split(40), 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "load", lambda name, **_: dataset)
        results = tmp_path_factory.mktemp("feature_entropy")
        config = dataclasses.replace(TINY, results=str(results))
        feature_entropy.run(config, Session(console=Console(file=io.StringIO(), width=200)))
        yield results, config


@pytest.fixture(scope="module")
def record(folder):
    return json.loads((folder[0] / "digits.json").read_text())


def test_averages_squares():
    images = np.random.default_rng(0).integers(0, 256, (3, 4, 6, 2), dtype=np.uint8)
    expected = [
        [[images[n, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].mean((0, 1)) / 255 for j in range(3)] for i in range(2)]
        for n in range(3)
    ]
    np.testing.assert_allclose(averaged(images, 2), expected, rtol=1e-6)
    with pytest.raises(ValueError, match="must divide the images' sides, 4 and 6, got 4"):
        averaged(images, 4)


def test_the_ratio_is_exact_and_drawn_afresh():
    for ratio, count in [(0.0, 0), (0.25, 10), (0.75, 30), (1.0, 40)]:
        rows = attacked_rows(40, ratio, seed=0, epoch=2)
        assert len(rows) == len(set(rows)) == count
        np.testing.assert_array_equal(rows, attacked_rows(40, ratio, seed=0, epoch=2))
    assert set(attacked_rows(40, 0.25, 0, 2)) != set(attacked_rows(40, 0.25, 0, 3))


@pytest.mark.slow
def test_mixing_replaces_those_rows_alone(folder):
    dataset = load_averaged(folder[1])
    trainer = Trainer(folder[1], dataset)
    params = trainer.recipe.init({"seed": 3}).params
    before = dataset.train.inputs.copy()
    mixed, row = trainer.mixed(FGSM, 0.25, params, seed=1, epoch=5)
    rows = attacked_rows(40, 0.25, 1, 5)
    changed = np.abs(mixed - before).max((1, 2, 3))
    assert row["num_attacked"] == 10
    assert set(np.flatnonzero(changed)) == set(rows)
    np.testing.assert_allclose(changed[rows], TINY.epsilon, atol=1e-6)
    np.testing.assert_array_equal(dataset.train.inputs, before)

    # FGSM by hand, with the labels the images have.
    def loss(inputs):
        logits = trainer.apply(params, jax.random.split(jax.random.key(0), len(rows)), inputs)
        return -jax.nn.log_softmax(logits)[np.arange(len(rows)), dataset.train.labels[rows]].sum()

    slope = np.asarray(jax.grad(loss)(before[rows]))
    np.testing.assert_allclose(mixed[rows], np.clip(before[rows] + TINY.epsilon * np.sign(slope), 0, 1), atol=1e-6)


@pytest.mark.slow
def test_the_record_holds_every_model(folder, record):
    found = [(row["attack"], row["ratio"], row["seed"]) for row in record["models"]]
    assert found == [("none", 0.0, 0), (FGSM, 0.25, 0), (FGSM, 0.5, 0)]
    assert [row.get("num_attacked") for model in record["models"] for row in model["history"]] == [
        None, None, None, 10, None, 20,
    ]  # fmt: skip
    assert (folder[0] / "figure.png").stat().st_size > 1000
    for row in record["models"]:
        beside = row["robustness"][FGSM]["beside"]
        assert beside["worst"] <= min(value for name, value in beside.items() if name != "worst")


@pytest.mark.slow
def test_entropies_follow_from_the_records_own_counts(record):
    for model in record["models"]:
        assert list(model["entropy"]) == list(feature_entropy_measure.GRIDS)
        for row in model["entropy"].values():
            counts = np.concatenate([[size] * repeat for size, repeat in row["count_of_counts"]])
            assert counts.sum() == row["num_images"] == 40
            np.testing.assert_allclose(row["plug_in"][0], scipy.stats.entropy(counts, base=2), atol=1e-9)
            np.testing.assert_allclose(row["jvhw"][0], evaluation.entropy_jvhw(counts) / np.log(2), atol=1e-9)
            assert row["distinct_share"] == len(counts) / 40
            assert row["single_share"] == (counts == 1).sum() / 40


def test_only_the_shared_grid_sees_the_scale():
    rng = np.random.default_rng(1)
    features = np.maximum(rng.normal(size=(300, 4)) @ rng.normal(size=(4, 6)), 0)

    def bits(scale):
        made = feature_entropy_measure.grids(scale * features, features, TINY)
        return {name: feature_entropy_measure.entropy_row(grid, 1)["plug_in"][0] for name, grid in made.items()}

    whole, small = bits(1.0), bits(0.125)
    assert small.pop("shared range") < 0.5 * whole.pop("shared range")
    assert small == pytest.approx(whole, abs=1e-9)


def test_components_are_those_of_the_correlations():
    rng = np.random.default_rng(2)
    features = rng.normal(size=(200, 3)) * [1.0, 10.0, 0.0] + [0.0, 0.0, 5.0]
    features[:, 1] += 8 * features[:, 0]
    found = feature_entropy_measure.principal(features, 1)[:, 0]
    standard = scipy.stats.zscore(features[:, :2])
    expected = standard @ np.linalg.svd(standard, full_matrices=False)[2][0]
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-9)


@pytest.mark.slow
def test_goes_on_and_refuses_other_settings(folder):
    results, config = folder
    before = (results / "digits.json").read_bytes()
    feature_entropy.run(config, Session(console=Console(file=io.StringIO(), width=200)))
    assert (results / "digits.json").read_bytes() == before
    with pytest.raises(WorkdirError, match=r"--epsilon: 0\.2 there, 0\.3 now"):
        feature_entropy.run(dataclasses.replace(config, epsilon=0.3), Session(console=Console(file=io.StringIO())))


@pytest.mark.parametrize(
    ("bits", "verdict"),
    [([9, 8, 7, 6, 5, 4], "confirmed"), ([9, 4, 7, 8, 5, 6], "weaker"), ([1, 2, 3, 4, 5, 6], "not found")],
)
def test_the_verdict_follows_the_rule(bits, verdict):
    robust = [10.0, 20.0, 30.0, 40.0, 50.0, 60.0]
    found = feature_entropy_table.relation(bits, robust)
    spearman = scipy.stats.spearmanr(bits, robust)
    assert (found.spearman, found.spearman_p) == pytest.approx((spearman.statistic, spearman.pvalue))
    assert found.verdict == verdict


def test_refuses_settings_that_make_no_sense():
    for changes, message in [
        ({"ratios": (0.5,)}, "begin with 0"),
        ({"warm_up": 9}, "below --num_epochs=2"),
        ({"only": "x"}, "FGSM"),
    ]:
        with pytest.raises(ValueError, match=message):
            dataclasses.replace(TINY, **changes)
    assert FeatureConfig().attacks == ATTACKS
