"""Flax networks, handed out as plain functions of parameters."""

from ib_jax.models.backward import BackwardEncoder
from ib_jax.models.bert import BertConfig, BertModel, BertOutput
from ib_jax.models.bert_checkpoint import CheckpointError, load_bert, save_bert
from ib_jax.models.bert_encoder import BertEncoder, Pooling, text_features
from ib_jax.models.classifier import Classifier, Encoder, make_classifier
from ib_jax.models.head import gaussian_head
from ib_jax.models.mlp import LinearDecoder, MLPEncoder
from ib_jax.models.mlp_classifier import mlp_classifier
from ib_jax.models.normalise import Normalise
from ib_jax.models.prior import LearnedPrior, MixturePrior
from ib_jax.models.resnet import ResNetEncoder
from ib_jax.models.wide_resnet import WideResNetEncoder

__all__ = [
    "BackwardEncoder",
    "BertConfig",
    "BertEncoder",
    "BertModel",
    "BertOutput",
    "CheckpointError",
    "Classifier",
    "Encoder",
    "LearnedPrior",
    "LinearDecoder",
    "MLPEncoder",
    "MixturePrior",
    "Normalise",
    "Pooling",
    "ResNetEncoder",
    "WideResNetEncoder",
    "gaussian_head",
    "load_bert",
    "make_classifier",
    "mlp_classifier",
    "save_bert",
    "text_features",
]
