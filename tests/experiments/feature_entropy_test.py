"""Entropy of features and robustness, tiny: images of 4 x 4 pixels, All-CNN with three channels, FGSM alone."""

import dataclasses
import pathlib

import jax
import numpy as np
import pytest
import scipy.stats

from experiments.core import frames, records, render
from experiments.core.session import Session
from experiments.core.workdir import WorkdirError
from experiments.feature_entropy import measure as feature_entropy_measure
from experiments.feature_entropy import report as feature_entropy_report
from experiments.feature_entropy import run as feature_entropy
from experiments.feature_entropy.measure import Measure
from experiments.feature_entropy.run import Trainer, attacked_rows, averaged, load_averaged
from experiments.feature_entropy.settings import ATTACKS, CW, DEEPFOOL, FGSM, PRESETS, FeatureConfig
from ib_jax import AttackResult, data, evaluation

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
        feature_entropy.run(config, Session("feature_entropy", "as tested"))
        yield results, config


@pytest.fixture(scope="module")
def record(folder):
    return records.read(folder[0] / "digits.json")


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
        logits = trainer.programs.apply_fn()(params, jax.random.split(jax.random.key(0), len(rows)), inputs)
        return -jax.nn.log_softmax(logits)[np.arange(len(rows)), dataset.train.labels[rows]].sum()

    slope = np.asarray(jax.grad(loss)(before[rows]))
    np.testing.assert_allclose(mixed[rows], np.clip(before[rows] + TINY.epsilon * np.sign(slope), 0, 1), atol=1e-6)


@pytest.mark.slow
def test_the_record_holds_every_model(folder, record):
    assert [(model.name, model.settings["against"], model.seed) for model in record.models] == [
        ("none 0", "none", 0), ("FGSM 0.25", "fgsm", 0), ("FGSM 0.5", "fgsm", 0),
    ]  # fmt: skip
    assert [row.get("num_attacked") for model in record.models for row in model.details["history"]] == [
        None, None, None, 10, None, 20,
    ]  # fmt: skip
    assert (folder[0] / "figure.png").stat().st_size > 1000
    numbers = frames.frame([record])
    worst = frames.per_model(numbers, "accuracy", attack="worst")
    for other in [{"attack": "clean", "together": True}, {"attack": "pgd"}, {"attack": "square"}]:
        assert (worst <= frames.per_model(numbers, "accuracy", **other)).all()
    source = numbers["source"].dropna().unique()
    assert list(source) == ["none 0, seed 1"]  # no seed of a measured model
    assert (worst <= frames.per_model(numbers, "accuracy", attack="pgd", source=source[0])).all()


@pytest.mark.slow
def test_entropies_follow_from_the_records_own_counts(record):
    for model in record.models:
        assert list(model.details["count_of_counts"]) == list(feature_entropy_measure.GRIDS)
        for grid, count_of_counts in model.details["count_of_counts"].items():
            at = {"split": "test", "num_images": 40, "grid": grid}
            counts = np.concatenate([[size] * repeat for size, repeat in count_of_counts])
            assert counts.sum() == 40
            bits = [model.values_at(**at, estimator=name)["entropy_bits"] for name in ("plug_in", "jvhw")]
            expected = scipy.stats.entropy(counts, base=2), evaluation.entropy_jvhw(counts) / np.log(2)
            np.testing.assert_allclose(bits, expected, atol=1e-9)
            assert model.values_at(**at)["distinct_share"] == len(counts) / 40
            assert model.values_at(**at)["single_share"] == (counts == 1).sum() / 40


def test_only_the_shared_grid_sees_the_scale():
    rng = np.random.default_rng(1)
    features = np.maximum(rng.normal(size=(300, 4)) @ rng.normal(size=(4, 6)), 0)

    def bits(scale):
        made = feature_entropy_measure.grids(scale * features, features, TINY)
        found = {name: feature_entropy_measure.entropies(grid, 1)[0] for name, grid in made.items()}
        return {name: values["plug_in"]["entropy_bits"] for name, values in found.items()}

    whole, small = bits(1.0), bits(0.125)
    assert small.pop("shared range") < 0.5 * whole.pop("shared range")
    assert small == pytest.approx(whole, abs=1e-9)


def test_the_units_of_a_wide_network_are_counted_in_groups():
    rng = np.random.default_rng(3)
    features = np.maximum(rng.normal(size=(2000, 4)) @ rng.normal(size=(4, 192)) + rng.normal(size=(2000, 192)), 0)
    apart = dataclasses.replace(TINY, num_groups=192)
    for config, lowest, highest in ((apart, 0.99, 1.0), (dataclasses.replace(TINY, num_groups=8), 0.0, 0.5)):
        made = feature_entropy_measure.grids(features, features, config)
        for name in ("shared range", "own range"):
            share = feature_entropy_measure.entropies(made[name], 1)[0][""]["distinct_share"]
            assert lowest <= share <= highest, (name, share)
    np.testing.assert_allclose(feature_entropy_measure.grouped(features, 8)[:, 0], features[:, :24].mean(1))


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
    feature_entropy.run(config, Session("feature_entropy"))
    assert (results / "digits.json").read_bytes() == before
    for changes, message in [
        ({"epsilon": 0.3}, r"--epsilon: 0\.2 there, 0\.3 now"),
        ({"pgd_steps": 2}, "--pgd_steps: 1 there, 2 now"),
        ({"num_bins": 4}, "--num_bins: 3 there, 4 now"),
    ]:
        with pytest.raises(WorkdirError, match=message):
            feature_entropy.run(dataclasses.replace(config, **changes), Session())


COUNT, NUM_BESIDE = 30, 20
SMALL = FeatureConfig(shrink=2, scale_width=0.03, num_attack_images=COUNT, num_beside=NUM_BESIDE, l2_radius=1.0)


@pytest.fixture
def made(monkeypatch):
    """A measure whose attacks and answers are made up; and what each attack made, and which images stood."""
    rng, made, trainer = np.random.default_rng(0), [], Trainer(SMALL, dataset := load_averaged(SMALL))

    def attack(spec, params, key, images, labels, targets=None):
        change = rng.normal(size=images.shape) * rng.choice([0.01, 1.0], len(images))[:, None, None, None]
        made.append((spec.attack, params, images + change.astype(np.float32), rng.uniform(size=len(labels)) < 0.5))
        return AttackResult(made[-1][2], made[-1][3])

    clean = np.random.default_rng(1).uniform(size=COUNT) < 0.8

    def answers(params, keys, images):
        stands = next((stands for *_, moved, stands in made if moved is images), clean[: len(images)])
        labels = dataset.test.labels[: len(images)]
        return np.where(stands, labels, labels + 1)

    monkeypatch.setattr(trainer.programs, "attack", attack)
    monkeypatch.setattr(trainer.programs, "answers", answers)
    measure = Measure(SMALL, trainer.programs, trainer.recipe.model, dataset.test, "source", "source")
    return measure, made, dataset.test.inputs[:COUNT], clean


@pytest.mark.parametrize("attack", [FGSM, DEEPFOOL, CW])
def test_robust_is_what_stands_or_is_fooled_from_afar_by_an_attack_without_a_radius(made, attack):
    measure, tried, inputs, clean = made
    rows = measure.robustness("own", [attack], 0)
    (_, who, images, stands), (_, source, _, elsewhere) = tried[:2]
    assert (who, source) == ("own", "source")
    sizes = np.sqrt(((images - inputs) ** 2).sum((1, 2, 3)))
    assert (stands & ~clean).any()  # moved to its label
    stands = stands & clean
    assert (stands & (sizes < 1)).any()
    assert (~stands & clean & (sizes > 1)).any()
    robust = stands if attack == FGSM else stands | (clean & (sizes > 1))
    assert rows[0].values["accuracy"] == clean.mean()
    assert rows[1].values["robustness"] == robust.mean()
    assert rows[1].values["accuracy"] == stands.mean()
    distances = sorted(np.where(stands, np.inf, sizes)[clean])
    assert rows[1].values["median_l2"] == pytest.approx(distances[(clean.sum() - 1) // 2], rel=1e-5)
    assert (rows[2].at["source"], rows[2].values["accuracy"]) == ("source", (elsewhere & clean).mean())


def test_beside_are_pgd_square_and_transfer_and_the_worst_of_all(made):
    measure, tried, _, clean = made
    rows = measure.robustness("own", [FGSM], 0)[3:]
    stands = [stood & clean[:NUM_BESIDE] for *_, stood in tried[2:]]
    assert [(name, who) for name, who, *_ in tried[2:]] == [("pgd", "own"), ("pgd", "source"), ("square", "own")]
    assert [row.at["attack"] for row in rows] == ["pgd", "pgd", "square", "clean", "worst"]
    assert {row.at["num_images"] for row in rows} == {NUM_BESIDE}
    expected = [each.mean() for each in (*stands, clean[:NUM_BESIDE], np.all(stands, axis=0))]
    assert [row.values["accuracy"] for row in rows] == pytest.approx(expected)


def test_a_dead_unit_is_zero_on_every_image(made, monkeypatch):
    features = np.random.default_rng(0).normal(size=(50, 4))
    features[:, 1:3] = 0.0
    features[7, 2] = 3.0  # alive on one
    monkeypatch.setattr(Measure, "features", lambda self, params: np.maximum(features, 0))
    assert made[0].entropies("own", np.abs(features) + 0.1)[0][0].values["dead_units"] == 1


def test_the_report_of_a_stored_record(tmp_path):
    record = records.read(pathlib.Path(__file__).parent / "records" / "feature_entropy.json")
    numbers = frames.frame([record])
    made = feature_entropy_report.report(numbers, [record])
    assert {path.name for path in render.write(made, tmp_path)} == {"table.md", "figure.png"}
    text = (tmp_path / "table.md").read_text()
    # Over all models of the attack and those trained on clean images.
    bits = [
        model.values_at(num_images=10000, grid="own range", estimator="jvhw")["entropy_bits"] for model in record.models
    ]
    robust = frames.per_model(numbers, "robustness")
    expected = scipy.stats.spearmanr(bits, robust)
    cell = f"Spearman {expected.statistic:.3g} (p {expected.pvalue:.3g})"
    assert f"| FGSM, own range, JVHW | 4 | {cell}; Pearson" in text
    attacked = 100 * frames.per_model(frames.where(numbers, ratio=0.5), "robustness")
    assert f"| FGSM | 0.5 | {attacked.mean():.1f} ± {attacked.std():.1f} |" in text
    assert "DeepFool | 0" not in text


def test_presets_and_the_attack_of_the_papers_c():
    for name in PRESETS:
        config = FeatureConfig(**PRESETS[name].on("cifar10"))
        assert config.model.objective == "cross_entropy"
    settings = config.spec(CW).make().settings
    assert (settings.const_per, settings.initial_const) == ("nat", config.cw_const)


def test_refuses_settings_that_make_no_sense():
    for changes, message in [
        ({"ratios": (0.5,)}, "begin with 0"),
        ({"warm_up": 9}, "below --num_epochs=2"),
        ({"only": "x"}, "FGSM"),
    ]:
        with pytest.raises(ValueError, match=message):
            dataclasses.replace(TINY, **changes)
    assert FeatureConfig().attacks == ATTACKS
