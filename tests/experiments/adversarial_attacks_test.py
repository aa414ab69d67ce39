"""What is recorded of a model, from answers that are made up: no attack is run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.core.keys import stream
from experiments.ib_adversarial_training import attack_settings as names
from experiments.ib_adversarial_training.attack import Attacker, make
from experiments.ib_adversarial_training.attack_settings import AttackSettings
from experiments.ib_adversarial_training.recipe import load, recipe_of
from experiments.ib_adversarial_training.settings import AdversarialConfig
from ib_jax import attacks, evaluation, losses, models

CONFIG = AdversarialConfig(num_train_images=16, scale_width=1 / 32, num_layers=1, latent_dim=4)
COUNT, NUM_SQUARE, NUM_CW = 12, 5, 7


def share(found, stands):
    assert found == pytest.approx(np.mean(stands))


@pytest.fixture
def measured(monkeypatch):
    """The record, and by (attack, radius) what was answered right. An attack is known by the one grey of its images."""
    rng, stood, greys = np.random.default_rng(0), {}, {}

    def made(kind, count):
        stood[kind] = rng.uniform(size=count) < (0.3 if kind[0] in names.MINIMAL else 0.7)
        greys[kind] = len(greys) / 64
        return np.full((count, 8, 8, 1), greys[kind], np.float32)

    def attacked(self, params, seed, attack, epsilon, count):
        return made((attack, epsilon), count)

    def answers(self, params, seed, images):
        known = [kind for kind, grey in greys.items() if (images == grey).all()]
        if not known:
            assert images is self.images
            made((names.CLEAN, None), COUNT)
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
    transfer = lambda epsilon: made((names.TRANSFER, epsilon), COUNT)
    record = attacker.measure(params, 0, transfer, steps.append)
    return record, stood, greys, attacker.images, steps


def test_accuracies_are_those_of_the_answers(measured):
    record, stood, _, _, steps = measured
    clean = stood[names.CLEAN, None]
    share(record["clean_accuracy"], clean)
    assert (stood[names.PGD_EOT, 0.1] & ~clean).any()  # wrong before, and right by the attack: no robustness
    assert len(record["attacks"]) == len(steps) == len(stood) - 1
    for row in record["attacks"]:
        stands = stood[row["attack"], row["epsilon"]]
        assert row["num_images"] == len(stands)
        share(row["accuracy"], stands & clean[: len(stands)])


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
            share(row["accuracy"][attack], (stands[:NUM_SQUARE] & stood[names.CLEAN, None][:NUM_SQUARE]))
        alive = [all(stands[index] for stands in same.values()) for index in range(NUM_SQUARE)]
        share(row["accuracy"][names.WORST], alive)


def test_distances_count_what_stands_as_infinitely_far(measured):
    record, stood, greys, images, _ = measured
    rows = [row for row in record["attacks"] if "median_l2" in row]
    assert [row["attack"] for row in rows] == [names.DEEPFOOL, names.CW, names.CW_EOT]
    for row in rows:
        kind = row["attack"], None
        rows = zip(images, stood[kind], stood[names.CLEAN, None], strict=False)
        sizes = [np.inf if stands else np.sqrt(((x - greys[kind]) ** 2).sum()) for x, stands, clean in rows if clean]
        expected = sorted(sizes)[(len(sizes) - 1) // 2]
        assert np.isfinite(expected)
        assert row["median_l2"] == pytest.approx(expected, rel=1e-5)


def test_a_black_box_attack_that_beats_pgd_is_a_finding(measured):
    record, stood, *_ = measured
    clean = stood[names.CLEAN, None]
    beaten = {
        f"{name} at {epsilon:g}"
        for name in (names.TRANSFER, names.SQUARE)
        for epsilon in (0.1, 0.3)
        for pgd in [stood[names.PGD_EOT, epsilon]]
        if ((other := stood[name, epsilon]) & clean[: len(other)]).sum() < (pgd & clean)[: len(other)].sum()
    }
    texts = [str(finding) for finding in record["findings"]]
    assert all(any(name in text for text in texts) for name in beaten)
    assert beaten


def test_an_answer_is_that_of_the_mean_of_the_stated_samples():
    dataset = load(CONFIG)
    model = recipe_of(CONFIG, dataset).model
    params = model.init(jax.random.key(0), jnp.zeros((1, 8, 8, 1)))
    settings = AttackSettings(num_attack_images=100)
    answers = {}
    for samples in (1, 12):
        attacker = Attacker(settings, model, stochastic=True, split=dataset.test, num_eval_samples=samples)
        answers[samples] = attacker.answers(params, 3, attacker.images)
        logits_fn = lambda keys, x: models.sampled_apply(model)(params, keys, x)
        keys = losses.per_example_keys(stream(3, "judge"), 100)
        expected = losses.sampled_probabilities(keys, logits_fn, attacker.images, samples).argmax(-1)
        np.testing.assert_array_equal(answers[samples], expected)
    assert (answers[1] != answers[12]).any()


def test_the_attack_on_the_margin_makes_it_smaller():
    weights = jnp.array([[1.0, -1.0, 0.5], [0.2, 0.3, -1.0]])
    inputs, labels = jnp.full((2, 2), 0.5), jnp.array([0, 2])
    attack = make(names.MARGIN_EOT, AttackSettings(pgd_steps=3), 2)
    runner = attacks.Runner(attack, lambda params, keys, x: x @ params)
    found = runner(weights, jax.random.key(0), inputs, labels, epsilon=0.1).inputs
    before, after = (np.asarray(losses.margin(x @ weights, labels)) for x in (inputs, found))
    assert (after < before).all()
