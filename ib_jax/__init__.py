"""ib_jax: train classifiers through an information bottleneck in JAX, and measure honestly how robust they are.

Work flows one way: data -> augment -> encoder -> bound -> train step -> checkpoint -> attack -> evaluation.
`augment`, `losses`, `bounds`, `attacks` and `evaluation` are pure functions that know no framework; `models` is written
in Flax; `exact` holds problems with known answers, in NumPy and float64. What an import does not need (`augment`,
`data`, `exact`, `models`, `training`) is loaded when first asked for, so that importing the library stays quick.
"""

import importlib
from typing import Any

from ib_jax import attacks, bounds, evaluation, keys, loops, losses
from ib_jax.types import AttackResult, BoundTerms, DiagGaussian, Gaussian, GaussianMixture

__version__ = "0.2.0"

_ESTIMATORS = ("BottleneckClassifier", "BottleneckRegressor")
_LAZY = ("augment", "corruptions", "data", "estimators", "exact", "hub", "models", "objectives", "training")

__all__ = [
    "AttackResult",
    "BottleneckClassifier",
    "BottleneckRegressor",
    "BoundTerms",
    "DiagGaussian",
    "Gaussian",
    "GaussianMixture",
    "attacks",
    "augment",
    "bounds",
    "corruptions",
    "data",
    "estimators",
    "evaluation",
    "exact",
    "hub",
    "keys",
    "loops",
    "losses",
    "models",
    "objectives",
    "training",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return importlib.import_module(f"ib_jax.{name}")
    if name in _ESTIMATORS:
        return getattr(importlib.import_module("ib_jax.estimators"), name)
    raise AttributeError(f"module 'ib_jax' has no attribute {name!r}")
