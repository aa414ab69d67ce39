"""How a model of `experiments.ib_adversarial_training` is trained; the attack in each step is a part of any recipe."""

from experiments.core import networks, objectives
from experiments.core.recipe import Recipe, RecipeFunctions, load_dataset
from experiments.ib_adversarial_training.settings import AdversarialConfig
from ib_jax import data

load = load_dataset
FUNCTIONS = RecipeFunctions(networks.stacked, schedule=objectives.constant)
VARY = ("beta", "learning_rate", "seed")
"""The settings in which the models of a population may differ."""


def recipe_of(config: AdversarialConfig, dataset: data.Dataset) -> Recipe:
    """How a model of these settings is trained."""
    return Recipe(config, dataset, FUNCTIONS)
