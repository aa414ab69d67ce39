"""Networks by their settings: an encoder, and the classifier of an objective around it.

Each function takes (settings, class probabilities [C], axis name or None), as `recipe.RecipeFunctions.network` does.
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import numpy as np

from ib_jax import models
from ib_jax.models import Classifier
from ib_jax.models.classifier import BackwardKind
from ib_jax.objectives import RATE_OBJECTIVES, RESIDUAL_OBJECTIVES


def classifier(
    encoder: models.Encoder, config: Any, class_probabilities: np.ndarray, *, backward: BackwardKind, **settings: Any
) -> Classifier:
    """The classifier of an objective around an encoder.

    Args:
      encoder: the network.
      config: `objective` decides what is around it: a linear decoder, or Bayes' rule for consistent_ceb.
      class_probabilities: p(y), [C].
      backward: scales of b(z|y), for an objective that has it: "unit" or "learned".
      **settings: as of `models.make_classifier`.

    Returns:
      Classifier; CEB's rate is that under the marginal of its backward encoder.
    """
    return models.make_classifier(
        encoder,
        num_classes=len(class_probabilities),
        backward=backward if config.objective in RESIDUAL_OBJECTIVES else "none",
        linear_decoder=config.objective != "consistent_ceb",
        class_probabilities=class_probabilities,
        **settings,
    )


def mlp(config: Any, class_probabilities: np.ndarray, axis_name: str | None = None) -> Classifier:
    """Two hidden layers of one width; but for noise and dropout the same for every objective."""
    kernel_init = getattr(nn.initializers, config.initializer)()
    encoder = models.MLPEncoder(
        latent_dim=config.latent_dim,
        hidden=(config.hidden_width, config.hidden_width),
        scale=config.encoder_scale if config.stochastic else "zero",
        scale_shift=config.scale_shift,
        dropout_rate=config.dropout_rate if config.objective == "dropout" else 0.0,
        kernel_init=kernel_init,
        compute_dtype=config.precision,
    )
    return classifier(
        encoder,
        config,
        class_probabilities,
        backward=config.backward_scale,
        prior=config.prior if config.objective in RATE_OBJECTIVES else "standard",
        kernel_init=kernel_init,
        compute_dtype=config.precision,
    )


def stacked(config: Any, class_probabilities: np.ndarray, axis_name: str | None = None) -> Classifier:
    """`network`: "mlp", or "cnn_mlp" with convolutions before it, both with `num_layers`; or "all_cnn"."""
    width, scale, shift = config.scale_width, config.encoder_scale, config.scale_shift
    hidden = tuple(max(1, round(width * units)) for units in models.stacked_widths(config.num_layers))
    encoder: models.Encoder
    if config.network == "mlp":
        encoder = models.MLPEncoder(config.latent_dim, hidden, scale, shift)
    elif config.network == "cnn_mlp":
        encoder = models.ConvMLPEncoder(config.latent_dim, hidden=hidden, scale=scale, scale_shift=shift)
    else:
        latent_dim = config.latent_dim if scale == "learned" else 0  # without noise its last units are the code
        encoder = models.AllConvEncoder(width=width, latent_dim=latent_dim, scale=scale)
    return classifier(encoder, config, class_probabilities, backward="learned")


def wide_resnet(config: Any, class_probabilities: np.ndarray, axis_name: str | None) -> Classifier:
    """A Wide ResNet."""
    own = {"depth": config.depth, "norm": config.norm, "stem_stride": config.stem_stride, "axis_name": axis_name}
    make = functools.partial(models.WideResNetEncoder, **own)
    return _of_images(make, config, class_probabilities, latent_dim=64 * config.width)


def resnet(config: Any, class_probabilities: np.ndarray, axis_name: str | None) -> Classifier:
    """A ResNet, with batch normalisation over all devices."""
    make = functools.partial(models.ResNetEncoder, depth=int(config.depth), axis_name=axis_name)
    return _of_images(make, config, class_probabilities, latent_dim=1024)


def _of_images(
    make: Callable[..., models.Encoder], config: Any, class_probabilities: np.ndarray, latent_dim: int
) -> Classifier:
    """With this `latent_dim` where the settings have none and the encoder learns its scale."""
    encoder = make(
        width=config.width,
        latent_dim=config.latent_dim or (latent_dim if config.encoder_scale == "learned" else 0),
        scale=config.encoder_scale,
        compute_dtype=config.precision,
    )
    decoder_init = nn.initializers.normal(0.01)  # listing 2 of the CEB paper
    return classifier(encoder, config, class_probabilities, backward="unit", decoder_init=decoder_init)
