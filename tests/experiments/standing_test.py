"""An image that was wrong and is right by an attack counts in no number of robustness."""

import types

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.core import image_attacks, image_attacks_config
from experiments.transferability import measure as transferability_measure
from ib_jax import AttackResult, DiagGaussian, attacks, data, losses
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
    monkeypatch.setattr(image_attacks.Measurer, "_findings", lambda *args: [])
    model = Classifier(None, encode, None, lambda params, codes: codes, lambda params: losses.standard_normal(3))
    made = image_attacks.Measurer(
        image_attacks_config.AttackSettings(num_attack_images=COUNT), model,
        stochastic=True, split=SPLIT, num_classes=NUM_CLASSES, num_eval_samples=2,
    )  # fmt: skip
    record = made.measure({}, 0, lambda epsilon: MOVED)
    assert record["clean_accuracy"] == record["clean_accuracy_sampled"] == STANDING
    kinds = {row["attack"] for row in record["attacks"]}
    assert {image_attacks_config.EOT, image_attacks_config.TRANSFER, image_attacks_config.TARGETED} <= kinds
    assert {row["accuracy"] for row in record["attacks"]} == {STANDING}
    assert set(record["at_radius"]["accuracy"].values()) == {STANDING}


def test_pairs_but_not_the_theorems_delta(one_answer, monkeypatch):
    monkeypatch.setattr(transferability_measure, "encoder_layers", lambda *args: [])
    monkeypatch.setattr(transferability_measure, "smoothness", lambda *args: {})
    pair = types.SimpleNamespace(
        encode=lambda hyperparams, params, inputs: encode(params, inputs),
        decode=lambda params, codes, place: codes,
        encoder=types.SimpleNamespace(latent_dim=NUM_CLASSES),
    )
    config = transferability_measure.PairConfig()
    made = transferability_measure.PairAttacker(pair, config, SPLIT)
    rows = made.measure({"depth": 1, "width": 1, "seed": 0}, {})["attacks"]
    assert rows
    for row in rows:
        assert row["accuracy_first"] == row["accuracy_second"] == STANDING
        assert row["delta"] == row["delta_prime"] == STANDING  # an answer that changed, though it was wrong
