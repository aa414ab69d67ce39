"""An image that was wrong and is right by an attack counts in no number of robustness."""

import types

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.core import image_models
from experiments.core.attacks import SOURCE, measurements, suite_keys
from experiments.core.image_settings import LEVELS, AttackSettings
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
    settings = AttackSettings(num_attack_images=COUNT, linf_epsilons=(4.0, 8.0), l2_epsilons=(32.0,))
    recipe = types.SimpleNamespace(
        model=model,
        config=types.SimpleNamespace(stochastic=True, num_eval_samples=2),
        dataset=types.SimpleNamespace(num_classes=NUM_CLASSES),
        first_test=lambda count: SPLIT,
    )
    made, keys = image_models.make_suite(settings, recipe), suite_keys(0)
    result = made.evaluate({}, keys, sources={SOURCE: made.transfer_source({}, keys)})
    rows = measurements(result, source="other", radii=[("linf", settings.radius / LEVELS)])
    assert {row["values"]["accuracy"] for row in rows} == {STANDING}
    whole = [row["at"] for row in rows if not row["at"].get("together") and row["at"]["attack"] == "pgd"]
    assert any(at["num_eot_samples"] > 1 for at in whole)
    assert {at.get("source") for at in whole} == {None, "other"}
    radii = {(at["norm"], at["epsilon"]) for at in whole if at["targeted"]}
    wanted = [("linf", e) for e in settings.linf_epsilons] + [("l2", e) for e in settings.l2_epsilons]
    assert radii == {(norm, e / LEVELS) for norm, e in wanted}
