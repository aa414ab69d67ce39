"""See __main__.py; for other experiments: the settings, and how a trained model is opened."""

from experiments.cifar10_ceb.run import FUNCTIONS, load, network_name
from experiments.cifar10_ceb.settings import Cifar10Config as Config

__all__ = ["FUNCTIONS", "Config", "load", "network_name"]
