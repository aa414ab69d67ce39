"""How a model is trained, and the attacks on the models of one structure as a suite."""

import functools

import jax
import numpy as np

from experiments.core import networks, objectives
from experiments.core.attacks import SOURCE
from experiments.core.keys import stream
from experiments.core.recipe import Recipe, RecipeFunctions, load_dataset
from experiments.ib_adversarial_training.settings import AdversarialConfig, AttackSettings
from ib_jax import data, losses
from ib_jax.evaluation import AttackSpec, AttackSuite
from ib_jax.models import sampled_apply
from ib_jax.types import Array, Params

load = load_dataset
FUNCTIONS = RecipeFunctions(networks.stacked, schedule=objectives.constant)
VARY = ("beta", "learning_rate", "seed")
"""The settings in which the models of a population may differ."""

_CW = {"const_per": "nat", "learning_rate": 0.05}  # of Adam; 0.01 in the attack's paper, with 10,000 steps


def recipe_of(config: AdversarialConfig, dataset: data.Dataset) -> Recipe:
    """How a model of these settings is trained."""
    return Recipe(config, dataset, FUNCTIONS)


def specs_of(settings: AttackSettings, *, stochastic: bool) -> list[AttackSpec]:
    """The attacks on a model, in this order; a deterministic one is spared averages over samples.

    First the paper's, each gradient of one sample of z; then what it lacks: averages over samples (EOT), a margin loss,
    images made on another model, and Square.
    """
    samples = settings.num_eot_samples if stochastic else 1
    pgd = functools.partial(AttackSpec, "pgd", num_steps=settings.pgd_steps)
    cw = functools.partial(AttackSpec, "carlini_wagner", num_steps=settings.cw_steps)
    search = {"num_binary_steps": settings.cw_binary_steps, "initial_const": 0.1}
    specs = [
        *(AttackSpec("fgsm", epsilon) for epsilon in settings.fgsm_epsilons),
        AttackSpec("deepfool", num_steps=settings.deepfool_steps),
        cw(options=_CW | {"num_binary_steps": 1, "initial_const": settings.cw_const}),
        *(AttackSpec("bim", epsilon, num_steps=settings.bim_steps) for epsilon in settings.pgd_epsilons),
        *map(pgd, settings.pgd_epsilons),
        cw(num_eot_samples=samples, num_images=settings.num_cw_images, options=_CW | search),
    ]
    square = functools.partial(AttackSpec, "square", options={"num_queries": settings.num_queries})
    for epsilon in settings.honest_epsilons:
        if samples > 1 or epsilon not in settings.pgd_epsilons:
            specs.append(pgd(epsilon, num_eot_samples=samples))
        specs += [
            pgd(epsilon, num_eot_samples=samples, loss="margin"),
            pgd(epsilon, num_eot_samples=settings.num_eot_samples, source=SOURCE),
            square(epsilon, num_eot_samples=samples, num_images=settings.num_square_images),
        ]
    return specs


def make_suite(settings: AttackSettings, recipe: Recipe) -> AttackSuite:
    """The attacks on models of a recipe's structure, and the rate of their codes on what these make."""
    model, stochastic, test = recipe.model, recipe.config.stochastic, recipe.first_test(settings.num_attack_images)

    def rate(params: Params, inputs: Array) -> Array:
        codes = losses.draw_codes(stream(0, "rate"), model.encode(params, inputs), 1)
        return losses.divergence(codes, model.prior(params))

    return AttackSuite(
        specs_of(settings, stochastic=stochastic),
        sampled_apply(model),
        np.asarray(data.to_unit_interval(test.inputs)),
        test.labels,
        num_eval_samples=recipe.config.num_eval_samples if stochastic else 1,
        measures={"rate": jax.jit(rate)} if stochastic else {},
        batch_size=settings.attack_batch_size,
    )
