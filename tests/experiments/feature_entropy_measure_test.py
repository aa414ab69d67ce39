"""What is recorded and tabulated of the models, from answers and numbers that are made up: no attack is run."""

import numpy as np
import pytest
import scipy.stats

from experiments.feature_entropy import measure as feature_entropy_measure
from experiments.feature_entropy import table as feature_entropy_table
from experiments.feature_entropy.measure import ESTIMATORS, GRIDS, Measure
from experiments.feature_entropy.settings import CW, DEEPFOOL, FGSM, FeatureConfig
from experiments.feature_entropy.train import Trainer, load_averaged

COUNT, NUM_BESIDE = 30, 20
CONFIG = FeatureConfig(shrink=2, scale_width=0.03, num_attack_images=COUNT, num_beside=NUM_BESIDE, l2_radius=1.0)


@pytest.fixture
def measure(monkeypatch):
    """A measure, and by (runner, whether on the model itself) what its attack made and which images stood."""
    rng, made, stood = np.random.default_rng(0), {}, []

    def attacked(runner, params, key, split):
        images, labels = map(np.asarray, split)
        change = rng.normal(size=images.shape) * rng.choice([0.01, 1.0], len(images))[:, None, None, None]
        found, stands = images + change.astype(np.float32), rng.uniform(size=len(labels)) < 0.5
        made[id(runner), params == "own"] = found, stands
        stood.append((found, stands))
        return found

    def answers(self, params, images):
        assert params == "own"
        known = [stands for found, stands in stood if found is images]
        if not known:  # images as they are
            known = [rng.uniform(size=len(images)) < 0.8]
            made["clean", len(images)] = images, known[0]
        labels = dataset.test.labels[: len(images)]
        return np.where(known[0], labels, labels + 1)

    monkeypatch.setattr(feature_entropy_measure, "_attacked", attacked)
    monkeypatch.setattr(Measure, "answers", answers)
    dataset = load_averaged(CONFIG)
    trainer = Trainer(CONFIG, dataset)
    return Measure(CONFIG, trainer, dataset.test, "source"), made, dataset.test.inputs, trainer.runners


@pytest.mark.parametrize("attack", [FGSM, DEEPFOOL, CW])
def test_robust_is_what_stands_or_is_fooled_from_afar_by_an_attack_without_a_radius(measure, attack):
    found = measure[0].robustness("own", attack, 0)
    (_, made, inputs, runners) = measure
    images, stands = made[id(runners[attack]), True]
    sizes = np.sqrt(((images - inputs[:COUNT]) ** 2).sum((1, 2, 3)))
    clean = made["clean", COUNT][1]
    assert (stands & ~clean).any()  # moved to its label
    stands = stands & clean
    assert (stands & (sizes < 1)).any()
    assert (~stands & clean & (sizes > 1)).any()
    robust = stands if attack == FGSM else stands | (clean & (sizes > 1))
    assert found["robustness"] == pytest.approx(robust.mean())
    assert found["clean_accuracy"] == pytest.approx(clean.mean())
    assert found["attacked_accuracy"] == pytest.approx(stands.mean())
    assert found["frozen_accuracy"] == pytest.approx((made[id(runners[attack]), False][1] & clean).mean())
    distances = sorted(np.where(stands, np.inf, sizes)[clean])
    assert found["median_l2"] == pytest.approx(distances[(clean.sum() - 1) // 2], rel=1e-5)


def test_beside_are_pgd_square_and_transfer_and_the_worst_of_all(measure):
    own = measure[0]
    found = own.robustness("own", FGSM, 0)
    made = measure[1]
    right = {
        "clean": made["clean", NUM_BESIDE][1],
        "pgd": made[id(own._pgd), True][1],
        "transfer": made[id(own._pgd), False][1],
        "square": made[id(own._square), True][1],
    }
    right["worst"] = [all(column) for column in zip(*right.values(), strict=True)]
    assert found["num_beside"] == NUM_BESIDE
    alive = {name: np.logical_and(stands, right["clean"]) for name, stands in right.items()}
    assert found["beside"] == {name: pytest.approx(np.mean(stands)) for name, stands in alive.items()}


def test_a_dead_unit_is_zero_on_every_image(measure, monkeypatch):
    features = np.random.default_rng(0).normal(size=(50, 4))
    features[:, 1:3] = 0.0
    features[7, 2] = 3.0  # alive on one
    monkeypatch.setattr(Measure, "features", lambda self, params: np.maximum(features, 0))
    assert measure[0].entropies("own", np.abs(features) + 0.1)["dead_units"] == 1


def model(ratio, seed, attack, against):
    rng = np.random.default_rng([int(100 * ratio), seed])
    rows = {grid: {name: [float(rng.uniform(1, 9)), 0.0, 0.0] for name in ESTIMATORS} for grid in GRIDS}
    robustness = {
        name: {
            "robustness": float(rng.uniform()),
            "beside": {"pgd": float(rng.uniform()), "worst": float(rng.uniform())},
        }
        for name in against
    }
    return {"ratio": ratio, "seed": seed, "attack": attack, "entropy": rows, "robustness": robustness}


def test_the_verdicts_are_over_all_models_of_an_attack_and_those_trained_on_clean_images():
    models = [model(0.0, seed, None, (FGSM, CW)) for seed in (0, 1)]
    models += [
        model(ratio, seed, attack, (attack,)) for attack in (FGSM, CW) for ratio in (0.2, 0.4) for seed in (0, 1)
    ]
    record = {"models": models}
    lines = [line.strip("|").split("|") for line in feature_entropy_table.verdict_table(record)[2:]]
    assert len(lines) == 2 * len(GRIDS) * len(ESTIMATORS)
    own = [each for each in models if FGSM in each["robustness"]]
    assert len(own) == 6
    grid, name = GRIDS[0], next(iter(ESTIMATORS))
    bits = [each["entropy"][grid][name][0] for each in own]
    robust, worst = (
        [f(each["robustness"][FGSM]) for each in own]
        for f in (lambda r: r["robustness"], lambda r: r["beside"]["worst"])
    )
    first = [cell.strip() for cell in lines[0]]
    assert first[:2] == [FGSM, grid]
    assert first[3] == "6"
    assert float(first[4]) == pytest.approx(scipy.stats.spearmanr(bits, robust).statistic, abs=5e-3)
    assert float(first[6]) == pytest.approx(scipy.stats.pearsonr(bits, robust).statistic, abs=5e-3)
    assert float(first[9]) == pytest.approx(scipy.stats.spearmanr(bits, worst).statistic, abs=5e-3)
