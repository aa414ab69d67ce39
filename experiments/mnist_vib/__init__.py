"""See __main__.py; for other experiments: the settings, and how a trained model is opened."""

from experiments.core.recipe import VIB as FUNCTIONS
from experiments.core.recipe import load_dataset as load
from experiments.mnist_vib.settings import Config, HeadConfig

__all__ = ["FUNCTIONS", "Config", "HeadConfig", "load"]
