"""Objectives side by side: each at the strength that is best on held-out images; for `mnist_vib_table`, too."""

from experiments.mnist_objectives.report import SEEDS, chosen, strength_of, trials
from experiments.mnist_objectives.run import run as compare
from experiments.mnist_objectives.settings import PRESETS, CompareConfig

__all__ = ["PRESETS", "SEEDS", "CompareConfig", "chosen", "compare", "strength_of", "trials"]
