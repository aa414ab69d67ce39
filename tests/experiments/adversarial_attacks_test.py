"""What is recorded of a model, from answers that are made up: no attack is run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import adversarial_attacks_config as names
from experiments.adversarial_attacks import Attacker
from experiments.adversarial_attacks_config import AttackSettings
from experiments.adversarial_config import AdversarialConfig
from experiments.adversarial_recipe import load, recipe_of
from ib_jax import evaluation

CONFIG = AdversarialConfig(num_train_images=16, scale_width=1 / 32, num_layers=1, latent_dim=4)
COUNT, NUM_SQUARE, NUM_CW = 12, 5, 7


def share(found, stands):
    assert found == pytest.approx(np.mean(stands))


@pytest.fixture
def measured(monkeypatch):
    """The record, and by (attack, radius) which images stood. An attack is known by the one grey of its images."""
    rng, stood, greys = np.random.default_rng(0), {}, {}

    def make(kind, count):
        stood[kind] = rng.uniform(size=count) < 0.7
        greys[kind] = len(greys) / 64
        return np.full((count, 8, 8, 1), greys[kind], np.float32)

    def attacked(self, params, seed, attack, epsilon, count):
        return make((attack, epsilon), count)

    def answers(self, params, seed, images):
        known = [kind for kind, grey in greys.items() if (images == grey).all()]
        if not known:
            assert images is self.images
            make((names.CLEAN, None), COUNT)
            known = [(names.CLEAN, None)]
        return np.where(stood[known[0]], self.labels[: len(images)], self.labels[: len(images)] + 1)

    monkeypatch.setattr(Attacker, "attacked", attacked)
    monkeypatch.setattr(Attacker, "answers", answers)
    monkeypatch.setattr(evaluation, "check_model", lambda *args, **settings: [])
    dataset = load(CONFIG)
    model = recipe_of(CONFIG, dataset).model
    settings = AttackSettings(
        num_attack_images=COUNT, num_square_images=NUM_SQUARE, num_cw_images=NUM_CW, honest_epsilons=(0.1, 0.3)
    )
    attacker = Attacker(settings, model, stochastic=True, split=dataset.test, num_eval_samples=2)
    params, steps = model.init(jax.random.key(0), jnp.zeros((1, 8, 8, 1))), []
    transfer = lambda epsilon: make((names.TRANSFER, epsilon), COUNT)
    record = attacker.measure(params, 0, transfer, steps.append)
    return record, stood, greys, attacker.images, steps


def test_accuracies_are_those_of_the_answers(measured):
    record, stood, _, _, steps = measured
    share(record["clean_accuracy"], stood[names.CLEAN, None])
    assert len(record["attacks"]) == len(steps) == len(stood) - 1
    for row in record["attacks"]:
        stands = stood[row["attack"], row["epsilon"]]
        assert row["num_images"] == len(stands)
        share(row["accuracy"], stands)


def test_beside_are_the_images_that_all_were_tried_on(measured):
    record, stood, *_ = measured
    assert [row["epsilon"] for row in record["honest"]] == [0.1, 0.3]
    for row in record["honest"]:
        assert row["num_images"] == NUM_SQUARE
        same = {attack: stands for (attack, radius), stands in stood.items() if radius == row["epsilon"]}
        same[names.CLEAN] = stood[names.CLEAN, None]
        assert {names.PGD_EOT, names.MARGIN_EOT, names.TRANSFER, names.SQUARE, names.FGSM} <= set(same)
        assert set(row["accuracy"]) == {*same, names.WORST}
        for attack, stands in same.items():
            share(row["accuracy"][attack], stands[:NUM_SQUARE])
        alive = [all(stands[index] for stands in same.values()) for index in range(NUM_SQUARE)]
        share(row["accuracy"][names.WORST], alive)


def test_distances_count_what_stands_as_infinitely_far(measured):
    record, stood, greys, images, _ = measured
    rows = [row for row in record["attacks"] if "median_l2" in row]
    assert [row["attack"] for row in rows] == [names.DEEPFOOL, names.CW, names.CW_EOT]
    for row in rows:
        kind = row["attack"], None
        pairs = zip(images, stood[kind], strict=False)
        sizes = [np.inf if stands else np.sqrt(((image - greys[kind]) ** 2).sum()) for image, stands in pairs]
        expected = sorted(sizes)[(len(sizes) - 1) // 2]
        assert row["median_l2"] == pytest.approx(expected, rel=1e-5)


def test_a_black_box_attack_that_beats_pgd_is_a_finding(measured):
    record, stood, *_ = measured
    beaten = {
        f"{name} at {epsilon:g}"
        for name in (names.TRANSFER, names.SQUARE)
        for epsilon in (0.1, 0.3)
        for pgd in [stood[names.PGD_EOT, epsilon]]
        if (other := stood[name, epsilon]).sum() < pgd[: len(other)].sum()
    }
    texts = [str(finding) for finding in record["findings"]]
    assert all(any(name in text for text in texts) for name in beaten)
    assert beaten
