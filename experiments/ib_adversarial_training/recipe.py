"""The parts of a recipe that are the adversarial experiments' own: networks, and the attack in each step."""

import functools
from typing import Any

import numpy as np
import optax

from experiments.core.recipe import Parts, Recipe, own_rates
from experiments.ib_adversarial_training.settings import BIM, FGSM, NONE, AdversarialConfig
from experiments.mnist_vib.settings import RESIDUAL_OBJECTIVES
from ib_jax import attacks, data, models, training
from ib_jax.models import Classifier
from ib_jax.training import Hyperparams
from ib_jax.types import Attack


def classifier(config: AdversarialConfig, shares: np.ndarray, axis_name: str | None) -> Classifier:
    """The paper's network of a configuration, with a linear decoder, or Bayes' rule for consistent CEB."""
    width, scale = config.scale_width, config.encoder_scale
    hidden = tuple(max(1, round(width * units)) for units in models.stacked_widths(config.num_layers))
    encoder: models.Encoder
    if config.network == "mlp":
        encoder = models.MLPEncoder(config.latent_dim, hidden, scale, config.scale_shift)
    elif config.network == "cnn_mlp":
        encoder = models.ConvMLPEncoder(config.latent_dim, hidden=hidden, scale=scale, scale_shift=config.scale_shift)
    else:
        encoder = models.AllConvEncoder(width=width, scale=scale)
    return models.make_classifier(
        encoder,
        num_classes=len(shares),
        backward="learned" if config.objective in RESIDUAL_OBJECTIVES else "none",
        linear_decoder=config.objective != "consistent_ceb",
        class_probabilities=shares,
    )


def adversary(config: AdversarialConfig) -> Attack:
    """The attack of each step."""
    if config.adversary == FGSM:
        return attacks.fgsm(config.adversary_epsilon)
    make = attacks.bim if config.adversary == BIM else attacks.pgd
    return make(config.adversary_epsilon, num_steps=config.adversary_steps)


def _climbing(config: AdversarialConfig, loss_fn: attacks.AttackLoss) -> Attack:
    return attacks.pgd(config.adversary_epsilon, num_steps=config.adversary_steps, loss_fn=loss_fn)


def against(
    config: AdversarialConfig, model: Classifier, hyperparams: Hyperparams, loss_fn: Any
) -> tuple[Any, training.Perturb | None]:
    """The loss, and what is done to each batch before it."""
    if config.adversary == NONE:
        return loss_fn, None
    apply = models.sampled_apply(model)
    if config.consistency:
        make_attack = functools.partial(_climbing, config)
        return training.trades(loss_fn, make_attack, apply, weight=config.consistency)
    return loss_fn, training.attacked(adversary(config), apply, fraction=config.adversary_fraction)


def optimizer(
    config: AdversarialConfig, steps_per_epoch: int, hyperparams: Hyperparams
) -> optax.GradientTransformation:
    """Adam as in the VIB paper."""
    return training.paper_adam(
        steps_per_decay=max(1, round(config.epochs_per_decay * steps_per_epoch)),
        decay_rate=config.decay_rate,
        **own_rates(config, hyperparams),
    )


ADVERSARIAL = Parts(
    classifier,
    optimizer,
    lambda config, steps_per_epoch, hyperparams: None,
    lambda config: lambda keys, inputs: inputs,
    against,
)
"""The parts of the experiments on adversarial robustness."""


def load(config: AdversarialConfig) -> data.Dataset:
    """The data set of a run, cut to the images that are trained on."""
    return data.load(
        config.dataset,
        data_dir=config.data_dir or None,
        num_validation=config.num_validation,
        num_train=config.num_train_images,
        seed=config.seed,
    )


def recipe_of(config: AdversarialConfig, dataset: data.Dataset) -> Recipe[AdversarialConfig]:
    """How a model of these settings is trained."""
    return Recipe(config, dataset, ADVERSARIAL)
