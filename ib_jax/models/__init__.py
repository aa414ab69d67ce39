"""Flax networks, handed out as plain functions of parameters."""

from ib_jax.models.classifier import Classifier, mlp_classifier
from ib_jax.models.mlp import LinearDecoder, MLPEncoder
from ib_jax.models.prior import LearnedPrior

__all__ = ["Classifier", "LearnedPrior", "LinearDecoder", "MLPEncoder", "mlp_classifier"]
