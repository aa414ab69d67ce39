"""See __main__.py; for other experiments: the settings, and how a trained model is opened."""

from experiments.core.recipe import VIB as FUNCTIONS
from experiments.core.recipe import load_dataset as load
from experiments.mnist_vib.settings import Config

__all__ = ["FUNCTIONS", "Config", "load"]
