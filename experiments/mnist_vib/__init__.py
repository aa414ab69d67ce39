"""See __main__.py; for other experiments: settings, presets, training, attacks, and how a trained model is opened."""

from experiments.core.recipe import VIB as FUNCTIONS
from experiments.core.recipe import load_dataset as load
from experiments.mnist_vib.attack import AttackEvaluator
from experiments.mnist_vib.plane import drawn_codes, latent_planes
from experiments.mnist_vib.run import one_of_many, train_each
from experiments.mnist_vib.run import run as train
from experiments.mnist_vib.settings import DATASETS, PRESETS, RECIPES, Config

__all__ = [
    "DATASETS",
    "FUNCTIONS",
    "PRESETS",
    "RECIPES",
    "AttackEvaluator",
    "Config",
    "drawn_codes",
    "latent_planes",
    "load",
    "one_of_many",
    "train",
    "train_each",
]
