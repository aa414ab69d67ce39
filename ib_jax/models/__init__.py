"""Flax networks, handed out as plain functions of parameters."""

from ib_jax.models.backward import BackwardEncoder
from ib_jax.models.classifier import Classifier, mlp_classifier
from ib_jax.models.mlp import LinearDecoder, MLPEncoder
from ib_jax.models.prior import LearnedPrior, MixturePrior

__all__ = [
    "BackwardEncoder",
    "Classifier",
    "LearnedPrior",
    "LinearDecoder",
    "MLPEncoder",
    "MixturePrior",
    "mlp_classifier",
]
