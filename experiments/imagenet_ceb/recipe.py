"""The parts of a recipe that are the ImageNet experiment's own: ResNets, SGD with warm-up and drops, and its images."""

from typing import Any

import jax
import numpy as np
import optax

from experiments.core.image_recipe import classifier_of, kernels, schedule_of_rho
from experiments.core.recipe import Parts, Streamed, own_rates
from experiments.imagenet_ceb.settings import ImageNetConfig
from ib_jax import augment, data, models
from ib_jax.training import Augment, Hyperparams

DROPS, DROP_FACTOR = (1 / 3, 2 / 3, 8 / 9), 0.1  # epochs 90, 180 and 240 of 270


def load(config: ImageNetConfig) -> data.Dataset | Streamed:
    """The images of a run: ImageNet as sources, the small sets as arrays."""
    shared: dict[str, Any] = {"data_dir": config.data_dir or None, "num_validation": config.num_validation}
    shared |= {"seed": config.seed}
    if config.dataset != "imagenet2012":
        return data.load(config.dataset, num_train=config.num_train_images, **shared)
    sized = shared | {"image_size": config.image_size}
    held_out = data.open_split(config.dataset, "held_out", **sized) if config.num_validation else None
    return Streamed(
        name=config.dataset,
        train=data.open_train(config.dataset, crop_seed=config.seed, **sized),
        validation=held_out,
        test=data.open_split(config.dataset, "validation", **sized),  # what results are reported on
        num_classes=1000,
        image_shape=(config.image_size, config.image_size, 3),
    )


def resnet(config: ImageNetConfig, shares: np.ndarray, axis_name: str | None) -> models.Classifier:
    """The network of `experiments.imagenet_ceb`, with batch normalisation over all devices."""
    encoder = models.ResNetEncoder(
        depth=int(config.depth),
        width=config.width,
        latent_dim=config.latent_dim or (1024 if config.encoder_scale == "learned" else 0),
        scale=config.encoder_scale,
        axis_name=axis_name,
        compute_dtype=config.precision,
    )
    return classifier_of(encoder, config, shares)


def stepped_sgd(config: ImageNetConfig, steps_per_epoch: int, hyperparams: Hyperparams) -> optax.GradientTransformation:
    """SGD with momentum, its rate rising from 0 and then times 0.1 at 1/3, 2/3 and 8/9 of training (appendix A.2)."""
    rates = own_rates(config, hyperparams)
    top = rates["learning_rate"] * (config.top_rate / config.learning_rate)
    num_steps, warmup = config.num_epochs * steps_per_epoch, round(config.warmup_epochs * steps_per_epoch)
    drops = optax.piecewise_constant_schedule(top, {round(share * num_steps): DROP_FACTOR for share in DROPS})

    def rate(step: jax.Array) -> jax.Array:
        return drops(step) * jax.numpy.minimum(1.0, (step + 1) / max(1, warmup))

    descent = optax.sgd(rate, momentum=config.momentum or None)  # with None it keeps no copy of the parameters
    return optax.chain(optax.add_decayed_weights(rates["weight_decay"], mask=kernels), descent)


def augmentation(config: ImageNetConfig) -> Augment:
    """What is done to the training images, on the device."""
    if config.augment == "none":
        return lambda keys, images: images
    steps = [augment.random_flip()]
    if config.augment == "autoaugment":
        steps.append(augment.auto_augment("imagenet"))
    return augment.batched(augment.compose(*steps))


IMAGENET = Parts(resnet, stepped_sgd, schedule_of_rho, augmentation)
"""The parts of `experiments.imagenet_ceb`."""
