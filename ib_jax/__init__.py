"""ib_jax: train classifiers through an information bottleneck in JAX, and tell honestly how robust they are.

The flow is one way: data -> encoder -> bound -> train step -> checkpoint -> attack -> evaluation. `losses`, `bounds`,
`attacks` and `evaluation` are pure functions that know no framework; `models` is written in Flax; `exact` holds
problems with known answers, in NumPy and float64; it, `data`, `models` and `training` are loaded when first asked for,
so that importing the library stays quick.
"""

import importlib
from typing import Any

from ib_jax import attacks, bounds, evaluation, losses
from ib_jax.types import AttackResult, BoundTerms, DiagGaussian, GaussianMixture

__version__ = "0.1.0"

_LAZY = ("corruptions", "data", "exact", "models", "training")

__all__ = [
    "AttackResult",
    "BoundTerms",
    "DiagGaussian",
    "GaussianMixture",
    "attacks",
    "bounds",
    "corruptions",
    "data",
    "evaluation",
    "exact",
    "losses",
    "models",
    "training",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return importlib.import_module(f"ib_jax.{name}")
    raise AttributeError(f"module 'ib_jax' has no attribute {name!r}")
