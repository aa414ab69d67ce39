"""See __main__.py; for other experiments: the settings, and how a trained model is opened."""

from experiments.imagenet_ceb.run import FUNCTIONS, load, network_name
from experiments.imagenet_ceb.settings import ImageNetConfig as Config

__all__ = ["FUNCTIONS", "Config", "load", "network_name"]
