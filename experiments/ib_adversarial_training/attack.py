"""The attacks on models of one structure as a suite, and the rate of their codes on what these make."""

from collections.abc import Container

import jax
import numpy as np

from experiments.core.keys import stream
from experiments.core.recipe import Recipe
from experiments.ib_adversarial_training import attack_settings as names
from experiments.ib_adversarial_training.attack_settings import AttackSettings, plan
from ib_jax import data, losses
from ib_jax.evaluation import AttackSuite
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
