"""See __main__.py; for other experiments: the settings, and how models are trained."""

from experiments.ib_adversarial_training.model import FUNCTIONS, VARY, load, recipe_of
from experiments.ib_adversarial_training.settings import AdversarialConfig as Config

__all__ = ["FUNCTIONS", "VARY", "Config", "load", "recipe_of"]
