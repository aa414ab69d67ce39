"""See __main__.py; for other experiments: the settings, and how models are trained."""

from experiments.ib_adversarial_training.run import FUNCTIONS, load, recipe_of, train_groups
from experiments.ib_adversarial_training.settings import AdversarialConfig as Config

__all__ = ["FUNCTIONS", "Config", "load", "recipe_of", "train_groups"]
