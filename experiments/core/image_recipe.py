"""The parts of a recipe that are the image experiments' own: networks, Adam's steps, the jump-start, augmentation."""

from typing import Any

import flax.linen as nn
import jax
import numpy as np
import optax

from experiments.cifar10_ceb.settings import Cifar10Config
from experiments.core.image_config import ImageConfig
from experiments.core.recipe import Parts, own_rates
from experiments.mnist_vib.settings import RESIDUAL_OBJECTIVES
from ib_jax import augment, models, training
from ib_jax.training import Augment, Hyperparams

DROPS, DROP_FACTOR = (1 / 3, 2 / 3, 5 / 6), 0.3  # epochs 500, 1000 and 1250 of 1500


def classifier_of(encoder: models.Encoder, config: ImageConfig, shares: np.ndarray) -> models.Classifier:
    """The classifier of an objective around an encoder: linear softmax, or Bayes' rule of the backward encoder."""
    return models.make_classifier(
        encoder,
        num_classes=len(shares),
        backward="unit" if config.objective in RESIDUAL_OBJECTIVES else "none",
        linear_decoder=config.objective != "consistent_ceb",
        class_probabilities=shares,
        decoder_init=nn.initializers.normal(0.01),  # listing 2
    )


def wide_resnet(config: Cifar10Config, shares: np.ndarray, axis_name: str | None) -> models.Classifier:
    """The network of `experiments.cifar10_ceb`."""
    encoder = models.WideResNetEncoder(
        depth=config.depth,
        width=config.width,
        latent_dim=config.latent_dim or (64 * config.width if config.encoder_scale == "learned" else 0),
        scale=config.encoder_scale,
        norm=config.norm,  # type: ignore[arg-type]
        axis_name=axis_name,
        compute_dtype=config.precision,
    )
    return classifier_of(encoder, config, shares)


def schedule_of_rho(config: ImageConfig, steps_per_epoch: int, hyperparams: Hyperparams) -> training.Schedule | None:
    """The jump-start of low rho, or None for the deterministic baseline."""
    if not config.stochastic:
        return None
    rho: Any = hyperparams.get("rho", config.rho)
    if config.schedule == "gated_rho":
        return training.gated_rho(
            rho,
            steps_per_epoch=steps_per_epoch,
            epochs_to_gate=config.gate_epochs,
            epochs_to_target=config.target_epochs,
        )
    return training.linear_gamma(rho, config.anneal_steps if config.schedule == "linear_gamma" else 1)


def stepped_adam(config: ImageConfig, steps_per_epoch: int, hyperparams: Hyperparams) -> optax.GradientTransformation:
    """Adam, its rate times 0.3 at 1/3, 2/3 and 5/6 of training (appendix A.1)."""
    rates = own_rates(config, hyperparams)
    num_steps = config.num_epochs * steps_per_epoch
    schedule = optax.piecewise_constant_schedule(
        rates["learning_rate"], {round(share * num_steps): DROP_FACTOR for share in DROPS}
    )
    return optax.adamw(schedule, weight_decay=rates["weight_decay"], mask=kernels)


def kernels(params: Any) -> Any:
    """Which parameters decay: matrices and convolutions, but neither biases nor what normalises."""
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)


def augmentation(config: Cifar10Config) -> Augment:
    """What is done to the training images, on the device."""
    if config.augment == "none":
        return lambda keys, images: images
    steps = [augment.random_flip(), augment.pad_crop(4)]
    if config.augment != "flip_crop":
        policy = {"autoaugment": "cifar10", "autoaugment_95": "cifar10_95"}[config.augment]
        steps += [augment.auto_augment(policy), augment.cutout(16)]
    return augment.batched(augment.compose(*steps))


CIFAR10 = Parts(wide_resnet, stepped_adam, schedule_of_rho, augmentation)
"""The parts of `experiments.cifar10_ceb`."""
