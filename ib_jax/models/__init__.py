"""Flax networks, handed out as plain functions of parameters.

An encoder maps inputs to a Gaussian over codes. `make_classifier` adds a decoder and a prior or a backward encoder, and
returns a `Classifier`, whose functions bounds and attacks take. Images are [B, H, W, C] in [0, 1].
"""

from ib_jax.models.all_cnn import AllConvEncoder
from ib_jax.models.apply import mean_apply, sampled_apply
from ib_jax.models.backward import BackwardEncoder
from ib_jax.models.bert import BertConfig, BertModel, BertOutput
from ib_jax.models.bert_checkpoint import CheckpointError, load_bert, load_classifier, save_bert
from ib_jax.models.bert_encoder import BertEncoder, Pooling, text_features
from ib_jax.models.classifier import Classifier, Encoder, make_classifier
from ib_jax.models.conv_mlp import ConvMLPEncoder
from ib_jax.models.head import gaussian_head
from ib_jax.models.mlp import LinearDecoder, MLPEncoder, stacked_widths
from ib_jax.models.mlp_classifier import mlp_classifier
from ib_jax.models.normalise import Normalise
from ib_jax.models.prior import LearnedPrior, MixturePrior
from ib_jax.models.resnet import ResNetEncoder
from ib_jax.models.wide_resnet import WideResNetEncoder

__all__ = [
    "AllConvEncoder",
    "BackwardEncoder",
    "BertConfig",
    "BertEncoder",
    "BertModel",
    "BertOutput",
    "CheckpointError",
    "Classifier",
    "ConvMLPEncoder",
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
    "load_classifier",
    "make_classifier",
    "mean_apply",
    "mlp_classifier",
    "sampled_apply",
    "save_bert",
    "stacked_widths",
    "text_features",
]
