"""The attacks on models of one structure as a suite, the rate of their codes on what these make, and their record."""

from collections.abc import Container, Mapping
from typing import Any

import jax
import numpy as np

from experiments.core.attacks import findings
from experiments.core.keys import stream
from experiments.core.recipe import Recipe
from experiments.ib_adversarial_training import attack_settings as names
from experiments.ib_adversarial_training.attack_settings import AttackSettings, plan
from ib_jax import data, evaluation, losses
from ib_jax.evaluation import AttackSuite, SuiteResult
from ib_jax.models import sampled_apply
from ib_jax.types import Array, Params


def make_suite(settings: AttackSettings, recipe: Recipe, kinds: Container[str] = names.KINDS) -> AttackSuite:
    """The attacks on models of the structure of a recipe, and the rate of their codes on what these make."""
    model, stochastic, test = recipe.model, recipe.config.stochastic, recipe.first_test(settings.num_attack_images)

    def rate(params: Params, inputs: Array) -> Array:
        codes = losses.draw_codes(stream(0, "rate"), model.encode(params, inputs), 1)
        return losses.divergence(codes, model.prior(params))

    return AttackSuite(
        [spec for spec, step in plan(settings, stochastic=stochastic).items() if step.attack in kinds],
        sampled_apply(model),
        np.asarray(data.to_unit_interval(test.inputs)),
        test.labels,
        num_eval_samples=recipe.config.num_eval_samples if stochastic else 1,
        measures={"rate": jax.jit(rate)} if stochastic else {},
        batch_size=settings.attack_batch_size,
    )


def measured(result: SuiteResult, settings: AttackSettings, *, stochastic: bool) -> dict[str, Any]:
    """For the record: accuracies, rates on clean and attacked images, all attacks together, and findings."""
    steps, rows, honest = plan(settings, stochastic=stochastic), [], []
    kinds = {spec.label: step.attack for spec, step in steps.items()} | {"worst": names.WORST}
    for row in result.rows:
        found = {**steps[row.spec]._asdict(), "num_images": row.num_images, "accuracy": row.accuracy}
        found["rate_bits"] = _bits(row.measures)
        if row.median_distance is not None:
            found["median_l2"] = row.median_distance
        rows.append(found | {"seconds": row.seconds})
    for epsilon in settings.honest_epsilons:
        together = result.together(epsilon)
        accuracy = {kinds.get(label, label): share for label, share in together.accuracy.items()}
        honest.append({"epsilon": epsilon, "num_images": together.num_images, "accuracy": accuracy})
    return {
        "num_images": len(result.right()),
        "clean_accuracy": result.clean_accuracy,
        "clean_rate_bits": _bits(result.measures),
        "attacks": rows,
        "honest": honest,
        "findings": findings(result),
    }


def _bits(measures: Mapping[str, float]) -> float | None:
    return float(evaluation.nats_to_bits(measures["rate"])) if "rate" in measures else None
