"""Heads on frozen features: standardised, then two ReLU layers as wide as these, a code and a linear decoder.

A head is trained as any model: by `runner.train`, or `population.PopulationTrainer`, with `head_recipe`.
"""

import dataclasses
from typing import Any, ClassVar, Self

import jax.numpy as jnp
import numpy as np

from experiments.core import groups, networks
from experiments.core.recipe import VIB, Recipe
from experiments.core.settings import configure
from ib_jax import data
from ib_jax.models import Classifier
from ib_jax.types import Array

_CONSTANT = 1e-6  # of the largest deviation: a feature that varies less does not vary

_SHARED = ("dataset", "num_epochs", "batch_size", "learning_rate", "average_decay", "num_eval_samples")


@configure(scale_shift=-5.0)
@dataclasses.dataclass(frozen=True)
class HeadConfig(
    groups.Run,
    groups.Data,
    groups.Objective,
    groups.Beta,
    groups.Rho,
    groups.TrainSamples,
    groups.Schedule,
    groups.LatentDim,
    groups.HiddenWidth,
    groups.ScaleShift,
    groups.Precision,
    groups.Training,
    groups.StaircaseDecay,
    groups.Pipeline,
    groups.Evaluation,
):
    """One head: the network and the training of the VIB paper's MNIST experiment, of any width."""

    encoder_scale: ClassVar[str] = "learned"
    prior: ClassVar[str] = "standard"
    backward_scale: ClassVar[str] = "learned"
    initializer: ClassVar[str] = "xavier_uniform"

    @classmethod
    def of(cls, config: Any, num_features: int, **own: Any) -> Self:
        """The settings of a head: two ReLU layers as wide as the features.

        Args:
          config: what all heads of a comparison share; `latent_dim` 0 is half of the features.
          num_features: of the frozen network.
          **own: the head's, such as `objective`, `beta` and `seed`.
        """
        shared = {name: getattr(config, name) for name in _SHARED}
        latent_dim = config.latent_dim or max(1, num_features // 2)
        return cls(**shared | {"hidden_width": num_features, "latent_dim": latent_dim} | own)


class Standardise:
    """From features [..., F] to the encoder's inputs, (1 + (f - mean) / deviation) / 2.

    The encoder maps its inputs x to 2 x - 1, so its first layer sees features of mean 0 and deviation 1. This is part
    of the head: an attack's gradients pass through it. A feature that is constant in training is only centred.

    Args:
      mean: float [F], of the training features.
      deviation: float [F].
    """

    def __init__(self, mean: np.ndarray, deviation: np.ndarray):
        varies = deviation > _CONSTANT * deviation.max()
        self.mean, self.scale = jnp.asarray(mean), jnp.asarray(np.where(varies, deviation, 1.0), jnp.float32)

    def __call__(self, features: Array) -> Array:
        return 0.5 + 0.5 * (features - self.mean) / self.scale


def head_recipe(config: Any, dataset: data.Dataset, standardise: Standardise) -> Recipe:
    """The recipe of a head.

    Args:
      config: its settings.
      dataset: features float32 [N, F] and labels.
      standardise: the first thing done to features.

    Returns:
      Recipe.
    """

    def network(config: Any, class_probabilities: np.ndarray, axis_name: str | None) -> Classifier:
        return standardised(networks.mlp(config, class_probabilities), standardise)

    return Recipe(config, dataset, VIB._replace(network=network))


def standardised(model: Classifier, standardise: Standardise) -> Classifier:
    """The model with features for inputs."""

    return model._replace(
        init=lambda key, features: model.init(key, standardise(features)),
        encode=lambda params, features: model.encode(params, standardise(features)),
        encode_train=lambda params, features, keys: model.encode_train(params, standardise(features), keys),
    )
