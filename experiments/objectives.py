"""From the name of an objective to the loss function that the train step differentiates."""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax

from experiments.mnist_vib_config import Config
from ib_jax import bounds
from ib_jax.models import Classifier, mlp_classifier
from ib_jax.types import Array, BoundTerms, Params


def make_classifier(config: Config, num_classes: int) -> Classifier:
    """The network of the MNIST experiments, the same for every objective but for noise and dropout."""
    return mlp_classifier(
        latent_dim=config.latent_dim,
        num_classes=num_classes,
        hidden=(config.hidden_width, config.hidden_width),
        stochastic=config.stochastic,
        learned_prior=config.stochastic and config.learned_prior,
        dropout_rate=config.dropout_rate if config.objective == "dropout" else 0.0,
        scale_shift=config.scale_shift,
        kernel_init=getattr(nn.initializers, config.initializer)(),
    )


def make_loss(config: Config, model: Classifier) -> Callable[[Params, Array, Array, Array], BoundTerms]:
    """(params, keys [B], inputs, labels) -> BoundTerms of the configured objective."""
    objectives: dict[str, Callable[..., BoundTerms]] = {
        "vib": functools.partial(bounds.vib, beta=config.beta, num_samples=config.num_train_samples),
        "cross_entropy": bounds.cross_entropy,
        "dropout": bounds.cross_entropy,
        "confidence_penalty": functools.partial(bounds.confidence_penalty, penalty=config.confidence_penalty),
        "label_smoothing": functools.partial(bounds.label_smoothing, smoothing=config.label_smoothing),
    }
    bound = objectives[config.objective]

    def loss_fn(params: Params, keys: Array, inputs: Array, labels: Array) -> BoundTerms:
        dropout_keys = jax.vmap(jax.random.fold_in, (0, None))(keys, 1)
        return bound(
            keys,
            inputs,
            labels,
            encode_fn=lambda batch: model.encode(params, batch, dropout_keys),
            decode_fn=functools.partial(model.decode, params),
            **({"prior": model.prior(params)} if config.stochastic else {}),
        )

    return loss_fn
