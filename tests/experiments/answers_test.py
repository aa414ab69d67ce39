"""The one verdict of the experiments: the largest logit at every scale, none where it is NaN, and what stands."""

import types

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.attack_comparison import AttackedModel, AttackEvaluator
from experiments.core import corrupted_images
from experiments.core.attacks import suite_keys
from experiments.core.keys import stream
from experiments.imagenet_features import attack as imagenet_attacks
from experiments.imagenet_features import settings as imagenet_settings
from experiments.imdb_vub.attack import HeadScores
from experiments.text_attack_comparison.model import Evaluator
from ib_jax import DiagGaussian, data, losses
from ib_jax.models import Classifier

COUNT, NUM_CLASSES, INDEX = 6, 3, np.arange(6)
LABELS = np.array([2, 1, 0, 1, 2, 1], np.int32)
# Each image is its own logits; the label leads by 0.25.
IMAGES = (np.full((COUNT, NUM_CLASSES), 0.25) + 0.25 * np.eye(NUM_CLASSES)[LABELS]).astype(np.float32)[:, None, None]
SPLIT = data.Split(IMAGES, LABELS)


def encode(scale, inputs):
    flat = inputs.reshape(len(inputs), -1)
    return DiagGaussian(flat, jnp.full_like(flat, 1e-3))


def apply_fn(scale, keys, inputs):
    return scale * losses.sample(keys, encode(scale, inputs))[0]


MODEL = Classifier(
    init=None, encode=encode, encode_train=None, decode=lambda scale, codes: scale * codes,
    prior=lambda scale: losses.standard_normal(NUM_CLASSES),
)  # fmt: skip


def imagenet():
    made = imagenet_attacks.Attacks(
        imagenet_settings.FeaturesConfig(), apply_fn, None, num_images=COUNT, stochastic=True
    )
    return lambda scale: made.answers(scale, suite_keys(0), INDEX, IMAGES) == LABELS[:, None]


def judge():
    def right(scale):
        logits = lambda params, keys, inputs: params * inputs.reshape(len(inputs), -1)
        return AttackEvaluator(AttackedModel(logits, scale, [], IMAGES, LABELS, {}), COUNT).correct

    return right


def corruption_error():
    return lambda scale: corrupted_images.error_of({"": lambda x: scale * x.reshape(COUNT, -1)}, [SPLIT])[""] == 0.0


def texts():
    """The heads of the text experiment, asked as the judge of a text attack asks them."""
    features = IMAGES.reshape(COUNT, -1)
    settings = types.SimpleNamespace(objective="vub", latent_dim=NUM_CLASSES)

    def right(scale):
        head = types.SimpleNamespace(settings=settings, params=scale)
        scores = HeadScores(lambda texts: features, [head], {"vub": MODEL})
        score = scores.score(stream(0, "judge"), 3)
        return Evaluator(lambda texts: score(texts, np.zeros(COUNT, int)), [""] * COUNT, LABELS).correct

    return right


EVERY = {
    "imagenet": imagenet,
    "judge": judge,
    "corruptions": corruption_error,
    "texts": texts,
}


@pytest.mark.not_under("debug_nans", reason="the model answers NaN")
@pytest.mark.parametrize("make", EVERY.values(), ids=EVERY)
def test_the_verdict_is_that_of_the_logits_at_every_scale_and_none_where_they_are_nan(make):
    right = make()
    for scale in (1e-9, 1.0, 1e10):
        assert np.all(right(jnp.float32(scale))), scale
    with pytest.raises(ValueError, match=r"answers NaN at 6 of 6 examples, the first of them 0"):
        right(jnp.float32(np.nan))


def test_an_image_that_a_library_spoils_is_its_failure_but_a_network_without_an_answer_is_none():
    def logits(params, keys, inputs):
        flat = inputs.reshape(len(inputs), -1)
        return jnp.where(flat.max(-1, keepdims=True) > 0.9, jnp.nan, flat)

    judge = AttackEvaluator(AttackedModel(logits, None, [], IMAGES, LABELS, {}), COUNT)
    spoilt = IMAGES.copy()
    spoilt[3] = np.nan
    found = judge(spoilt, norm="linf", epsilon=1.0)
    assert (found["robust_accuracy"], found["outside"]) == (1.0, 1)
    spoilt[3] = 0.95
    with pytest.raises(ValueError, match="answers NaN at 1 of 6 examples, the first of them 3"):
        judge(spoilt, norm="linf", epsilon=1.0)
