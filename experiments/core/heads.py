"""Heads on frozen features: standardised, then two ReLU layers as wide as these, a code and a linear decoder.

A head is trained as any model: by `runner.train`, or `population.PopulationTrainer`, with `head_recipe`.
"""

from typing import Any, ClassVar, Self

import jax.numpy as jnp
import numpy as np

from experiments.core import groups, networks
from experiments.core.recipe import VIB, Recipe
from experiments.core.settings import FOLDER, NOTHING, Settings, configure, setting
from ib_jax import data, losses
from ib_jax.models import Classifier
from ib_jax.objectives import BOTTLENECKS
from ib_jax.types import Array

DETERMINISTIC = "cross_entropy"
"""The objective of a head without a bottleneck."""

_CONSTANT = 1e-6  # of the largest deviation: a feature that varies less does not vary

_SHARED = ("dataset", "num_epochs", "batch_size", "learning_rate", "average_decay", "num_eval_samples")


class FeatureCache(Settings, group="Features"):
    cache_dir: str = setting(
        "",
        "Folder of feature caches, any number beside each other. Default: features/ in the workdir.",
        local=True,
        path=FOLDER,
    )
    shard_size: int = setting(1000, "Examples of one file of the cache.", least=1, decides=NOTHING)


@configure(
    help={"objectives": "Bottlenecks with commas between: vib, vub, ceb. A deterministic head is always trained too."},
    note={"objectives": "vib,vub"},
)
class Bottlenecks(groups.Objectives):
    """The objectives of heads."""

    def check(self) -> None:
        super().check()
        groups.check_names("objectives", self.compared, ("vib", "vub", "ceb"))


@configure(
    latent_dim=0,
    batch_size=32,
    average_decay=0.999,
    paper={"betas": (1e-3, 1e-2, 1e-1), "num_seeds": 5, "latent_dim": 0, "learning_rate": 1e-4},
    note={"latent_dim": "half of the features", "average_decay": "not said", "num_eval_samples": "1"},
    least={"latent_dim": 0, "betas": 0},
    above={"betas": None},
    below={"betas": 1},
    help={
        "betas": "Of each bottleneck a head for each. CEB weighs the residual by beta / (1 - beta), which makes its "
        "objective VIB's, but for the bounds.",
        "num_seeds": "Runs of each head, seeds 0, 1, ...",
        "latent_dim": "K; 0: half of the features.",
        "learning_rate": "Adam's at the start, times 0.97 every two epochs.",
        "num_eval_samples": "Fresh samples of z behind an averaged answer; one is told as well.",
    },
)
class HeadsConfig(
    FeatureCache,
    Bottlenecks,
    groups.Betas,
    groups.Seeds,
    groups.LatentDim,
    groups.Fit,
    groups.AverageDecay,
    groups.EvalSamples,
):
    """What heads on the features of one network are compared; an experiment adds its data, network and attacks."""


@configure(scale_shift=-5.0)
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
    """One head: the network and the training of the VIB paper's MNIST experiment, as wide as the features.

    `beta` is the strength of any bottleneck; that of CEB is given by `rho` to its objective.
    """

    encoder_scale: ClassVar[str] = "learned"
    prior: ClassVar[str] = "standard"
    backward_scale: ClassVar[str] = "learned"
    initializer: ClassVar[str] = "xavier_uniform"

    @property
    def name(self) -> str:
        """What it is called in records, without its seed."""
        return f"{self.objective}_beta{self.beta:g}" if self.stochastic else self.objective

    @property
    def key(self) -> str:
        """What its files are called."""
        return f"{self.name}_seed{self.seed}"

    @property
    def own(self) -> dict[str, Any]:
        """The settings of its own in a record."""
        return {"objective": self.objective, "beta": self.beta if self.stochastic else None}

    @classmethod
    def of(
        cls, config: Any, num_features: int, objective: str, beta: float | None = None, seed: int = 0, **own: Any
    ) -> Self:
        """A head of a comparison.

        Args:
          config: what all heads share, a `HeadsConfig` with `dataset`.
          num_features: of the frozen network.
          objective: what it is trained with.
          beta: of a bottleneck.
          seed: of its parameters, data order and noise.
          **own: further settings.
        """
        own |= {name: getattr(config, name) for name in _SHARED} | {"objective": objective, "seed": seed}
        own |= {"hidden_width": num_features, "latent_dim": config.latent_dim or max(1, num_features // 2)}
        if beta is not None:
            own |= {"beta": beta, "rho": float(losses.beta_to_rho(jnp.float32(beta)))}
        return cls(**own)


def heads_of(config: Any, num_features: int, objective: str, **own: Any) -> list[HeadConfig]:
    """The heads of an objective at each beta and seed of a comparison; arguments as of `HeadConfig.of`."""
    betas = config.betas if objective in BOTTLENECKS else (None,)
    seeds = range(config.num_seeds)
    return [HeadConfig.of(config, num_features, objective, beta, seed, **own) for beta in betas for seed in seeds]


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
        features, mean, scale = losses.one_rank(features, self.mean, self.scale)
        return 0.5 + 0.5 * (features - mean) / scale


def head_recipe(config: HeadConfig, dataset: data.Dataset, standardise: Standardise) -> Recipe:
    """The recipe of a head on a data set of features float32 [N, F], which are standardised first."""

    def network(config: Any, class_probabilities: np.ndarray, axis_name: str | None) -> Classifier:
        model = networks.mlp(config, class_probabilities)
        return model._replace(
            init=lambda key, features: model.init(key, standardise(features)),
            encode=lambda params, features: model.encode(params, standardise(features)),
            encode_train=lambda params, features, keys: model.encode_train(params, standardise(features), keys),
        )

    return Recipe(config, dataset, VIB._replace(network=network))
