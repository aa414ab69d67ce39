"""The library's suite gives bit for bit what the experiments' own measurers gave, for the same keys."""

import jax
import jax.numpy as jnp
import numpy as np

from experiments.core import image_attacks, image_attacks_config
from experiments.core.keys import stream
from experiments.ib_adversarial_training import attack_settings as names
from experiments.ib_adversarial_training.attack import Attacker
from ib_jax import attacks, data, evaluation, losses, models
from ib_jax.evaluation import AttackSpec, SuiteKeys

RNG = np.random.default_rng(0)
MODEL = models.mlp_classifier(latent_dim=2, num_classes=3, hidden=(6,), scale_shift=0.0)
SPLIT = data.Split(RNG.uniform(0, 1, (24, 4, 4, 1)).astype(np.float32), RNG.integers(0, 3, 24).astype(np.int32))
PARAMS = MODEL.init(jax.random.key(0), jnp.asarray(SPLIT.inputs[:1]))
OTHER = MODEL.init(jax.random.key(1), jnp.asarray(SPLIT.inputs[:1]))
SEED = 3


def keys(seed):
    return SuiteKeys(*(stream(seed, name) for name in ("attack", "judge", "check")))


def same(old, row):
    assert old["accuracy"] == row.accuracy
    assert old["num_images"] == row.num_images
    if "median_l2" in old:
        assert old["median_l2"] == row.median_distance
    if "rate_bits" in old:
        assert old["rate_bits"] == float(evaluation.nats_to_bits(row.measures["rate"]))


def test_adversarial_training():
    settings = names.AttackSettings(
        num_attack_images=24, num_square_images=14, num_queries=6, num_cw_images=10, cw_steps=12, cw_binary_steps=2,
        pgd_steps=3, bim_steps=2, deepfool_steps=4, num_eot_samples=2, honest_epsilons=(0.1, 0.3),
    )  # fmt: skip
    old = Attacker(settings, MODEL, stochastic=True, split=SPLIT, num_eval_samples=2)
    record = old.measure(PARAMS, SEED, lambda epsilon: old.source(OTHER, 0, epsilon), lambda step: None)
    cw = {"const_per": "nat", "learning_rate": 0.05}
    eot = {"num_steps": 3, "num_eot_samples": 2}
    specs = [
        *(AttackSpec("fgsm", epsilon) for epsilon in settings.fgsm_epsilons),
        AttackSpec("deepfool", num_steps=4),
        AttackSpec("carlini_wagner", num_steps=12, options=cw | {"num_binary_steps": 1, "initial_const": 0.1}),
        *(AttackSpec("bim", epsilon, num_steps=2) for epsilon in settings.pgd_epsilons),
        *(AttackSpec("pgd", epsilon, num_steps=3) for epsilon in settings.pgd_epsilons),
        AttackSpec(
            "carlini_wagner", num_steps=12, num_eot_samples=2, num_images=10,
            options=cw | {"num_binary_steps": 2, "initial_const": 0.1},
        ),
    ]  # fmt: skip
    for epsilon in settings.honest_epsilons:
        specs += [AttackSpec("pgd", epsilon, **eot), AttackSpec("pgd", epsilon, loss="margin", **eot)]
        specs += [AttackSpec("pgd", epsilon, source="other", **eot)]
        specs += [AttackSpec("square", epsilon, num_eot_samples=2, num_images=14, options={"num_queries": 6})]

    def rate(params, images):
        codes = losses.draw_codes(stream(0, "rate"), MODEL.encode(params, images), 1)
        return losses.divergence(codes, MODEL.prior(params))

    suite = evaluation.AttackSuite(
        specs, models.sampled_apply(MODEL), SPLIT.inputs, SPLIT.labels,
        num_eval_samples=2, batch_size=250, measures={"rate": jax.jit(rate)},
    )  # fmt: skip
    found = suite.evaluate(PARAMS, keys(SEED), sources={"other": suite.transfer_source(OTHER, keys(0))})
    assert record["clean_accuracy"] == found.clean_accuracy
    assert record["clean_rate_bits"] == float(evaluation.nats_to_bits(found.measures["rate"]))
    for row, mine in zip(record["attacks"], found.rows, strict=True):
        same(row, mine)
    for honest in record["honest"]:
        together = found.together(honest["epsilon"])
        assert (honest["num_images"], honest["accuracy"]["worst of all"]) == (14, together.accuracy["worst"])
        assert sorted(honest["accuracy"].values()) == sorted(together.accuracy.values())
    # The suite looks at more than the measurer did.
    assert {finding["check"] for finding in record["findings"]} <= {finding.check for finding in found.findings}


def test_images_at_the_mean_of_the_code():
    settings = image_attacks_config.AttackSettings(
        linf_epsilons=(4.0, 8.0), l2_epsilons=(64.0,), pgd_steps=2, num_eot_samples=2, num_attack_images=18,
        num_square_images=6, num_queries=3, attack_batch_size=8,
    )  # fmt: skip
    old = image_attacks.Measurer(settings, MODEL, stochastic=True, split=SPLIT, num_classes=3, num_eval_samples=2)
    record = old.measure(PARAMS, SEED, lambda epsilon: old.source(OTHER, 0, epsilon))
    pgd = {"num_steps": 2, "path_length": settings.pgd_path, "at_mean": True}
    linf, l2 = [e / 255 for e in settings.linf_epsilons], [e / 255 for e in settings.l2_epsilons]
    specs = [
        *(AttackSpec("pgd", e, targeted=t, **pgd) for t in (False, True) for e in linf),
        *(AttackSpec("pgd", e, "l2", targeted=t, **pgd) for t in (False, True) for e in l2),
        *(AttackSpec("pgd", e, source="other", **pgd) for e in linf),
        AttackSpec("pgd", 1.0, **pgd),
        AttackSpec("pgd", 8 / 255, loss="margin", **pgd),
        AttackSpec("pgd", 8 / 255, **pgd | {"num_steps": 4}),
        AttackSpec("pgd", 8 / 255, num_eot_samples=2, **pgd | {"at_mean": False}),
        AttackSpec("square", 8 / 255, at_mean=True, num_images=6, options={"num_queries": 3}),
    ]
    labels = SPLIT.labels[:18]
    suite = evaluation.AttackSuite(
        specs, models.sampled_apply(MODEL), SPLIT.inputs[:18], labels, mean_fn=models.mean_apply(MODEL),
        targets=attacks.random_targets(stream(0, "targets"), jnp.asarray(labels), 3), num_eval_samples=2, batch_size=8,
    )  # fmt: skip
    found = suite.evaluate(PARAMS, keys(SEED), sources={"other": suite.transfer_source(OTHER, keys(0))})
    assert record["clean_accuracy"] == found.clean_at_mean.mean()
    assert record["clean_accuracy_sampled"] == found.clean.mean()
    for row, mine in zip(record["attacks"], found.rows, strict=True):
        same(row, mine)
    together = found.together(8 / 255)
    assert record["at_radius"]["num_images"] == together.num_images
    assert sorted(record["at_radius"]["accuracy"].values()) == sorted(together.accuracy.values())
