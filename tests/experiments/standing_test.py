"""An image that was wrong and is right by an attack counts in no number of robustness."""

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.core import image_attacks, image_attacks_config
from experiments.core.attacks import SOURCE, suite_keys
from experiments.mnist_robustness import attack as mnist_robustness_attacks
from experiments.mnist_robustness import settings as mnist_robustness_config
from ib_jax import AttackResult, DiagGaussian, attacks, data, losses
from ib_jax.evaluation import AttackSuite
from ib_jax.models import Classifier

COUNT, NUM_CLASSES, WRONG = 4, 3, 2
LABELS = np.array([2, 1, 0, 1], np.int32)
MOVED = (0.25 + 0.25 * np.eye(NUM_CLASSES)[LABELS]).astype(np.float32)[:, None, None]  # each image is its own logits
IMAGES = MOVED.copy()
IMAGES[WRONG] = IMAGES[WRONG, :, :, ::-1]  # answered 2, and right in MOVED
SPLIT = data.Split(IMAGES, LABELS)
STANDING = (COUNT - 1) / COUNT


def encode(params, inputs):
    flat = inputs.reshape(len(inputs), -1)
    return DiagGaussian(flat, jnp.full_like(flat, 1e-3))


def apply_fn(params, keys, inputs):
    return losses.sample(keys, encode(params, inputs))[0]


@pytest.fixture
def one_answer(monkeypatch):
    """Every attack returns MOVED."""

    def attack(params, keys, inputs, *args, **settings):
        return AttackResult(MOVED[: len(inputs)], np.zeros(len(inputs), bool))

    monkeypatch.setattr(attacks, "Runner", lambda *args, **settings: attack)


def test_images_under_every_attack_and_in_both_kinds_of_answer(one_answer, monkeypatch):
    monkeypatch.setattr(AttackSuite, "_model_findings", lambda *args: [])
    model = Classifier(None, encode, None, lambda params, codes: codes, lambda params: losses.standard_normal(3))
    settings = image_attacks_config.AttackSettings(num_attack_images=COUNT)
    made = image_attacks.make_suite(
        settings, model, stochastic=True, split=SPLIT, num_classes=NUM_CLASSES, num_eval_samples=2
    )
    keys = suite_keys(0)
    result = made.evaluate({}, keys, sources={SOURCE: made.transfer_source({}, keys)})
    record = image_attacks.record_of(result, settings, stochastic=True)
    assert record["clean_accuracy"] == record["clean_accuracy_sampled"] == STANDING
    kinds = {row["attack"] for row in record["attacks"]}
    assert {image_attacks_config.EOT, image_attacks_config.TRANSFER, image_attacks_config.TARGETED} <= kinds
    assert {row["accuracy"] for row in record["attacks"]} == {STANDING}
    assert set(record["at_radius"]["accuracy"].values()) == {STANDING}
    radii = {(row["norm"], row["epsilon"]) for row in record["attacks"] if row["attack"] == image_attacks_config.PGD}
    assert radii == {("linf", e) for e in settings.linf_epsilons} | {("l2", e) for e in settings.l2_epsilons}


def test_digits_under_every_attack_but_the_papers_number_under_a_targeted_one(one_answer, monkeypatch):
    monkeypatch.setattr(mnist_robustness_attacks.Measurer, "_findings", lambda *args: [])
    made = mnist_robustness_attacks.Measurer(
        mnist_robustness_config.RobustnessConfig(), apply_fn,
        stochastic=True, images=IMAGES, labels=LABELS, num_classes=NUM_CLASSES,
    )  # fmt: skip
    record, _ = made.measure(mnist_robustness_attacks.Victim(0, {}), lambda epsilon: MOVED, lambda step: None)
    targeted = [row for row in record["attacks"] if "targeted" in row["attack"]]
    assert len(targeted) == 2
    assert {row["accuracy"] for row in targeted} == {1.0}
    others = [row for row in record["attacks"] if row not in targeted]
    assert len(others) > 10
    assert {row["accuracy"] for row in others} == {STANDING}
    assert {share for row in record["same_images"] for share in row["accuracy"].values()} == {STANDING}
    for row in [*targeted, *(row for row in others if row["epsilon"] is None)]:
        assert (row["num_right"], row["success"], row["median_l2"]) == (COUNT - 1, 0.0, np.inf)
